"""One call as it is tried, timed and read.

Pure: statuses, headers, bytes and the time come in as values; what to send, how long to wait and what was answered go
out. The drivers in `_transport.py` do what it says.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, TypeVar

from pydantic_core import from_json

from ovhcloud_ai_endpoints._answer import Answer, Exchange, read_answer
from ovhcloud_ai_endpoints._embeddings import read_vectors
from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    OVHCloudError,
    RateLimitError,
    invalid_response,
    limit_reached,
    request_id,
    status_error,
    too_large,
)
from ovhcloud_ai_endpoints._limits import Limiter, limiter
from ovhcloud_ai_endpoints._models import is_ovhcloud
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._watch import Watch
from ovhcloud_ai_endpoints._wire import MAX_REQUEST_BYTES, Body, ChatRequest

MAX_ANSWER_BYTES = 128 * 1024 * 1024  # 25 vectors of 4,096 numbers are 2 MB
LONGEST_TIMEOUT = 1e8  # seconds; sockets take no more than some centuries
MAX_ERROR_BYTES = 64 * 1024
ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})  # others make more than a thousand bytes of one

E = TypeVar("E", bound=OVHCloudError)

_tickets = count()  # in which order calls began


class Call:
    """From the first attempt to the end of a whole answer.

    Attributes:
        method: of the request, which without a body is GET.
        content: the body to send.
        headers: to send with it.
        watch: the clocks, from the first attempt on.
    """

    watch: Watch

    def __init__(self, settings: Settings, path: str, body: Mapping[str, Any]) -> None:
        self.settings = settings
        self.path = path
        self.url = settings.base_url + path
        self.method = "POST" if body else "GET"
        self.content = encoded(body) if body else b""
        if len(self.content) > MAX_REQUEST_BYTES and is_ovhcloud(settings.base_url):
            raise too_large(body, len(self.content))
        self.model: str | None = body.get("model")
        self.headers: dict[str, str] = {}
        self._secret = ""
        self._is_timed = False
        self._ticket = next(_tickets)
        self._limiter: Limiter | None = None
        self._sent = 0.0
        self._error: OVHCloudError | None = None
        self._attempts = 0
        self._waited = 0.0
        self._status: int | None = None
        self._answer_headers: dict[str, str] = {}
        self._body = bytearray()

    def turn(self, now: float, chance: float, *, queued: float = 0.0) -> float:
        """Seconds to wait until it is worth asking again; 0 if the next attempt begins now, with `headers`.

        The clocks begin when it is first asked, and go on while the service's limit is waited for.

        Args:
            chance: a random number in [0, 1), so that not all who wait go at once.
            queued: seconds for which a slot of our own was waited for, which no clock counts.

        Raises:
            RateLimitError: the wait for the service's limit is longer than `max_wait` or the time that is left, or
                no retries are wanted, so that no wait is either.
        """
        with self.telling():
            self.headers = self.settings.headers()
            self._secret = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._choose_limiter()
            if self._is_timed:
                self.watch.wait(queued)
            else:
                self.watch, self._is_timed = Watch(self.settings.timeouts, now), True
            said = self._limiter.delay(now, self._ticket) if self._limiter else 0.0
            wait = said * (1 + chance / 10)
            if wait and (knob := self.settings.retry.objection(said, left=self.watch.left(now + wait - said))):
                raise self._error or limit_reached(said, knob, self.model, has_key=bool(self._secret))
        if wait:
            self._waited += wait
            return wait
        self._attempts += 1
        self._sent = now
        self._status = None
        self._answer_headers = {}
        self._body.clear()
        return 0.0

    def leave(self) -> None:
        """Gives up the place among those who wait for the service's limit."""
        if self._limiter:
            self._limiter.leave(self._ticket)

    def observe(self, now: float, epoch: float) -> float:
        """Keeps what an answer says of the limits; the seconds for which it holds all back, if it is the first."""
        if self._limiter is None:
            return 0.0
        return self._limiter.observe(now, self._status or 0, self._answer_headers, age=now - self._sent, epoch=epoch)

    def connect_timeout(self, now: float) -> float | None:
        """Seconds for a connection to be made; None is no limit."""
        return _bound(min(self.watch.left(now), self.settings.timeouts.connect or math.inf))

    def read_timeout(self, now: float) -> float | None:
        """Seconds for a single read; None is no limit."""
        return _bound(self.watch.left(now))

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        """Takes the head of an answer; whether it is a success, so that there are no more attempts."""
        self._status = status
        self._answer_headers = {name.lower(): value for name, value in headers.items()}
        return self._is_success

    def begin_body(self) -> None:
        """Checks that the body can be read.

        Raises:
            InvalidResponseError: it is encoded as was not asked for, or several times over, which can turn bytes into
                gigabytes.
        """
        encoding = self._answer_headers.get("content-encoding", "").strip().lower()
        if self._is_success and encoding not in ENCODINGS:
            raise InvalidResponseError(
                f"The answer is encoded as {encoding}, which was not asked for", status=self._status
            )

    def received(self, data: bytes, now: float) -> bool:
        """Keeps a piece of a body; False if it is an error's and there is enough of it.

        Raises:
            APITimeoutError: the clock ran out.
            InvalidResponseError: the body is too large to be an answer.
        """
        if not self._is_success:
            self._body += data[: MAX_ERROR_BYTES - len(self._body)]
            return len(self._body) < MAX_ERROR_BYTES and self.watch.left(now) > 0
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES:
            raise invalid_response(f"The answer is larger than {MAX_ANSWER_BYTES:,} bytes", bytes(self._body[:200]))
        if self.watch.left(now) < 0:
            raise self.watch.expired()
        return True

    def refusal(self, epoch: float) -> OVHCloudError:
        """The error that an unsuccessful answer means.

        Args:
            epoch: seconds since 1970, for a Retry-After that is a date.
        """
        status = self._status or 0
        if status < 400:
            target = self._answer_headers.get("location", "elsewhere").partition("?")[0]
            return InvalidResponseError(
                f"The service redirects to {target}, where no key is sent. Set base_url if that is right.",
                status=status,
                headers=self._answer_headers,
            )
        return status_error(
            status,
            self._answer_headers,
            bytes(self._body),
            model=self.model,
            url=self.url,
            sent=len(self.content),
            now=epoch,
        )

    def next_attempt(self, error: OVHCloudError, *, now: float, chance: float) -> float:
        """Seconds to sleep before the next attempt.

        Raises:
            OVHCloudError: the error itself, if there is to be none.
        """
        self.told(error)
        left = self.watch.left(now)
        wait = self.settings.retry.delay(error, attempt=self._attempts, left=left, chance=chance)
        if wait is None:
            raise error
        self._error = error
        if self._limiter and isinstance(error, RateLimitError):
            self._limiter.join(self._ticket)
        self._waited += wait
        return wait

    def given_up(self) -> OVHCloudError:
        """The error of a call that was to wait, when no more attempts are wanted."""
        return self._error or self.told(OVHCloudError("No request was sent, because none is wanted any more"))

    def lost(self, error: OVHCloudError) -> OVHCloudError | None:
        """What a failure of the connection means at this point; None if nothing was lost by it."""
        if self._status is None:
            return self.told(error)
        if not self._is_success:
            return None  # its status says enough
        error.is_transient = False  # the service is at work on it and may bill it
        if isinstance(error, APITimeoutError) or not isinstance(error, APIConnectionError):
            return self.told(error)
        return self.cut()

    def cut(self) -> OVHCloudError:
        """The error for an answer that broke off."""
        problem = f"The connection to {self.settings.base_url} was lost before the answer ended"
        return self.told(APIConnectionError(f"{problem}; it is not asked again, because it may have been billed."))

    def told(self, error: E) -> E:
        """The error, which now tells the tries and waits of this call, and the service's id of it."""
        error.attempts, error.waited = self._attempts, self._waited
        error.request_id = error.request_id or request_id(self._answer_headers)
        error.hide(self._secret)
        return error

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Errors that come out of this block are told what is known of the call."""
        try:
            yield
        except OVHCloudError as error:
            self.told(error)
            raise

    def body(self, now: float) -> tuple[Body, bytes]:
        """The JSON object of a whole answer, and its bytes.

        Raises:
            InvalidResponseError: it is none.
        """
        raw = bytes(self._body)
        value = self.json(now)
        with self.telling():
            if not isinstance(value, dict):
                raise invalid_response("The answer is not a JSON object", raw, self._answer_headers)
        return value, raw

    def json(self, now: float) -> Any:
        """The JSON of a whole answer.

        Raises:
            InvalidResponseError: it is none.
        """
        self.watch.event(now)
        raw = bytes(self._body)
        with self.telling():
            try:
                return from_json(raw, cache_strings="keys")  # values are not for a cache that outlives them
            except ValueError as error:
                raise invalid_response("The answer is not JSON", raw, self._answer_headers) from error

    def answer(self, now: float, request: ChatRequest) -> Answer:
        """What a whole answer says.

        Raises:
            OVHCloudError: it is an error in spite of its status, or can't be read.
        """
        body, raw = self.body(now)
        with self.telling():
            return read_answer(body, raw, self.exchange(), request)

    def vectors(self, now: float, *, count: int) -> tuple[list[list[float]], int]:
        """The vectors of an answer, and how many tokens they took.

        Raises:
            OVHCloudError: it is an error in spite of its status, or can't be read.
        """
        body, raw = self.body(now)
        with self.telling():
            return read_vectors(body, raw, count=count)

    def date(self) -> str | None:
        """The day on which it was answered, as YYYY-MM-DD; None if the service did not say."""
        try:
            return parsedate_to_datetime(self._answer_headers["date"]).date().isoformat()
        except (KeyError, TypeError, ValueError):
            return None

    def exchange(self) -> Exchange:
        """What is known of the call itself."""
        first = self.watch.first_event
        return Exchange(
            request_id=request_id(self._answer_headers),
            attempts=self._attempts,
            waited=self._waited,
            first_event_after=None if first is None else first - self.watch.started,
            warning=self._answer_headers.get("x-warning"),
        )

    def _choose_limiter(self) -> None:
        """The limiter of the key, which may be another than at the last attempt."""
        shares = self.settings.share_limits and self.model is not None
        own = limiter(self.settings.base_url, self._secret, str(self.model)) if shares else None
        if own is not self._limiter:
            self.leave()
            self._limiter = own

    @property
    def _is_success(self) -> bool:
        return self._status is not None and 200 <= self._status < 300


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body as JSON bytes.

    Raises:
        BadRequestError: a text in it is not Unicode (half of a surrogate pair), or a number is not finite.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise BadRequestError(f"The request can't be written as JSON: {error}.") from error


def _bound(seconds: float) -> float | None:
    return None if seconds == math.inf else min(max(seconds, 0.001), LONGEST_TIMEOUT)
