"""Everything that can go wrong, as one tree.

    OVHCloudError
     ├── BadRequestError              400, 422 and other 4xx: the request must change
     │    └── ContextOverflowError    the messages and the answer don't fit the model's window
     ├── AuthenticationError          401, and a 403 that speaks of authentication
     ├── PermissionDeniedError        403: the key is good, the project may not do this
     ├── NotFoundError                404: no such model, or no such path
     ├── PayloadTooLargeError         413: more than 2 MB in one request
     ├── RateLimitError               429
     ├── InternalServerError          5xx
     ├── APIConnectionError           no connection, or it was lost before any answer
     │    └── APITimeoutError         also a TimeoutError: one of the clocks of `Timeouts` ran out
     ├── StreamInterruptedError       a stream that ended before the answer did; has what had arrived
     ├── InvalidResponseError         an answer that is not what the API is documented to send
     └── EmbeddingsInterruptedError   some texts are embedded, some are not; has both

What an answer means is read in `_http/refusals.py`, what helps in `_catalogue/advice.py`.
"""

import re
from collections.abc import Iterable, Mapping

from ovhcloud_ai_endpoints._values import EmbeddingUsage, Message

REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-kong-request-id")  # a guess: none is documented
HIDDEN = "**********"
SHORTEST_SECRET = 8  # shorter ones are no secrets, but words that our own advice may hold
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
        status: HTTP status of the answer, or None if there was none.
        request_id: the service's id of the request, for support.
        headers: headers of the answer, lower-case names.
        body: the answer's body as text, its beginning if it was long.
        retry_after: seconds to wait before another try, as far as the service said so.
        attempts: requests made for this call.
        is_transient: whether the same request may be sent again without harm; these are tried again by themselves.
        may_have_taken_effect: False if no connection was made, or a limit refused the request.
        waited: seconds slept between them.
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
    """The service refused the request as it is."""


class ContextOverflowError(BadRequestError):
    """The messages and the room for the answer don't fit the model's context window."""


class AuthenticationError(OVHCloudError):
    """The key is wrong, expired or revoked."""


class PermissionDeniedError(OVHCloudError):
    """The key is valid, but its project may not do this."""


class NotFoundError(OVHCloudError):
    """There is no such model or no such path."""


class PayloadTooLargeError(OVHCloudError):
    """The request was larger than the service takes (2 MB)."""


class RateLimitError(OVHCloudError):
    """Too many requests in this minute for this key and model."""


class InternalServerError(OVHCloudError):
    """The service failed."""


class APIConnectionError(OVHCloudError):
    """The service could not be reached, or the connection was lost before any answer."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """One of the clocks of `Timeouts` ran out, or the service gave up waiting (408)."""


class StreamInterruptedError(OVHCloudError):
    """A stream ended before the answer did.

    Attributes:
        partial: what had arrived: text, reasoning and tool calls (perhaps cut).
    """

    partial: Message | None = None


class InvalidResponseError(OVHCloudError):
    """The answer can't be read; its first bytes are in the message."""


class EmbeddingsInterruptedError(OVHCloudError):
    """A run of embedding requests failed part of the way.

    Attributes:
        vectors: position of a text in the input -> its vector, for all that were embedded.
        remaining: position of a text in the input -> the text, for all that were not.
        usage: what the requests that succeeded took.
    """

    usage: EmbeddingUsage | None = None

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
    """The service's id of a request, if its answer's headers have one."""
    return next((printable(headers[name]) for name in REQUEST_ID_HEADERS if headers.get(name)), None)


def printable(text: str) -> str:
    """The text without what moves a terminal's cursor, changes its colours, or reverses its direction."""
    return text if text.isprintable() else UNPRINTABLE.sub(_escaped, text)


def hide(error: OVHCloudError, secrets: Iterable[str]) -> None:
    """Takes secrets out of all texts of an error, where a server may have repeated them."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET and secret in f"{error.message}{error.body}{error.headers}":
            error.message, error.body = error.message.replace(secret, HIDDEN), error.body.replace(secret, HIDDEN)
            error.headers = {name: value.replace(secret, HIDDEN) for name, value in error.headers.items()}
            error.args = (error.message, *error.args[1:])


def _escaped(found: re.Match[str]) -> str:
    return " " if found[0] in "\n\r\t" else found[0].encode("unicode_escape").decode()
