"""Everything that can go wrong, as one tree.

    OVHCloudError
     ├── BadRequestError              400, 422 and other 4xx: the request must change
     │    └── ContextOverflowError    the messages and the answer don't fit the model's window
     ├── AuthenticationError          401, or a 403 whose message mentions authentication
     ├── PermissionDeniedError        403: the key is good, the project may not do this
     ├── NotFoundError                404: no such model, or no such path
     ├── PayloadTooLargeError         413: more than 2 MB in one request, or 10 MB with images
     ├── RateLimitError               429
     ├── InternalServerError          5xx
     ├── APIConnectionError           no connection, or it was lost before the answer ended
     │    └── APITimeoutError         also a TimeoutError: one of the clocks of `Timeouts` ran out
     ├── StreamInterruptedError       a stream broke off; has the partial answer
     ├── InvalidResponseError         the answer is not what the API documents
     └── EmbeddingsInterruptedError   some texts are embedded, some are not; has both

`_http/refusals.py` turns answers into these errors; `_catalogue/refusals.py` adds what to do about them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes 2 ms
    from ovhcloud_ai_endpoints._values import EmbeddingUsage, Message

# A guess, since none is documented; the last is that of LiteLLM's proxy.
REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-kong-request-id", "x-litellm-call-id")
HIDDEN = "**********"
SHORTEST_SECRET = 8  # shorter strings stay, since they may be words of our own advice
# Control characters, and those that change the direction of text (Unicode 15, section 23.2).
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

KEY_ADVICE = (
    "Give a valid key as api_key= or in OVHCLOUD_API_KEY; keys are made in the OVHcloud Manager under "
    'Public Cloud > AI & Machine Learning > AI Endpoints > API keys. Without a key (api_key="") '
    "the service answers anonymously, at 2 requests a minute for each model."
)


class OVHCloudError(Exception):
    """Any failure of a call to OVHcloud AI Endpoints.

    Attributes:
        status: HTTP status of the answer; None if no answer came.
        request_id: the service's id of the request, for support.
        headers: headers of the answer, with lower-case names.
        body: the answer's body as text; only its beginning if it was long.
        retry_after: seconds that the service asked to wait before another attempt; None if it didn't say.
        attempts: requests made for this call.
        waited: seconds slept before and between the attempts.
        is_transient: whether the request is retried automatically. The service may still bill each attempt, unless
            `may_have_taken_effect` is False.
        may_have_taken_effect: False if no connection was made, or a limit refused the request.
    """

    is_transient = False
    may_have_taken_effect = True

    def __init__(
        self, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        message = printable(message)
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.request_id = request_id(self.headers)
        self.retry_after: float | None = None
        self.attempts = 1
        self.waited = 0.0

    def __str__(self) -> str:
        facts = [f"HTTP {self.status}"] if self.status else []
        facts += [f"request id {self.request_id}"] if self.request_id else []
        facts += [f"{self.attempts} attempts, {self.waited:.1f} s waited"] if self.attempts > 1 else []
        return f"{self.message} [{'; '.join(facts)}]" if facts else self.message


class BadRequestError(OVHCloudError):
    """The service refused the request as it is (400, 422 and other 4xx)."""


class ContextOverflowError(BadRequestError):
    """The messages and the room for the answer don't fit the model's context window."""


class AuthenticationError(OVHCloudError):
    """The key is wrong, expired or revoked (401, or a 403 about authentication)."""


class PermissionDeniedError(OVHCloudError):
    """The key is valid, but its project may not do this (403)."""


class NotFoundError(OVHCloudError):
    """There is no such model or no such path (404)."""


class PayloadTooLargeError(OVHCloudError):
    """The request was larger than the service takes: 2 MB, or 10 MB for models that see images (413)."""


class RateLimitError(OVHCloudError):
    """Too many requests in this minute for this key and model (429); `status` is None if nothing was sent."""


class InternalServerError(OVHCloudError):
    """The service failed (5xx)."""


class APIConnectionError(OVHCloudError):
    """The service could not be reached, or the connection was lost before the answer ended."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """One of the clocks of `Timeouts` ran out, or the service gave up waiting (408)."""


class StreamInterruptedError(OVHCloudError):
    """A stream ended before the answer did.

    Attributes:
        partial: the answer as far as it had arrived: text, reasoning and tool calls (the last perhaps cut off).
    """

    partial: "Message"


class InvalidResponseError(OVHCloudError):
    """The answer can't be read; a proxy's page, say."""


class EmbeddingsInterruptedError(OVHCloudError):
    """A run of embedding requests failed part of the way.

    Attributes:
        vectors: the vectors of the texts that were embedded, by position in the input.
        remaining: the texts that were not embedded, by position in the input.
        usage: texts, requests and tokens of the requests that succeeded.
    """

    usage: "EmbeddingUsage | None" = None

    def __init__(
        self,
        message: str,
        *,
        vectors: Mapping[int, list[float]] | None = None,
        remaining: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.vectors = dict(vectors or {})
        self.remaining = dict(remaining or {})


def request_id(headers: Mapping[str, str]) -> str | None:
    """The service's id of a request, from the headers of its answer; None if they have none."""
    return next((printable(headers[name]) for name in REQUEST_ID_HEADERS if headers.get(name)), None)


def printable(text: str) -> str:
    """Escapes characters that could move a terminal's cursor, change its colours or reverse its text."""
    return text if text.isprintable() else UNPRINTABLE.sub(_escaped, text)


def hide(error: OVHCloudError, secrets: Iterable[str]) -> None:
    """Removes secrets that a server repeated from an error's message, body and headers."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET and secret in f"{error.message}{error.body}{error.headers}":
            error.message, error.body = error.message.replace(secret, HIDDEN), error.body.replace(secret, HIDDEN)
            error.headers = {name: value.replace(secret, HIDDEN) for name, value in error.headers.items()}
            error.args = (error.message, *error.args[1:])


def _escaped(found: re.Match[str]) -> str:
    return " " if found[0] in "\n\r\t" else found[0].encode("unicode_escape").decode()
