"""The constructor arguments that the four classes of both frameworks share, as pydantic fields.

Aliases accept the argument names of other providers' classes. Arguments that have no meaning here cause a warning, and
unknown ones an error that names the nearest argument.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from ovhcloud_ai_endpoints._http import (
    CHAT_CONCURRENCY,
    HTTPBackend,
    Retry,
    Settings,
    Timeouts,
    Verify,
    checked_base_url,
    checked_proxy,
    environment_base_url,
    environment_key,
    is_in_the_clear,
)
from ovhcloud_ai_endpoints._notices import frames_to_the_caller, warn_of_plain_http
from ovhcloud_ai_endpoints._options.arguments import hint_for
from ovhcloud_ai_endpoints._options.closing import ClosesConnections
from ovhcloud_ai_endpoints._options.pickling import SHARED, picklable, restored

# Values that describe what we do anyway, so that these arguments need no warning in spite of having no meaning.
AS_IT_IS: Mapping[str, Any] = {
    "check_embedding_ctx_length": False,
    "is_chat_model": True,
    "n": 1,
    "reuse_client": True,
    "include_response_headers": False,
    "streaming": False,
    "strict": False,
    "use_responses_api": False,
}
OURS = frozenset(
    {"ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud"}
)  # whose classes help() describes
MODEL = frozenset({"model", "model_name"})  # the names of one field
SET_BY_FRAMEWORKS = frozenset({"completion_to_prompt", "messages_to_prompt", "metadata", "profile"})
OF_EACH_REQUEST = frozenset({"content-length", "transfer-encoding"})  # headers


class OpenSchema(GenerateJsonSchema):
    """Describes what JSON can't hold by the schema of anything."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


