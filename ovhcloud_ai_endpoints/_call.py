"""One call as it is tried, timed and read.

Pure: statuses, headers, bytes and the time come in as values; what to send, how long to wait and what was answered go
out. The drivers in `_transport.py` do what it says.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
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
    event_error,
    invalid_response,
    request_id,
    status_error,
    too_large,
)
from ovhcloud_ai_endpoints._models import is_ovhcloud
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._stream import Delta, Reply
from ovhcloud_ai_endpoints._watch import Watch
from ovhcloud_ai_endpoints._wire import MAX_REQUEST_BYTES, Body, ChatRequest

MAX_ANSWER_BYTES = 128 * 1024 * 1024  # 25 vectors of 4,096 numbers are 2 MB
MAX_ERROR_BYTES = 64 * 1024
NOT_STREAMS = ("application/json", "text/html")

E = TypeVar("E", bound=OVHCloudError)


class Call:
    """From the first attempt to the end of a whole answer.

    Attributes:
        method: of the request, which without a body is GET.
        content: the body to send.
        watch: the clocks.
    """

    def __init__(self, settings: Settings, path: str, body: Mapping[str, Any], now: float) -> None:
        self.settings = settings
        self.url = settings.base_url + path
        self.method = "POST" if body else "GET"
        self.content = encoded(body) if body else b""
        if len(self.content) > MAX_REQUEST_BYTES and is_ovhcloud(settings.base_url):
            raise too_large(body, len(self.content))
        self.watch = Watch(settings.timeouts, now)
        self.model: str | None = body.get("model")
        self._secret = ""
        self._attempts = 0
        self._waited = 0.0
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def attempt(self) -> dict[str, str]:
        """Begins an attempt: the headers to send."""
        self._attempts += 1
        self._status = None
        self._headers = {}
        self._body.clear()
        headers = self.settings.headers()
        self._secret = headers.get("Authorization", "").removeprefix("Bearer ")
        return headers

    def connect_timeout(self, now: float) -> float | None:
        """Seconds for a connection to be made; None is no limit."""
        return _bound(min(self.watch.left(now), self.settings.timeouts.connect or math.inf))

    def read_timeout(self, now: float) -> float | None:
        """Seconds for a single read; None is no limit."""
        return _bound(self.watch.left(now))

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        """Takes the head of an answer; whether it is a success, so that there are no more attempts."""
        self._status = status
        self._headers = {name.lower(): value for name, value in headers.items()}
        return self._is_success

    def begin_body(self) -> None:
        """Checks that the body can be read.

        Raises:
            InvalidResponseError: it is encoded several times over, which can turn bytes into gigabytes.
        """
        encoding = self._headers.get("content-encoding", "")
        if "," in encoding:
            raise InvalidResponseError(
                f"The answer is encoded as {encoding}, which no server needs", status=self._status
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
            target = self._headers.get("location", "elsewhere").partition("?")[0]
            return InvalidResponseError(
                f"The service redirects to {target}, where no key is sent. Set base_url if that is right.",
                status=status,
                headers=self._headers,
            )
        return status_error(
            status,
            self._headers,
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
        self._waited += wait
        return wait

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
        error.request_id = error.request_id or request_id(self._headers)
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
                raise invalid_response("The answer is not a JSON object", raw, self._headers)
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
                return from_json(raw)
            except ValueError as error:
                raise invalid_response("The answer is not JSON", raw, self._headers) from error

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
            return parsedate_to_datetime(self._headers["date"]).date().isoformat()
        except (KeyError, TypeError, ValueError):
            return None

    def exchange(self) -> Exchange:
        """What is known of the call itself."""
        first = self.watch.first_event
        return Exchange(
            request_id=request_id(self._headers),
            attempts=self._attempts,
            waited=self._waited,
            first_event_after=None if first is None else first - self.watch.started,
            warning=self._headers.get("x-warning"),
        )

    @property
    def _is_success(self) -> bool:
        return self._status is not None and 200 <= self._status < 300


class StreamedCall(Call):
    """From the first attempt to the end of a streamed answer.

    Attributes:
        reply: what has been said so far.
    """

    def __init__(self, settings: Settings, path: str, request: ChatRequest, now: float) -> None:
        super().__init__(settings, path, request.body, now)
        self.reply = Reply(request)

    def read_timeout(self, now: float) -> float | None:
        """Seconds for a single read; none once the stream has begun, since then the watch alone bounds its silence."""
        return None if self._is_success else super().read_timeout(now)

    def is_stream(self) -> bool:
        """Whether the answer says that it is a stream, or doesn't say."""
        return not self._headers.get("content-type", "").lower().startswith(NOT_STREAMS)

    def not_a_stream(self, now: float) -> OVHCloudError:
        """The error that a whole body means where a stream was asked for."""
        value, raw = self.body(now)
        if value.get("error"):
            return self.told(event_error(value, body=raw, model=self.model))
        return self.told(invalid_response("The answer is not a stream", raw, self._headers))

    def deltas(self, data: bytes, arrived: float) -> Iterator[Delta]:
        """What these bytes add; events that add nothing are only noticed.

        Raises:
            APITimeoutError: no event has come in time; bytes that are no event don't count.
        """
        for delta in self.reply.feed(data):
            self.watch.event(arrived)
            if delta:
                yield delta
        if self.reply.is_done:
            self.watch.drain(arrived)
        elif self.watch.left(arrived) < 0:
            raise self.watch.expired()

    def last_deltas(self) -> Iterator[Delta]:
        """What is left when the bytes have ended.

        Raises:
            StreamInterruptedError: the answer isn't complete.
            InvalidResponseError: there was nothing in it.
        """
        with self.telling():
            for delta in self.reply.end():
                if delta:
                    yield delta

    def lost(self, error: OVHCloudError) -> OVHCloudError | None:
        """As for a whole answer; what had been said is not lost."""
        return None if self.reply.is_complete else super().lost(error)

    def cut(self) -> OVHCloudError:
        """The error for a stream that broke off, with what had been said."""
        return self.told(self.reply.interrupted(f"The connection to {self.settings.base_url} was lost"))

    def whole(self) -> Answer:
        """The whole answer, once the deltas have ended."""
        return self.reply.answer(self.exchange())


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
    return None if seconds == math.inf else max(seconds, 0.001)
