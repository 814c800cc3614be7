"""The constructor's vocabulary, once for the four classes of both frameworks, as pydantic fields.

Aliases let arguments of other providers' classes stay as they are; what can't mean anything here is accepted with a
warning, and anything else is an error that names the nearest argument.
"""

import difflib
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema, field_validator, model_validator

from ovhcloud_ai_endpoints._chat import PARAMETERS, Passback, chat_request
from ovhcloud_ai_endpoints._copies import SHARED, picklable, restored
from ovhcloud_ai_endpoints._embeddings import EmbeddingUsage, Run
from ovhcloud_ai_endpoints._models import Model, ids_of
from ovhcloud_ai_endpoints._models import model as model_facts
from ovhcloud_ai_endpoints._notices import frames_to_the_caller, say_unknown, warn_of_plain_http
from ovhcloud_ai_endpoints._retry import Retry
from ovhcloud_ai_endpoints._settings import (
    CHAT_CONCURRENCY,
    EMBEDDING_CONCURRENCY,
    Settings,
    Timeouts,
    checked_base_url,
    environment_base_url,
    environment_key,
    is_in_the_clear,
)
from ovhcloud_ai_endpoints._tls import Verify
from ovhcloud_ai_endpoints._wire import ChatRequest, WireMessage

# Values of arguments without a meaning that say what is so anyway, of which there is no need to warn.
AS_IT_IS: Mapping[str, Any] = {
    "check_embedding_ctx_length": False,
    "encoding_format": "float",
    "is_chat_model": True,
    "n": 1,
    "reuse_client": True,
    "streaming": False,
    "strict": False,
}


