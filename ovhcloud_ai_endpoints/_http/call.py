"""One call: its attempts, its clocks and its answer.

Pure: statuses, headers, bytes and the time come in as values; what to send, how long to wait and what was answered go
out. It knows no endpoint: the request reads its own answer. The drivers in `client.py` do what it says.
"""

import math
from collections.abc import Mapping
from itertools import count
from typing import Any, Generic, TypeVar

from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    InvalidResponseError,
    OVHCloudError,
    RateLimitError,
    hide,
    request_id,
)
from ovhcloud_ai_endpoints._http.clocks import LONGEST, Clocks
from ovhcloud_ai_endpoints._http.limits import Limiter, LimitStore, limiter
from ovhcloud_ai_endpoints._http.refusals import invalid_response, limit_reached, proxy_refusal, status_error
from ovhcloud_ai_endpoints._http.request import Correctable, Request, Whole
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._values import Exchange

MAX_ERROR_BYTES = 64 * 1024
ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})  # others can inflate a byte more than a thousandfold

T = TypeVar("T")
E = TypeVar("E", bound=OVHCloudError)

_tickets = count()  # in which order calls began


class Call(Generic[T]):
    """One call, from the first attempt to the end of a whole answer.

    Args:
        store: where other processes find what is known of the limit; None if it is for this process only.

    Attributes:
        method: the HTTP method.
        url: the full URL, with its query.
        content: the body to send.
        headers: the headers to send; set from the first attempt on.
        clocks: the clocks of the call; set from the first attempt on.
        encodings: the content encodings that a successful answer may have.
        lost_at: when the last attempt lost its connection before any answer; None if it did not.
    """

    clocks: Clocks
    encodings = ENCODINGS
    lost_at: float | None = None

    def __init__(self, settings: Settings, request: Request[T], store: LimitStore | None = None) -> None:
        self.settings = settings
        self._take(request)
        self._store = store
        self.headers: dict[str, str] = {}
        self._secrets: tuple[str, ...] = ()
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

    def _take(self, request: Request[T]) -> None:
        self.request = request
        self.method, self.path, self.model = request.method, request.path, request.model
        self.url = self.settings.base_url + request.path
        self.content = request.content()

    def begin_attempt(self, now: float, chance: float, *, queued: float = 0.0, epoch: float = 0.0) -> float:
        """Begins an attempt with `headers` and returns 0, or returns the seconds to wait before asking again.

        The first call of this starts the clocks, which also run while the service's limit holds the call back.

        Args:
            chance: a random number in [0, 1), so that waiting calls don't all go at once.
            queued: seconds spent waiting for a slot of our own, which no clock counts.
            epoch: seconds since 1970, for a limit that processes share.

        Raises:
            RateLimitError: the wait for the service's limit exceeds `max_wait` or the time that is left, or
                `max_retries` is 0, which rules out waiting too.
        """
        with self.adding_context():
            self._authenticate()
            self._choose_limiter()
            if self._is_timed:
                self.clocks.wait(queued)
            else:
                self.clocks, self._is_timed = Clocks(self.settings.timeouts, now), True
            closed_for = self._limiter.seconds_until_free(now, self._ticket, epoch) if self._limiter else 0.0
            wait = closed_for * (1 + chance / 10)
            left = self.clocks.left(now + wait - closed_for)
            if wait and (argument := self.settings.retry.objection(closed_for, left=left)):
                raise self._error or limit_reached(
                    closed_for, argument, self.model, has_key="Authorization" in self.headers
                )
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
        """Leaves the queue of calls that the service's limit holds back."""
        if self._limiter:
            self._limiter.leave(self._ticket)

    def record_limits(self, now: float, epoch: float) -> float:
        """Records the limits that an answer states; returns the seconds for which it newly holds back all calls, or 0.

        Args:
            epoch: seconds since 1970, for a Retry-After that is a date.
        """
        if self._limiter is None:
            return 0.0
        return self._limiter.record(now, self._status or 0, self._answer_headers, age=now - self._sent, epoch=epoch)

    def connect_timeout(self, now: float) -> float | None:
        """Seconds allowed for connecting; None for no limit."""
        return timeout(min(self.clocks.left(now), self.settings.timeouts.connect or math.inf))

    def read_timeout(self, now: float) -> float | None:
        """Seconds for a single read of the head, for clients that bound only single reads; None for no limit."""
        return timeout(self.clocks.left(now))

    def body_timeout(self, now: float) -> float | None:
        """Seconds for a single read of the body, for clients that bound only single reads; None for no limit."""
        return self.read_timeout(now)

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        """Takes the head of an answer; True if it is a success, after which no attempt follows.

        Args:
            headers: with lower-case names.
        """
        self._status = status
        self._answer_headers = dict(headers)
        return self._is_success

    def begin_body(self) -> bool:
        """Whether the body is to be read; False for that of an error if its content encoding was not asked for.

        Raises:
            InvalidResponseError: the answer is a success, and its content encoding was not asked for, or is applied
                several times over, which can turn bytes into gigabytes.
        """
        encoding = self._answer_headers.get("content-encoding", "").strip().lower()
        if not self._is_success:
            return encoding in ENCODINGS
        if encoding not in self.encodings:
            raise InvalidResponseError(
                f"The answer is encoded as {encoding}, which was not asked for", status=self._status
            )
        return True

    def received(self, data: bytes, now: float) -> bool:
        """Keeps a piece of the body; False once enough of an error's body has come.

        Raises:
            APITimeoutError: the clock ran out.
            InvalidResponseError: the body is larger than the request's answer can be.
        """
        if not self._is_success:
            self._body += data[: MAX_ERROR_BYTES - len(self._body)]
            return len(self._body) < MAX_ERROR_BYTES and self.clocks.left(now) > 0
        if len(self._body) + len(data) > self.request.largest:
            start = bytes(self._body[:200]) + data[:200]
            raise invalid_response(f"The answer is larger than {self.request.largest:,} bytes", start[:200])
        self._body += data
        if self.clocks.left(now) < 0:
            raise self.clocks.expired()
        return True

    def refusal(self, epoch: float, *, proxy: str | None = None) -> OVHCloudError:
        """The error that an unsuccessful answer means.

        Args:
            epoch: seconds since 1970, for a Retry-After that is a date.
            proxy: the URL of the proxy on the way, without a password.
        """
        status = self._status or 0
        if status == 407:
            return proxy_refusal(proxy, "407")
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
            sent=self.content.size,
            now=epoch,
        )

    def next_attempt(self, error: OVHCloudError, *, now: float, chance: float) -> float:
        """Seconds to sleep before the next attempt.

        Raises:
            OVHCloudError: the error itself, if no attempt follows.
        """
        self.with_context(error)
        is_lost = isinstance(error, APIConnectionError) and error.status is None and error.may_have_taken_effect
        self.lost_at = now if is_lost else None
        if not self.request.may_repeat and error.may_have_taken_effect:
            raise error
        if isinstance(self.request, Correctable) and (other := self.request.corrected(error)) is not None:
            self._take(other)
            return 0.0
        left = self.clocks.left(now)
        wait = self.settings.retry.delay(error, attempt=self._attempts, left=left, chance=chance)
        if wait is None:
            raise error
        self._error = error
        if self._limiter and isinstance(error, RateLimitError):
            self._limiter.join(self._ticket)
        self._waited += wait
        return wait

    def given_up(self) -> OVHCloudError:
        """The error of a call that waited for its next attempt when its run was abandoned."""
        return self._error or self.with_context(
            OVHCloudError("Not sent: another request of this run had already failed")
        )

    def meaning_of(self, failure: OVHCloudError) -> OVHCloudError | None:
        """The error that a failed connection means at this point; None if nothing was lost."""
        if self._status is None:
            return self.with_context(failure)
        if not self._is_success:
            return None  # the status says enough
        failure.is_transient = False  # the service is already working on the request and may bill it
        if isinstance(failure, APITimeoutError) or not isinstance(failure, APIConnectionError):
            return self.with_context(failure)
        return self.broken_off()

    def broken_off(self) -> OVHCloudError:
        """The error for an answer whose end is missing."""
        return self.with_context(
            APIConnectionError(
                f"The connection to {self.settings.base_url} was lost before the answer ended. "
                "The request is not sent again, because it may have been billed."
            )
        )

    def with_context(self, error: E) -> E:
        """The same error, with this call's attempts, waits and request id added, and its secrets removed."""
        error.attempts, error.waited = self._attempts, self._waited
        error.request_id = error.request_id or request_id(self._answer_headers)
        hide(error, self._secrets)
        return error

    def adding_context(self) -> "_AddingContext":
        """Applies `with_context` to errors raised in its block."""
        return _AddingContext(self)

    def result(self, now: float) -> T:
        """The value of the whole answer, as the request reads it.

        Raises:
            OVHCloudError: the answer is an error in spite of its status, or can't be read.
        """
        self.clocks.event(now)
        with self.adding_context():
            return self.request.read(self.whole())

    def whole(self) -> Whole:
        """The answer as it came."""
        return Whole(self._status or 0, self._answer_headers, bytes(self._body), self.exchange())

    def exchange(self) -> Exchange:
        """What is known of the call itself."""
        first = self.clocks.first_event
        return Exchange(
            request_id=request_id(self._answer_headers),
            attempts=self._attempts,
            waited=self._waited,
            first_event_after=None if first is None else first - self.clocks.started,
            warning=self.warning,
        )

    @property
    def warning(self) -> str | None:
        """What the answer's header says of the model."""
        return self._answer_headers.get("x-warning")

    def _authenticate(self) -> None:
        """Sets the headers of the next attempt, whose key may have changed."""
        key, self.headers = self.settings.key(), self.settings.headers()
        if self.content.media_type is not None:
            self.headers = {"Content-Type": self.content.media_type, **self.headers}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        self._secrets = (key, *self.settings.default_headers.values())

    def _choose_limiter(self) -> None:
        """Sets the limiter of the key, which may have changed since the last attempt."""
        shares = self.settings.share_limits and self.model is not None
        own = limiter(self.settings.base_url, self._secrets[0], str(self.model), self._store) if shares else None
        if own is not self._limiter:
            self.leave()
            self._limiter = own

    @property
    def _is_success(self) -> bool:
        return self._status is not None and 200 <= self._status < 300


class _AddingContext:
    def __init__(self, call: Call[Any]) -> None:
        self._call = call

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, OVHCloudError):
            self._call.with_context(error)


def timeout(seconds: float) -> float | None:
    """Seconds as sockets take them: positive, and None for no limit."""
    return None if seconds == math.inf else min(max(seconds, 0.001), LONGEST)
