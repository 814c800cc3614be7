"""Sends, times, retries and reads one call over HTTP. Knows no endpoint: a request knows how to read its answer."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._http.client import AsyncClient, AsyncStream, Client, Stream, set_within
    from ovhcloud_ai_endpoints._http.json import parsed_json
    from ovhcloud_ai_endpoints._http.loop_pools import aclose, running_loop
    from ovhcloud_ai_endpoints._http.process_pools import close
    from ovhcloud_ai_endpoints._http.refusals import event_error, invalid_response, message_in, status_error
    from ovhcloud_ai_endpoints._http.request import (
        Content,
        Reader,
        Request,
        StreamedRequest,
        Whole,
        json_content,
    )
    from ovhcloud_ai_endpoints._http.retry import Retry
    from ovhcloud_ai_endpoints._http.sending import Waiting, has_sender, refusing_others, set_sender
    from ovhcloud_ai_endpoints._http.settings import (
        BASE_URL_VARIABLE,
        CHAT_CONCURRENCY,
        EMBEDDING_CONCURRENCY,
        KEY_VARIABLES,
        HTTPBackend,
        Settings,
        TimeoutLike,
        Timeouts,
        checked_base_url,
        checked_proxy,
        environment_base_url,
        environment_key,
        is_in_the_clear,
    )
    from ovhcloud_ai_endpoints._http.sse import Decoder
    from ovhcloud_ai_endpoints._http.tls import Verify
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "client": ("AsyncClient", "AsyncStream", "Client", "Stream", "set_within"),
            "json": ("parsed_json",),
            "loop_pools": ("aclose", "running_loop"),
            "process_pools": ("close",),
            "refusals": ("event_error", "invalid_response", "message_in", "status_error"),
            "request": ("Content", "Reader", "Request", "StreamedRequest", "Whole", "json_content"),
            "retry": ("Retry",),
            "sending": ("Waiting", "set_sender", "has_sender", "refusing_others"),
            "settings": (
                "BASE_URL_VARIABLE",
                "CHAT_CONCURRENCY",
                "EMBEDDING_CONCURRENCY",
                "KEY_VARIABLES",
                "HTTPBackend",
                "Settings",
                "TimeoutLike",
                "Timeouts",
                "checked_base_url",
                "checked_proxy",
                "environment_base_url",
                "environment_key",
                "is_in_the_clear",
            ),
            "sse": ("Decoder",),
            "tls": ("Verify",),
        },
    )

__all__ = [
    "BASE_URL_VARIABLE",
    "CHAT_CONCURRENCY",
    "EMBEDDING_CONCURRENCY",
    "KEY_VARIABLES",
    "AsyncClient",
    "AsyncStream",
    "Client",
    "Content",
    "Decoder",
    "HTTPBackend",
    "Reader",
    "Request",
    "Retry",
    "Settings",
    "Stream",
    "StreamedRequest",
    "TimeoutLike",
    "Timeouts",
    "Verify",
    "Waiting",
    "Whole",
    "aclose",
    "checked_base_url",
    "checked_proxy",
    "close",
    "environment_base_url",
    "environment_key",
    "event_error",
    "has_sender",
    "invalid_response",
    "is_in_the_clear",
    "json_content",
    "message_in",
    "parsed_json",
    "refusing_others",
    "running_loop",
    "set_sender",
    "set_within",
    "status_error",
]