class ConnectionOptions(BaseModel):
    """How the service is reached: the part of the vocabulary that all four classes have."""

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    ALIASES: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "api_base": "base_url",
        "endpoint": "base_url",
        "request_timeout": "timeout",
        "max_concurrent_requests": "max_concurrency",
        "async_http_client": "http_async_client",
        "model_kwargs": "extra_body",
        "additional_kwargs": "extra_body",
    }
    WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "api_version": "the version is part of base_url",
        "organization": "a key belongs to one project",
        "reuse_client": "connections are always shared",
        "user": "the service has no such field",
    }

    api_key: SecretStr | str | Callable[[], str | SecretStr] | None = Field(
        default=None, validate_default=True, exclude=True, repr=False
    )
    base_url: str = Field(default_factory=environment_base_url)
    timeout: float | Timeouts | None = None
    max_retries: int = Field(default=Retry.max_retries, ge=0)
    max_wait: float = Field(default=Retry.max_wait, ge=0)
    max_concurrency: int = Field(default=CHAT_CONCURRENCY, ge=1)
    share_limits: bool = True
    default_headers: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    verify: Verify = Field(default=True, exclude=True, repr=False)
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    trust_env: bool = Field(default=True, exclude=True, repr=False)
    http_client: Any = Field(default=None, exclude=True, repr=False)
    http_async_client: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _ovhcloud_arguments(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias)}
        read = cls._ovhcloud_renamed(values, known)
        for name in read:
            if name not in known:
                near = difflib.get_close_matches(name, [*known, *cls.ALIASES], n=1, cutoff=0.7)
                hint = f"did you mean {near[0]!r}?" if near else "extra_body= takes fields of other servers."
                raise TypeError(f"{cls.__name__} has no argument {name!r}; {hint}")
        return read

    @classmethod
    def _ovhcloud_renamed(cls, arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
        """The arguments by the names that they have here, without those that mean nothing."""
        read: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name, value in arguments.items():
            meant = name if name in known else cls.ALIASES.get(name, name)
            if meant not in known and name in cls.WITHOUT_MEANING:
                if value is None or value == AS_IT_IS.get(name):
                    continue
                text = f"{cls.__name__} ignores {name!r}: {cls.WITHOUT_MEANING[name]}"
                warnings.warn(text, UserWarning, stacklevel=frames_to_the_caller())
            elif meant in read and read[meant] != value:
                raise TypeError(f"{cls.__name__} got both {names[meant]!r} and {name!r}, which are one argument")
            else:
                read[meant], names[meant] = value, name
        return read

    @field_validator("api_key", mode="before")
    @classmethod
    def _ovhcloud_key(cls, key: Any) -> Any:
        key = environment_key() if key is None else key
        return SecretStr(key) if isinstance(key, str) else key

    @field_validator("http_client")
    @classmethod
    def _ovhcloud_http_client(cls, client: Any) -> Any:
        if hasattr(client, "aclose") and not hasattr(client, "close"):
            raise TypeError("http_client is for calls that block; give an asynchronous client as http_async_client=")
        return client

    @field_validator("http_async_client")
    @classmethod
    def _ovhcloud_http_async_client(cls, client: Any) -> Any:
        if hasattr(client, "close") and not hasattr(client, "aclose"):
            raise TypeError("http_async_client is for calls that are awaited; give a blocking client as http_client=")
        return client

    @field_validator("proxy")
    @classmethod
    def _ovhcloud_proxy(cls, proxy: str | None) -> str | None:
        if proxy is not None and "://" not in proxy:
            raise ValueError("proxy must be a URL such as http://proxy.example:3128")
        return proxy

    @field_validator("default_headers", mode="before")
    @classmethod
    def _ovhcloud_no_headers(cls, headers: Any) -> Any:
        return {} if headers is None else headers

    @field_validator("default_headers")
    @classmethod
    def _ovhcloud_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not (name.isascii() and value.isascii() and f"{name}{value}".isprintable()):
                raise ValueError(f"the header {name!r} holds what no header can, such as the end of a line")
        return headers

    @field_validator("base_url", mode="before")
    @classmethod
    def _ovhcloud_base_url(cls, url: Any) -> str:
        return checked_base_url(environment_base_url() if url is None else str(url))

    @field_validator("timeout", mode="before")
    @classmethod
    def _ovhcloud_timeout(cls, timeout: Any) -> float | Timeouts | None:
        timeouts = Timeouts.of(timeout)
        return timeout if timeout is None or isinstance(timeout, int | float) else timeouts

    @model_validator(mode="after")
    def _ovhcloud_key_in_the_clear(self) -> Self:
        if self.api_key and is_in_the_clear(self.base_url):
            warn_of_plain_http(self.base_url)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return picklable(self, has_key=bool(self.api_key))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(restored(state))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(value): value for name in SHARED if (value := getattr(self, name, None)) is not None}
        return super().__deepcopy__(memo)

    @property
    def ovhcloud_settings(self) -> Settings:
        """What the transport needs to know, as it is now."""
        return Settings(
            api_key=self.api_key,
            base_url=self.base_url,
            timeouts=Timeouts.of(self.timeout),
            retry=Retry(max_retries=self.max_retries, max_wait=self.max_wait),
            max_concurrency=self.max_concurrency,
            share_limits=self.share_limits,
            default_headers=self.default_headers,
            verify=self.verify,
            proxy=self.proxy,
            trust_env=self.trust_env,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
        )


