"""The constructors' arguments, for type checkers and editors. Written by `make arguments`."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal, TypedDict

from langchain_core.caches import BaseCache
from langchain_core.callbacks.base import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic.types import SecretStr

from ovhcloud_ai_endpoints import EmbeddingUsage, Timeouts
from ovhcloud_ai_endpoints._http import TimeoutLike

ChatModelName = Literal[
    "Qwen3.8-27B",
    "Qwen3.6-27B",
    "Qwen3.5-397B-A17B",
    "Qwen3.5-9B",
    "gpt-oss-120b",
    "gpt-oss-20b",
    "Meta-Llama-3_3-70B-Instruct",
    "Mistral-Small-3.2-24B-Instruct-2506",
    "Mistral-Nemo-Instruct-2407",
    "Mistral-7B-Instruct-v0.3",
    "Qwen3-Coder-30B-A3B-Instruct",
    "Qwen2.5-VL-72B-Instruct",
]


class ChatArguments(TypedDict, total=False):
    name: str | None
    """Name of this object in traces."""
    cache: BaseCache | bool | None
    """A cache of answers; with True, the global one."""
    verbose: bool
    """Whether runs are printed."""
    callbacks: list[BaseCallbackHandler] | BaseCallbackManager | None
    """Handlers of this object's runs."""
    tags: list[str] | None
    """Go into traces."""
    metadata: dict[str, Any] | None
    """Goes into traces."""
    custom_get_token_ids: Callable[[str], list[int]] | None
    """Counts tokens, instead of the estimate."""
    rate_limiter: BaseRateLimiter | None
    """Asked before each request."""
    disable_streaming: bool | Literal["tool_calling"]
    """Whether `stream` gives the whole answer at once; with "tool_calling", when there are tools."""
    output_version: str | None
    """Form of the contents of answers."""
    profile: ModelProfile | None
    """Facts about the model, instead of the catalogue's."""
    api_key: SecretStr | str | Callable[[], str | SecretStr] | None
    """The key, or a function that is called for each request. By default `OVHCLOUD_API_KEY` of the environment,
    else `OVH_AI_ENDPOINTS_ACCESS_TOKEN`, else none, and calls are anonymous. An empty text is anonymous in any
    environment."""
    base_url: str | None
    """URL of the server, up to `/v1`. By default `OVHCLOUD_API_BASE` of the environment, else the service's."""
    timeout: float | Timeouts | TimeoutLike | None
    """Seconds to wait for the answer or for a stream's first event, retries included, and then for each next one;
    or `Timeouts`, which bound each of these by itself."""
    max_retries: int
    """How often a failed request is sent again. With 0, a request is sent once and never waits for the rate limit."""
    max_wait: float
    """Seconds that the service may ask to wait; if it asks for more, the error is raised at once."""
    max_concurrency: int
    """How many requests run at once. Objects with the same number, server and kind of request share these slots:
    in a process for blocking calls, in an event loop for awaited ones. An open stream holds one."""
    share_limits: bool | str | Path
    """Whether all calls of this process with the same key and model wait for the reset, once the service reports
    that the rate limit is reached. With the path of a file, those of all processes of this host that name the same
    file do."""
    default_headers: dict[str, str] | None
    """Headers for each request."""
    verify: bool | str | PathLike[str] | SSLContext
    """Whether to check the server's certificate; or a file or folder of certificates to trust, or an
    `ssl.SSLContext`."""
    proxy: str | None
    """URL of a proxy. By default that of the environment (`HTTPS_PROXY`, `NO_PROXY`), which is read when the first
    connection is opened."""
    trust_env: bool
    """Whether to use the proxies and certificates that the environment names."""
    http_backend: Literal["httpx", "aiohttp"]
    """With "aiohttp", awaited calls go through aiohttp, for apps that use its tooling; it comes with `pip install
    "ovhcloud-ai-endpoints[aiohttp]"`."""
    http_client: Any
    """Your own `httpx.Client` for blocking calls. It is never closed here; `timeout` and headers replace its own,
    and its `auth` replaces the key."""
    http_async_client: Any
    """Your own `httpx.AsyncClient` for awaited calls, as `http_client` is for blocking ones."""
    temperature: float | None
    """How random the answer is: with 0, the likeliest token comes next; 2 is the most."""
    top_p: float | None
    """Tokens are drawn from the likeliest ones that together have this probability."""
    seed: int | None
    """Equal requests with equal seeds get the same answer, as far as the engine can."""
    stop: list[str] | str | None
    """The answer ends before any of these texts; an empty list is unset."""
    presence_penalty: float | None
    """Above 0, tokens that the text holds already become less likely; from -2 to 2."""
    frequency_penalty: float | None
    """Above 0, tokens become less likely with each time they occurred; from -2 to 2."""
    logprobs: bool | None
    """Whether the answer has the log probability of each token."""
    top_logprobs: int | None
    """For how many of the likeliest tokens at each place; asks for `logprobs`, too."""
    reasoning_effort: str | None
    """How long a reasoning model thinks, such as "low", "medium" or "high"; the catalogue knows the levels of each
    model."""
    max_tokens: int | None
    """Tokens that the answer may have, reasoning included; at the bound it breaks off."""
    stream_usage: bool
    """Whether a stream ends with its usage."""
    extra_body: dict[str, Any] | None
    """Fields to merge into the request unchanged, for other servers; the service refuses unknown ones."""
    reasoning_passback: Literal["auto", "always", "never"]
    """Which reasoning goes back to the model: with "auto", that of messages after the last one of the user, as in
    a loop of tool calls; "always" or "never"."""
    neutralize_control_tokens: bool
    """Whether control tokens of chat templates in contents, such as `<|im_end|>`, are broken up for models that
    they may fool."""
    merge_deltas: bool
    """Whether events of a stream that come together are one chunk; with False, each is a chunk of its own."""
    context_window: int | None
    """Tokens of the model's context window, instead of what the catalogue knows."""
    is_function_calling_model: bool | None
    """Whether the model can call tools, instead of what the catalogue knows."""
    streaming: bool
    """Whether `invoke` streams, too."""
    n: int | None
    """Number of answers to a prompt; not in streams."""
    additional_kwargs: dict[str, Any] | None
    """The same as `extra_body`."""
    api_base: str | None
    """The same as `base_url`."""
    async_http_client: Any
    """The same as `http_async_client`."""
    endpoint: str | None
    """The same as `base_url`."""
    max_completion_tokens: int | None
    """The same as `max_tokens`."""
    max_concurrent_requests: int
    """The same as `max_concurrency`."""
    max_new_tokens: int | None
    """The same as `max_tokens`."""
    model_kwargs: dict[str, Any] | None
    """The same as `extra_body`."""
    model_name: str
    """The same as `model`."""
    random_seed: int | None
    """The same as `seed`."""
    request_timeout: float | Timeouts | TimeoutLike | None
    """The same as `timeout`."""
    stop_sequences: list[str] | str | None
    """The same as `stop`."""


