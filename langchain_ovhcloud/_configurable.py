"""Models whose fields are chosen by each call's config.

Core's own classes hand `bind_tools` and `with_structured_output` to the default model, which then answers whatever the
config says. Here both wait until the config is known, as they do in langchain's `init_chat_model`.
"""

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableSerializable
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.configurable import (
    DynamicRunnable,
    RunnableConfigurableAlternatives,
    RunnableConfigurableFields,
)
from langchain_core.runnables.utils import AnyConfigurableField, ConfigurableField
from pydantic import BaseModel

from langchain_ovhcloud._structured import wire_tools


# Unparametrized: pydantic copies the model into a parametrized base.
class _Deferred(DynamicRunnable):  # type: ignore[type-arg]
    """Keeps what is to be called on the model that a config chooses."""

    deferred: tuple[Callable[[Any], Any], ...] = ()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False  # it would be read back as a class of core's that does not exist

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Runnable[Any, Any]:
        """The same with a config, which is added to the one that it has."""
        return super().with_config(merge_configs(self.config, config), **kwargs)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """The same as the model's, applied to the model that the config chooses."""
        return self._defer("bind_tools", wire_tools(tools, strict=kwargs.get("strict")), **kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """The same as the model's, applied to the model that the config chooses."""
        return self._defer("with_structured_output", schema, **kwargs)

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """The same with more fields that a config may choose."""
        found = super().configurable_fields(**kwargs)
        return found.__class__(**{**found.__dict__, "config": self.config, "deferred": self.deferred})

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

    def _defer(self, name: str, *args: Any, **kwargs: Any) -> Runnable[Any, Any]:
        call = methodcaller(name, *args, **kwargs)
        call(self._applied(self.default))  # so that a mistake is an error here
        return self.__class__(**{**self.__dict__, "deferred": (*self.deferred, call)})

    def _applied(self, model: Runnable[Any, Any]) -> Runnable[Any, Any]:
        for call in self.deferred:
            model = call(model)
        return model

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Any, Any], RunnableConfig]:
        model, config = super()._prepare(config)  # type: ignore[safe-super]  # that of the other base
        if self.deferred:
            while isinstance(model, DynamicRunnable):
                model, config = model._prepare(merge_configs(model.config, config))  # noqa: SLF001 - as core's `prepare`
        return self._applied(model), config


class _Fields(RunnableConfigurableFields):  # type: ignore[type-arg]
    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Any, Any], RunnableConfig]:
        model, config = super()._prepare(config)
        if model != self.default and isinstance(model, BaseModel):
            # Core passes all fields on, so that all would count as set; `streaming=False` then rules out streams.
            model.__pydantic_fields_set__ &= {*self.default.model_fields_set, *self.fields}
        return model, config


class ConfigurableFields(_Deferred, _Fields):
    """A model of which a config chooses fields."""


class ConfigurableAlternatives(_Deferred, RunnableConfigurableAlternatives):  # type: ignore[type-arg]
    """A model, or another one that a config chooses."""