class ChatOptions(ConnectionOptions):
    """What a chat model is asked for. None means that the field is not sent and the service decides."""

    ALIASES: ClassVar[Mapping[str, str]] = {
        **ConnectionOptions.ALIASES,
        "max_completion_tokens": "max_tokens",
        "max_new_tokens": "max_tokens",
        "stop_sequences": "stop",
        "random_seed": "seed",
    }
    WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        **ConnectionOptions.WITHOUT_MEANING,
        "is_chat_model": "every model here is",
        "should_use_structured_outputs": "what is known of the model decides",
        "tokenizer": "no tokenizer is used",
        "safe_mode": "the service has no such field",
    }

    model: str = Field(min_length=1)
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    stream_usage: bool = True
    extra_body: dict[str, Any] | None = None
    reasoning_passback: Passback = "auto"
    context_window: int | None = None
    is_function_calling_model: bool | None = None

    @model_validator(mode="after")
    def _ovhcloud_unknown_model(self) -> Self:
        facts = self.ovhcloud_model
        if not facts.is_known and not facts.context_length:
            say_unknown(facts)
        return self

    @property
    def ovhcloud_model(self) -> Model:
        """What is known of the model, or said of it on this object."""
        facts = model_facts(self.model)
        said: dict[str, Any] = {"context_length": self.context_window, "tool_calling": self.is_function_calling_model}
        return replace(facts, **{name: value for name, value in said.items() if value is not None})

    @property
    def ovhcloud_parameters(self) -> dict[str, Any]:
        """The request's fields that are set on this object."""
        names = (name for name in type(self).model_fields if name in PARAMETERS)
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def ovhcloud_request(
        self, messages: Sequence[WireMessage], call: Mapping[str, Any], *, stream: bool = False
    ) -> ChatRequest:
        """The request: what is set on this object, and over it the arguments of the call.

        Raises:
            TypeError: an argument that the service does not know.
            ValueError: a tool choice that names no tool.
        """
        fields = type(self).model_fields.keys()
        asked = {name: value for name, value in self._ovhcloud_renamed(call, fields).items() if value is not None}
        model = asked.pop("model", self.model)
        stream_usage = asked.pop("stream_usage", self.stream_usage)
        extra_body = {**(self.extra_body or {}), **asked.pop("extra_body", {})}
        for name in asked:
            if name in fields and name not in PARAMETERS:
                raise TypeError(f"{name!r} is set when {type(self).__name__} is made, not in a call")
        return chat_request(
            messages,
            self.ovhcloud_parameters | asked,
            model=model,
            base_url=self.base_url,
            stream=stream,
            stream_usage=stream_usage,
            reasoning_passback=self.reasoning_passback,
            extra_body=extra_body,
        )


class EmbeddingOptions(ConnectionOptions):
    """What an embedding model is asked for; `max_concurrency` is the number of requests that run at once.

    The model's name and the number of texts in a request are fields of the classes, under the frameworks' own names.
    """

    ALIASES: ClassVar[Mapping[str, str]] = {
        **ConnectionOptions.ALIASES,
        "text_instruction": "document_instruction",
        "show_progress_bar": "show_progress",
    }
    WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        **ConnectionOptions.WITHOUT_MEANING,
        "check_embedding_ctx_length": "texts are always sent as texts",
        "encoding_format": "vectors are always floats",
        "skip_empty": "each text has a vector, an empty one that of a blank",
        "tiktoken_enabled": "no tokenizer is used",
        "tiktoken_model_name": "no tokenizer is used",
    }

    max_concurrency: int = Field(default=EMBEDDING_CONCURRENCY, ge=1)
    dimensions: int | None = Field(default=None, ge=1)
    query_instruction: str | None = None
    document_instruction: str | None = None
    truncate: bool = False
    show_progress: bool = False
    on_usage: Annotated[Callable[[EmbeddingUsage], object] | None, WithJsonSchema({})] = Field(
        default=None, exclude=True, repr=False
    )
    extra_body: dict[str, Any] | None = None

    @field_validator("model", "model_name", check_fields=False)
    @classmethod
    def _ovhcloud_one_model(cls, name: str) -> str:
        if model_facts(name).is_virtual:
            raise ValueError(
                f"{name!r} may mean another model tomorrow, and vectors of two models can't be compared; "
                f"name one of {', '.join(ids_of('embedding'))}"
            )
        return name

    def ovhcloud_run(
        self,
        texts: Sequence[str],
        *,
        model: str,
        size: int,
        concurrency: int | None = None,
        instruction: str | None = None,
        start: int | None = None,
        known: Mapping[int, list[float]] | None = None,
    ) -> Run:
        """A run of requests for these texts, as `Run` describes it."""
        return Run(
            texts,
            model=model,
            base_url=self.base_url,
            size=size,
            concurrency=concurrency or self.max_concurrency,
            instruction=instruction or "",
            dimensions=self.dimensions,
            extra_body=self.extra_body,
            truncate=self.truncate,
            start=start,
            known=known,
        )
