"""Models whose fields are chosen by each call's config.

Core's own classes hand `bind_tools` and `with_structured_output` to the default model, which then answers whatever the
config says. Here both wait until the config is known, as they do in langchain's `init_chat_model`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableSerializable
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.configurable import (
    DynamicRunnable,
    RunnableConfigurableAlternatives,
    RunnableConfigurableFields,
)
from langchain_core.runnables.utils import AnyConfigurableField, ConfigurableField

Queued = tuple[str, tuple[Any, ...], dict[str, Any]]


# The bases have no parameters, because pydantic would then copy the model, and not keep it.
class _Queues(DynamicRunnable):  # type: ignore[type-arg]
    """Keeps what is to be called on the model that a config chooses."""

    queued: tuple[Queued, ...] = ()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False  # it would be read back as a class of core's that does not exist

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Self:
        """The same as the model's, applied to the model that the config chooses."""
        return self._queue("bind_tools", tools, **kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Self:
        """The same as the model's, applied to the model that the config chooses."""
        return self._queue("with_structured_output", schema, **kwargs)

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """The same with more fields that a config may choose."""
        found = super().configurable_fields(**kwargs)
        return found.__class__(**{**found.__dict__, "config": self.config, "queued": self.queued})

    def configurable_alternatives(
        self,
        which: ConfigurableField,
        *,
        default_key: str = "default",
        prefix_keys: bool = False,
        **kwargs: Runnable[Any, Any] | Callable[[], Runnable[Any, Any]],
    ) -> RunnableSerializable[Any, Any]:
        """The model, or another one that a config chooses."""
        return ConfigurableAlternatives(
            which=which, default=self, alternatives=kwargs, default_key=default_key, prefix_keys=prefix_keys
        )

    def _queue(self, name: str, *args: Any, **kwargs: Any) -> Self:
        getattr(self._applied(self.default), name)(*args, **kwargs)  # so that a mistake is an error here
        return self.__class__(**{**self.__dict__, "queued": (*self.queued, (name, args, kwargs))})

    def _applied(self, model: Runnable[Any, Any]) -> Runnable[Any, Any]:
        for name, args, kwargs in self.queued:
            model = getattr(model, name)(*args, **kwargs)
        return model

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Any, Any], RunnableConfig]:
        model, config = super()._prepare(config)  # type: ignore[safe-super]  # that of the other base
        if self.queued:
            while isinstance(model, DynamicRunnable):
                model, config = model._prepare(merge_configs(model.config, config))  # noqa: SLF001 - as core's `prepare`
        return self._applied(model), config


class ConfigurableFields(_Queues, RunnableConfigurableFields):  # type: ignore[type-arg]
    """A model of which a config chooses fields."""


class ConfigurableAlternatives(_Queues, RunnableConfigurableAlternatives):  # type: ignore[type-arg]
    """A model, or another one that a config chooses."""
