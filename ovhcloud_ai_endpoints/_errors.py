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

Pure: it reads statuses, headers and bodies, and sends nothing.
"""

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ovhcloud_ai_endpoints._models import catalogue_date, ids_of, is_retired, names_of, nearest_names, replacement
from ovhcloud_ai_endpoints._models import model as model_facts

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._answer import Message
    from ovhcloud_ai_endpoints._embeddings import EmbeddingUsage

REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-kong-request-id")  # a guess: none is documented
TRANSIENT_STATUSES = frozenset({408, 409, 429})
SHOWN_CHARACTERS = 500
PAGE_CHARACTERS = 2000
HIDDEN = "**********"
SHORTEST_KEY = 8  # shorter ones are no keys, but words that our own advice may hold

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
        waited: seconds slept between them.
    """

    is_transient = False

    def __init__(
        self, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.request_id = request_id(self.headers)
        self.retry_after: float | None = None
        self.attempts = 1
        self.waited = 0.0

    def hide(self, secret: str) -> None:
        """Takes a secret out of all texts of this error, where a server may have put it."""
        if len(secret) >= SHORTEST_KEY and secret in f"{self.message}{self.body}{self.headers}":
            self.message, self.body = self.message.replace(secret, HIDDEN), self.body.replace(secret, HIDDEN)
            self.headers = {name: value.replace(secret, HIDDEN) for name, value in self.headers.items()}
            self.args = (self.message, *self.args[1:])

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

    partial: "Message | None" = None


class InvalidResponseError(OVHCloudError):
    """The answer can't be read; its first bytes are in the message."""


class EmbeddingsInterruptedError(OVHCloudError):
    """A run of embedding requests failed part of the way.

    Attributes:
        vectors: position of a text in the input -> its vector, for all that were embedded.
        remaining: position of a text in the input -> the text, for all that were not.
        usage: what the requests that succeeded took.
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


_BY_STATUS: dict[int, type[OVHCloudError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    413: PayloadTooLargeError,
    429: RateLimitError,
}

_OVERFLOW = re.compile(
    r"max_tokens must be at least 1"  # vLLM, when the prompt alone fills the window
    r"|(maximum|max) (context|model) length"
    r"|context (length|window) (of|is|exceeded)"
    r"|exceeds? the (model's )?(maximum )?context"
    r"|(prompt|input) is too long"
    r"|longer than the maximum model length",
    re.IGNORECASE,
)


def status_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    model: str | None = None,
    url: str = "",
    sent: int = 0,
    now: float = 0.0,
) -> OVHCloudError:
    """The error that an answer of this status means, whatever the shape of its body.

    Args:
        url: what was asked.
        model: name of the model that was asked for.
        sent: size of the request's body in bytes.
        now: seconds since the epoch, for a Retry-After that is a date.
    """
    said = message_in(body) or f"The service answered with status {status} and no message"
    kind = _BY_STATUS.get(status, InternalServerError if status >= 500 else BadRequestError)
    if kind is PermissionDeniedError and "authenticat" in said.lower():
        kind = AuthenticationError
    if kind is BadRequestError and _OVERFLOW.search(said):
        kind = ContextOverflowError
    wait = retry_after(status, headers, now)
    advice = _advice(kind, said, model=model, url=url, sent=sent, wait=wait)
    text = body[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")
    error = kind(f"{said.rstrip('.')}. {advice}".rstrip(), status=status, headers=headers, body=text)
    error.is_transient = status in TRANSIENT_STATUSES or status >= 500
    error.retry_after = wait
    error.request_id = error.request_id or _field(body, "request_id")
    return error


def event_error(event: Mapping[str, Any], *, body: bytes = b"", model: str | None = None) -> OVHCloudError:
    """The error that a stream reported in one of its events: what the same HTTP status would have meant."""
    error = event.get("error")
    error = error if isinstance(error, Mapping) else event
    code = next((error[key] for key in ("code", "status", "status_code") if error.get(key) is not None), None)
    status = int(code) if isinstance(code, int | str) and re.fullmatch("[45][0-9][0-9]", str(code)) else 500
    return status_error(status, {}, body, model=model)


def invalid_response(problem: str, body: bytes, headers: Mapping[str, str] | None = None) -> InvalidResponseError:
    """An error that shows the first bytes of what could not be read."""
    start = body[:200].decode("utf-8", "backslashreplace")
    shown = f"It begins with {start!r}." if start else "It is empty."
    return InvalidResponseError(f"{problem}. {shown}", headers=headers, body=start)


def limit_reached(wait: float, knob: str, model: str | None, *, has_key: bool) -> RateLimitError:
    """The error for a request that is not sent, because the service has said that its limit is reached.

    Args:
        knob: the argument that forbids to wait.
    """
    advice = " Without a key it takes 2 requests a minute, with one 400: set OVHCLOUD_API_KEY." if not has_key else ""
    error = RateLimitError(
        f"The limit for {model} is reached, and the service takes no request for {wait:.0f} s. {knob} does not allow "
        f"to wait so long, so it was not sent.{advice}"
    )
    error.retry_after = wait
    return error


def message_in(body: bytes) -> str:
    """What an error body says: `error.message`, `message`, or its text; of an HTML page its title."""
    try:
        value = from_json(body, cache_strings="keys")
    except ValueError:
        value = None
    match value:
        case {"error": {"message": str(said)}} | {"message": str(said)} | {"error": str(said)}:
            pass
        case {"detail": detail}:
            said = str(detail)
        case _:
            said = body.decode("utf-8", "replace").strip()
            if said[:1] == "<":
                said = _page(said)
            elif said[:1] in {"{", "["}:  # cut, or of another shape
                said = said if value is not None else ""
    said = " ".join(said.split())
    return said if len(said) <= SHOWN_CHARACTERS else said[:SHOWN_CHARACTERS] + "…"


def retry_after(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait before another try: `Retry-After` (seconds or a date), or on a 429 else `RateLimit-Reset`.

    The latter is on every answer of the gateway and tells when its window ends, whatever else has failed.
    """
    for name in ("retry-after", "ratelimit-reset") if status == 429 else ("retry-after",):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,99}(\.\d{1,99})?", value):
            return float(value)
        if name == "retry-after" and value[:1].isalpha():
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - now)
            except (OverflowError, TypeError, ValueError):  # what the parser raises for odd dates
                continue
    return None