class ConnectionOptions(ClosesConnections, BaseModel):
    """How to reach the service: the arguments that all four classes have."""

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    _ALIASES: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "api_base": "base_url",
        "endpoint": "base_url",
        "request_timeout": "timeout",
        "max_concurrent_requests": "max_concurrency",
        "async_http_client": "http_async_client",
        "model_kwargs": "extra_body",
        "additional_kwargs": "extra_body",
    }
    _WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "api_version": "the version is part of base_url",
        "organization": "a key belongs to one project",
        "reuse_client": "connections are always shared",
        "user": "the service has no such field",
        "async_openai_client": "pass an httpx client as http_async_client=",
        "openai_client": "pass an httpx client as http_client=",
        "tiktoken_model_name": "no tokenizer is used",
    }

    # The tables of a class, merged with those of its bases.
    _ovhcloud_aliases: ClassVar[Mapping[str, str]] = _ALIASES
    _ovhcloud_without_meaning: ClassVar[Mapping[str, str]] = _WITHOUT_MEANING

    api_key: SecretStr | str | Callable[[], str | SecretStr] | None = Field(
        default=None,
        validate_default=True,
        exclude=True,
        repr=False,
        description="The key, or a function that is called for each request. By default `OVHCLOUD_API_KEY` of the "
        "environment, else `OVH_AI_ENDPOINTS_ACCESS_TOKEN`, else none, and calls are anonymous. An empty text is "
        "anonymous in any environment.",
    )
    base_url: str = Field(
        default_factory=environment_base_url,
        description="URL of the server, up to `/v1`. By default `OVHCLOUD_API_BASE` of the environment, else the "
        "service's.",
    )
    timeout: float | Timeouts | None = Field(
        default=None,
        description="Seconds to wait for the answer or for a stream's first event, retries included, and then for "
        "each next one; or `Timeouts`, which bound each of these by itself.",
    )
    max_retries: int = Field(
        default=Retry.max_retries,
        ge=0,
        description="How often a failed request is sent again. With 0, a request is sent once and never waits for the "
        "rate limit.",
    )
    max_wait: float = Field(
        default=Retry.max_wait,
        ge=0,
        description="Seconds that the service may ask to wait; if it asks for more, the error is raised at once.",
    )
    max_concurrency: int = Field(
        default=CHAT_CONCURRENCY,
        ge=1,
        description="How many requests run at once. Objects with the same number, server and kind of request share "
        "these slots: in a process for blocking calls, in an event loop for awaited ones. An open stream holds one.",
    )
    share_limits: bool | str | Path = Field(
        default=True,
        description="Whether all calls of this process with the same key and model wait for the reset, once the "
        "service reports that the rate limit is reached. With the path of a file, those of all processes of this host "
        "that name the same file do.",
    )
    default_headers: dict[str, str] = Field(
        default_factory=dict, exclude=True, repr=False, description="Headers for each request."
    )
    verify: Verify = Field(
        default=True,
        exclude=True,
        repr=False,
        description="Whether to check the server's certificate; or a file or folder of certificates to trust, or an "
        "`ssl.SSLContext`.",
    )
    proxy: str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="URL of a proxy. By default that of the environment (`HTTPS_PROXY`, `NO_PROXY`), which is read "
        "when the first connection is opened.",
    )
    trust_env: bool = Field(
        default=True,
        exclude=True,
        repr=False,
        description="Whether to use the proxies and certificates that the environment names.",
    )
    http_backend: HTTPBackend = Field(
        default="httpx",
        description='With "aiohttp", awaited calls go through aiohttp, for apps that use its tooling; it comes with '
        '`pip install "ovhcloud-ai-endpoints[aiohttp]"`.',
    )
    http_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `httpx.Client` for blocking calls. It is never closed here; `timeout` and headers "
        "replace its own, and its `auth` replaces the key.",
    )
    http_async_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `httpx.AsyncClient` for awaited calls, as `http_client` is for blocking ones.",
    )

    def __init__(self, model: Any = ..., **arguments: Any) -> None:
        """Sets the arguments, of which the first may be the model's name; no connection is opened yet."""
        super().__init__(**(arguments if model is ... else {"model": model, **arguments}))

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._ovhcloud_aliases = {**cls._ovhcloud_aliases, **vars(cls).get("_ALIASES", {})}
        cls._ovhcloud_without_meaning = {**cls._ovhcloud_without_meaning, **vars(cls).get("_WITHOUT_MEANING", {})}
        if cls.__doc__ and cls.__module__.partition(".")[0] in OURS:
            described = ((name, cls.model_fields[name].description) for name in cls._ovhcloud_names())
            arguments = "\n".join(f"    {name}: {text}" for name, text in described if text)
            cls.__doc__ = f"{cleandoc(cls.__doc__)}\n\nArgs:\n{arguments}\n"  # for help()

    @classmethod
    def _ovhcloud_names(cls) -> list[str]:
        """The arguments, that of the model first."""
        return sorted(cls.model_fields, key=lambda name: name not in MODEL)

    @model_validator(mode="before")
    @classmethod
    def _ovhcloud_arguments(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias)}
        read = cls._ovhcloud_renamed(values, known)
        for name, value in read.items():
            if name not in known and value is not None:
                hint = hint_for(name, [*known, *cls._ovhcloud_aliases])
                raise TypeError(f"{cls.__name__} has no argument {name!r}{'; ' if hint else ''}{hint}")
        return {name: value for name, value in read.items() if name in known}

    @classmethod
    def model_json_schema(
        cls,
        by_alias: bool | None = True,
        ref_template: str = DEFAULT_REF_TEMPLATE,
        schema_generator: type[GenerateJsonSchema] = OpenSchema,
        mode: JsonSchemaMode = "validation",
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The JSON schema of the arguments; one that JSON can't hold, such as a client, may be anything."""
        schema = super().model_json_schema(by_alias, ref_template, schema_generator, mode, **kwargs)
        if "description" in schema:
            schema["description"] = schema["description"].partition("\n\nArgs:\n")[0]
        return schema

    @classmethod
    def _ovhcloud_renamed(cls, arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
        """The arguments under our names for them, without those that have no meaning here."""
        aliases, without_meaning = cls._ovhcloud_aliases, cls._ovhcloud_without_meaning
        read: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name, value in arguments.items():
            meant = name if name in known else aliases.get(name, name)
            if meant not in known and name in without_meaning:
                if value is None or value == AS_IT_IS.get(name):
                    continue
                text = f"{cls.__name__} ignores {name!r}: {without_meaning[name]}"
                warnings.warn(text, UserWarning, stacklevel=frames_to_the_caller())
            elif meant in read and read[meant] != value:
                raise TypeError(f"{cls.__name__} got both {names[meant]!r} and {name!r}, which are the same argument")
            else:
                read[meant], names[meant] = value, name
        return read

    @field_validator("api_key", mode="before")
    @classmethod
    def _ovhcloud_key(cls, key: Any) -> Any:
        key = environment_key() if key is None else key
        if not isinstance(key, str | SecretStr | None) and not callable(key):
            raise ValueError(f"api_key must be a string, or a function that returns one; got {type(key).__name__}")  # noqa: TRY004 - for pydantic
        return SecretStr(key) if isinstance(key, str) else key

    @field_validator("http_backend")
    @classmethod
    def _ovhcloud_http_backend(cls, backend: HTTPBackend) -> HTTPBackend:
        if backend == "aiohttp" and find_spec("aiohttp") is None:
            raise ImportError('http_backend="aiohttp" needs aiohttp: pip install "ovhcloud-ai-endpoints[aiohttp]"')
        return backend

    @field_validator("share_limits")
    @classmethod
    def _ovhcloud_share_limits(cls, shared: bool | str | Path) -> bool | str | Path:
        if isinstance(shared, bool):
            return shared
        if (word := str(shared).lower()) in {"true", "false"}:  # as settings from a file or the environment have it
            return word == "true"
        if not str(shared) or "://" in str(shared):
            raise ValueError(f"share_limits must be True, False or the path of a file; got {str(shared)!r}")
        return str(Path(shared).expanduser().absolute())  # so that a copy in another process means the same file

    @field_validator("http_client")
    @classmethod
    def _ovhcloud_http_client(cls, client: Any) -> Any:
        if hasattr(client, "aclose") and not hasattr(client, "close"):
            raise TypeError("http_client must be a blocking client; pass an asynchronous one as http_async_client=")
        return _client(client, "http_client must be an httpx.Client")

    @field_validator("http_async_client")
    @classmethod
    def _ovhcloud_http_async_client(cls, client: Any) -> Any:
        if hasattr(client, "close") and not hasattr(client, "aclose"):
            raise TypeError("http_async_client must be an asynchronous client; pass a blocking one as http_client=")
        return _client(client, "http_async_client must be an httpx.AsyncClient")

    @field_validator("proxy")
    @classmethod
    def _ovhcloud_proxy(cls, proxy: str | None) -> str | None:
        return None if proxy is None else checked_proxy(proxy)

    @field_validator("default_headers", mode="before")
    @classmethod
    def _ovhcloud_no_headers(cls, headers: Any) -> Any:
        return {} if headers is None else headers

    @field_validator("default_headers")
    @classmethod
    def _ovhcloud_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not (name.isascii() and value.isascii() and f"{name}{value}".isprintable()):
                raise ValueError(f"name and value of the header {name!r} must be printable ASCII, without line ends")
            if name.lower() in OF_EACH_REQUEST:
                raise ValueError(f"the header {name!r} is set for each request; leave it out")
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

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The model, and what was set and differs from the default; no secret and no client."""
        fields = type(self).model_fields
        were_set: set[str] = getattr(self, "__pydantic_fields_set__", set()) - SET_BY_FRAMEWORKS
        for name in filter(vars(self).__contains__, self._ovhcloud_names()):
            value, default = vars(self)[name], fields[name].default
            differs = value is not default and repr(value) != repr(default)  # an array has no single !=
            if fields[name].repr and (name in MODEL or (name in were_set and differs)):
                yield name, value
        yield from (
            (name, getattr(self, name)) for name, field in type(self).model_computed_fields.items() if field.repr
        )

    def __getstate__(self) -> dict[str, Any]:
        return picklable(self, has_key=bool(self.api_key))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(restored(state))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(value): value for name in SHARED if (value := getattr(self, name, None)) is not None}
        return super().__deepcopy__(memo)

    @property
    def _ovhcloud_settings(self) -> Settings:
        """The current settings, for the transport."""
        return Settings(
            api_key=self.api_key,
            base_url=self.base_url,
            timeouts=Timeouts.of(self.timeout),
            retry=Retry(max_retries=self.max_retries, max_wait=self.max_wait),
            max_concurrency=self.max_concurrency,
            share_limits=self.share_limits if isinstance(self.share_limits, bool) else str(self.share_limits),
            default_headers=self.default_headers,
            verify=self.verify,
            proxy=self.proxy,
            trust_env=self.trust_env,
            http_backend=self.http_backend,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
        )


def _client(client: Any, problem: str) -> Any:
    if client is not None and not hasattr(client, "build_request"):
        raise TypeError(f"{problem}; got {type(client).__name__}")
    return client
