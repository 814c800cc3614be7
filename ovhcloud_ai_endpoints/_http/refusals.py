"""What an unsuccessful answer means: status, headers and body in, an error out.

Pure.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ovhcloud_ai_endpoints._catalogue import advice
from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
)
from ovhcloud_ai_endpoints._http.json import parsed_json
from ovhcloud_ai_endpoints._wordings import says

TRANSIENT_STATUSES = frozenset({408, 409, 429})
RETRY_AFTER = ("retry-after", "llm_provider-retry-after")  # the second is how LiteLLM's proxy passes it on
SHOWN_CHARACTERS = 500
PAGE_CHARACTERS = 2000
PAGE_ADVICE = "Something between you and the service has answered; check base_url and the proxy."

_BY_STATUS: dict[int, type[OVHCloudError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    413: PayloadTooLargeError,
    429: RateLimitError,
}


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
    """The error for an answer with this status, whatever the shape of its body.

    Args:
        url: the URL that was requested.
        model: the name of the model that was requested.
        sent: size of the request's body in bytes.
        now: seconds since the epoch, for a Retry-After that is a date.
    """
    words = message_in(body) or f"The service answered with status {status} and no message"
    kind = _BY_STATUS.get(status, InternalServerError if status >= 500 else BadRequestError)
    if kind is PermissionDeniedError and says(words, "authentication failed"):
        kind = AuthenticationError
    if kind is BadRequestError and says(words, "context overflow"):
        kind = ContextOverflowError
    if kind is BadRequestError and says(words, "unknown key"):
        kind = AuthenticationError
    wait = retry_after(status, headers, now)
    is_page = body.lstrip()[:1] == b"<" and kind in {AuthenticationError, PermissionDeniedError, BadRequestError}
    help_ = PAGE_ADVICE if is_page else advice(kind, words, model=model, url=url, sent=sent, wait=wait)
    text = body[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")
    error = kind(f"{words.rstrip('.')}. {help_}".rstrip(), status=status, headers=headers, body=text)
    error.is_transient = status in TRANSIENT_STATUSES or status >= 500
    error.may_have_taken_effect = status != 429
    error.retry_after = wait
    error.request_id = error.request_id or _field(body, "request_id")
    return error


def event_error(event: Mapping[str, Any], *, body: bytes = b"", model: str | None = None) -> OVHCloudError:
    """The error that an event of a stream reports: the same as for an answer with that HTTP status."""
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


def limit_reached(wait: float, argument: str, model: str | None, *, has_key: bool) -> RateLimitError:
    """The error for a request that is not sent, because the service has said that its limit is reached.

    Args:
        argument: the argument that rules out waiting that long, such as max_wait=5.
    """
    hint = " Without a key it takes 2 requests a minute, with a key 400: set OVHCLOUD_API_KEY." if not has_key else ""
    error = RateLimitError(
        f"The limit for {model} is reached, and the service takes no request for {wait:.0f} s. "
        f"Waiting that long is ruled out by {argument}, so nothing was sent.{hint}"
    )
    error.retry_after = wait
    return error


def message_in(body: bytes) -> str:
    """The message in an error body: `error.message`, `message`, `detail` or its text; the title of an HTML page."""
    try:
        value = parsed_json(body)
    except ValueError:
        value = None
    match value:
        case {"error": {"message": str(words)}} | {"message": str(words)} | {"error": str(words)}:
            pass
        case {"detail": detail}:
            words = str(detail)
        case _:
            words = body.decode("utf-8", "replace").strip()
            if words[:1] == "<":
                words = _page(words)
            elif words[:1] in {"{", "["}:  # cut, or of another shape
                words = words if value is not None else ""
    words = " ".join(words.split())
    return words if len(words) <= SHOWN_CHARACTERS else words[:SHOWN_CHARACTERS] + "…"


def retry_after(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait before another attempt: `Retry-After` (seconds or a date), else on a 429 `RateLimit-Reset`.

    The gateway sends the latter with every answer: it tells when its window ends, whatever else failed.
    """
    for name in (*RETRY_AFTER, "ratelimit-reset") if status == 429 else RETRY_AFTER:
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,99}(\.\d{1,99})?", value):
            return float(value)
        if name in RETRY_AFTER and value[:1].isalpha():
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - now)
            except (OverflowError, TypeError, ValueError):  # what the parser raises for odd dates
                continue
    return None


def _field(body: bytes, name: str) -> str | None:
    try:
        value = parsed_json(body)
    except ValueError:
        return None
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _page(html: str) -> str:
    html = html[:PAGE_CHARACTERS]  # the patterns take quadratic time
    title = re.search(r"<(title|h1)[^>]*>(.*?)</", html, re.IGNORECASE | re.DOTALL)
    text = title[2] if title else re.sub(r"<[^>]*>", " ", html)
    return f"An HTML page, not the API: {text.strip()}"


def proxy_refusal(proxy: str | None, words: str) -> APIConnectionError:
    """The error for a proxy that refuses to pass a request on.

    Args:
        proxy: its URL without a password; None if it is set in the client that the user gave.
        words: what it answered, beginning with the status.
    """
    name = f"The proxy {proxy}" if proxy else "The proxy"
    status = int(words[:3]) if re.match(r"[1-5]\d\d\b", words) else None
    if status in {401, 407}:  # tinyproxy answers a wrong password with the first
        hint = 'Put both into its URL: proxy="http://user:password@host:port".'
        problem = f"{name} asks for a user name and password, or refuses those that it got. {hint}"
    else:
        problem = f"{name} did not pass the request on: {words.rstrip('.')}."
    error = APIConnectionError(problem, status=status)
    error.is_transient = status is None or status >= 500
    error.may_have_taken_effect = False
    return error