def request_id(headers: Mapping[str, str]) -> str | None:
    """The service's id of a request, if its answer's headers have one."""
    return next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), None)


def _advice(kind: type[OVHCloudError], said: str, *, model: str | None, url: str, sent: int, wait: float | None) -> str:
    if kind is AuthenticationError:
        return KEY_ADVICE
    if kind is PermissionDeniedError:
        return "The project of this key may not use the service; a payment method may be missing."
    if kind is BadRequestError:
        return _advice_for_refusal(said, model)
    if kind is NotFoundError:
        return _advice_for_not_found(model, url)
    if kind is PayloadTooLargeError:
        size = f" {sent / 1e6:.2f} MB were sent." if sent else ""
        return f"One request takes 2 MB at most.{size} Send smaller or fewer images, texts or messages."
    if kind is RateLimitError:
        asked = f"The service asks for {wait:.0f} s of waiting. " if wait is not None else ""
        return (
            f"{asked}With a key the limit is 400 requests a minute for each model, without one 2. "
            "Raise timeout, max_retries or max_wait to wait longer, or set OVHCLOUD_API_KEY if you have not."
        )
    if kind is ContextOverflowError and model and (window := model_facts(model).context_length):
        if url.endswith("/embeddings"):
            return f"{model} takes {window:,} tokens of a text."
        return f"{model} has a window of {window:,} tokens; shorten the messages or lower max_tokens."
    return ""


def _advice_for_refusal(said: str, model: str | None) -> str:
    """What is known of a model that refuses something, as far as its words tell what that is."""
    words = said.lower()
    facts = model_facts(model or "")
    if "extra arguments" in words:
        return "The service takes no such field; leave it out of extra_body, model_kwargs or additional_kwargs."
    if "reasoning effort" in words or "reasoning_effort" in words:
        takes = ", ".join(facts.reasoning_efforts)
        if takes:
            return f"{facts.id} takes reasoning_effort {takes}. {facts.note}".rstrip()
        return f"{facts.id} takes no reasoning_effort." if facts.is_known else ""
    if ("multimodal" in words or "image" in words) and facts.is_known and not facts.image_inputs:
        return f"Models that see images: {', '.join(names_of('image_inputs'))}."
    if "at most" in words and "image" in words and facts.max_images_per_request:
        return f"{facts.id} takes {facts.max_images_per_request} images in a request."
    if "support" in words and "tool" in words and facts.is_known and not facts.tool_calling:
        return f"Models that call tools: {', '.join(names_of('tool_calling'))}."
    is_of_objects = "response_format" in words or ("json" in words and "deserialize" not in words)
    if is_of_objects and facts.is_known and not facts.structured_output:
        return f"Models that give objects: {', '.join(names_of('structured_output'))}."
    return ""


def too_large(body: Mapping[str, Any], size: int) -> PayloadTooLargeError:
    """The error for a request that is not sent, because the service would refuse it.

    Args:
        body: of the request.
        size: of its JSON, in bytes.
    """
    images = re.findall(r"data:[^;,\"']{1,80};base64,[A-Za-z0-9+/=]+", json.dumps(body))
    shown = f"; {len(images)} image(s) make up {sum(map(len, images)) / 1e6:.2f} MB" if images else ""
    texts = body.get("input") or body.get("messages") or []
    return PayloadTooLargeError(
        f"The request has {size / 1e6:.2f} MB, and the service takes 2 MB{shown}. It was not sent. "
        f"Send smaller or fewer images, or less than these {len(texts)} texts or messages."
    )


def _advice_for_not_found(model: str | None, url: str) -> str:
    where = f" Asked was {url}; a base_url ends in /v1." if url else ""
    if not model or (url and "/v1/" not in url):
        return where.lstrip()
    facts = model_facts(model)
    if not facts.is_known:
        if is_retired(model):
            instead = f"; use {replacement(model)}, for example" if replacement(model) else ""
            return f"The model {model!r} has been retired{instead}.{where}"
        return f"The model {model!r} is not known; the nearest names are {', '.join(nearest_names(model))}.{where}"
    if url.endswith("/embeddings") and facts.kind in {"chat", "guard"}:
        return f"{facts.id} is a chat model; use ChatOVHCloud, or one of {', '.join(ids_of('embedding'))}.{where}"
    if url.endswith("/chat/completions") and facts.kind not in {"chat", "guard"}:
        return f"{facts.id} is for {facts.kind} and does not chat.{where}"
    if facts.id != model:
        return f"The service knows {model!r} as {facts.id}, in just this spelling.{where}"
    return f"{facts.id} was served on {catalogue_date()}; it may have been retired since.{where}"


def _field(body: bytes, name: str) -> str | None:
    try:
        value = from_json(body, cache_strings="keys")
    except ValueError:
        return None
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _page(html: str) -> str:
    html = html[:PAGE_CHARACTERS]  # the patterns take time by the square of it
    title = re.search(r"<(title|h1)[^>]*>(.*?)</", html, re.IGNORECASE | re.DOTALL)
    text = title[2] if title else re.sub(r"<[^>]*>", " ", html)
    return f"An HTML page, not the API: {text.strip()}"