EmbeddingModelName = Literal["bge-m3", "bge-multilingual-gemma2", "Qwen3-Embedding-8B"]


class EmbeddingArguments(TypedDict, total=False):
    api_key: SecretStr | str | Callable[[], str | SecretStr] | None
    """The key, or a function that is called for each request. By default `OVHCLOUD_API_KEY` of the environment,
    else `OVH_AI_ENDPOINTS_ACCESS_TOKEN`, else none, and calls are anonymous. An empty text is anonymous in any
    environment."""
    base_url: str | None
    """URL of the server, up to `/v1`. By default `OVHCLOUD_API_BASE` of the environment, else the service's."""
    timeout: float | Timeouts | TimeoutLike | None
    """Seconds to wait for the answer or for a stream's first event, retries included, and then for each next one;
    or `Timeouts`, which bound each of these by itself."""
    max_retries: int
    """How often a failed request is sent again. With 0, a request is sent once and never waits for the rate limit."""
    max_wait: float
    """Seconds that the service may ask to wait; if it asks for more, the error is raised at once."""
    max_concurrency: int
    """How many requests run at once. Objects with the same number and server share these slots: in a process for
    blocking calls, in an event loop for awaited ones."""
    share_limits: bool | str | Path
    """Whether all calls of this process with the same key and model wait for the reset, once the service reports
    that the rate limit is reached. With the path of a file, those of all processes of this host that name the same
    file do."""
    default_headers: dict[str, str] | None
    """Headers for each request."""
    verify: bool | str | PathLike[str] | SSLContext
    """Whether to check the server's certificate; or a file or folder of certificates to trust, or an
    `ssl.SSLContext`."""
    proxy: str | None
    """URL of a proxy. By default that of the environment (`HTTPS_PROXY`, `NO_PROXY`), which is read when the first
    connection is opened."""
    trust_env: bool
    """Whether to use the proxies and certificates that the environment names."""
    http_backend: Literal["httpx", "aiohttp"]
    """With "aiohttp", awaited calls go through aiohttp, for apps that use its tooling; it comes with `pip install
    "ovhcloud-ai-endpoints[aiohttp]"`."""
    http_client: Any
    """Your own `httpx.Client` for blocking calls. It is never closed here; `timeout` and headers replace its own,
    and its `auth` replaces the key."""
    http_async_client: Any
    """Your own `httpx.AsyncClient` for awaited calls, as `http_client` is for blocking ones."""
    dimensions: int | None
    """Width of the vectors, if the model has several: only Qwen3-Embedding-8B does."""
    encoding_format: Literal["auto", "base64", "float"]
    """How vectors travel: with "auto" as base64, which is short and quick to read, or as lists of numbers where a
    server refuses that; "base64" and "float" ask for one of them."""
    query_instruction: str | None
    """Put before each question, unchanged."""
    document_instruction: str | None
    """Put before each text, unchanged."""
    truncate: bool
    """Whether to embed only the beginning of a text that is too long for the model, and log a warning; otherwise
    an error names the text."""
    show_progress: bool
    """Whether to show a progress bar, which needs `tqdm`."""
    on_usage: Callable[[EmbeddingUsage], object] | None
    """Called with an `EmbeddingUsage` after each successful call, or each part of an `embed_iter`."""
    extra_body: dict[str, Any] | None
    """Fields to merge into each request unchanged, for other servers; the service refuses unknown ones."""
    batch_size: int
    """Number of texts in a request; 25 is the service's limit."""
    access_token: SecretStr | str | Callable[[], str | SecretStr] | None
    """The same as `api_key`."""
    additional_kwargs: dict[str, Any] | None
    """The same as `extra_body`."""
    api_base: str | None
    """The same as `base_url`."""
    async_http_client: Any
    """The same as `http_async_client`."""
    chunk_size: int
    """The same as `batch_size`."""
    embed_batch_size: int
    """The same as `batch_size`."""
    endpoint: str | None
    """The same as `base_url`."""
    max_concurrent_requests: int
    """The same as `max_concurrency`."""
    model_kwargs: dict[str, Any] | None
    """The same as `extra_body`."""
    model_name: str
    """The same as `model`."""
    request_timeout: float | Timeouts | TimeoutLike | None
    """The same as `timeout`."""
    show_progress_bar: bool
    """The same as `show_progress`."""
    text_instruction: str | None
    """The same as `document_instruction`."""
