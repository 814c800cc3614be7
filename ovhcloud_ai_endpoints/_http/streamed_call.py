"""One call whose answer is a stream: its attempts, its clocks and its deltas.

Pure, as `call` is: bytes and the time come in, deltas go out.
"""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http.call import Call, timeout
from ovhcloud_ai_endpoints._http.limits import LimitStore
from ovhcloud_ai_endpoints._http.refusals import event_error, invalid_response
from ovhcloud_ai_endpoints._http.request import Request, StreamedRequest
from ovhcloud_ai_endpoints._http.settings import Settings

D = TypeVar("D")
T = TypeVar("T")


class StreamedCall(Call[T], Generic[D, T]):
    """One call, from the first attempt to the end of a streamed answer.

    Attributes:
        is_over: whether no more bytes come.
    """

    encodings = frozenset({"", "identity"})  # a compressed kilobyte can be a megabyte of blank lines, parsed at once

    def __init__(self, settings: Settings, request: StreamedRequest[D, T], store: LimitStore | None = None) -> None:
        super().__init__(settings, request, store)
        self.is_over = False
        self._pending: Iterator[D] = iter(())
        self._event_came: float | None = None  # when it did, since more bytes were asked for

    def _take(self, request: Request[T]) -> None:
        super()._take(request)
        streamed = cast("StreamedRequest[D, T]", request)
        self._whole_types = tuple(streamed.whole_types)
        self._reader = streamed.reader()

    def _authenticate(self) -> None:
        super()._authenticate()
        self.headers["Accept-Encoding"] = "identity"

    def body_timeout(self, now: float) -> float | None:
        """Seconds for a single read: the longer of the wait for the first event and the silence between two."""
        return timeout(max(self.clocks.left(now), self.settings.timeouts.idle or math.inf))

    def is_stream(self) -> bool:
        """Whether the answer may be a stream, going by its media type."""
        return not self._answer_headers.get("content-type", "").lower().startswith(self._whole_types)

    def not_a_stream(self, now: float) -> OVHCloudError:
        """The error for a whole body where a stream was asked for."""
        self.clocks.event(now)
        with self.adding_context():
            whole = self.whole()
            value = whole.json_object()
            if value.get("error"):
                return self.with_context(event_error(value, body=whole.body, model=self.model))
            return self.with_context(invalid_response("The answer is not a stream", whole.body, whole.headers))

    def feed(self, data: bytes | None, arrived: float) -> None:
        """Takes the next bytes, or None at their end; call it once `next_delta` has returned None."""
        self.is_over = data is None
        self._pending = self._last_deltas() if data is None else self._deltas(data, arrived)

    def next_delta(self) -> D | None:
        """The next non-empty delta already received; None if more bytes are needed.

        Raises:
            OVHCloudError: the bytes hold an error, or can't be read.
            APITimeoutError: no event with content came in time, even if other bytes did.
            StreamInterruptedError: the bytes ended before the answer was complete.
            InvalidResponseError: the bytes ended and held no answer.
        """
        try:  # adding_context() takes a microsecond, and this is done for each delta
            return next(self._pending, None)
        except OVHCloudError as error:
            self.with_context(error)
            raise

    def resume(self, now: float) -> None:
        """More bytes are needed: the time since the last event was the consumer's, and not the service's silence."""
        if self._event_came is not None:
            self.clocks.pause(now - self._event_came)
            self._event_came = None
        if self._reader.is_done:
            self.clocks.drain(now)

    def _deltas(self, data: bytes, arrived: float) -> Iterator[D]:
        for delta in self._reader.feed(data):
            if self._event_came is None and (delta or self._reader.is_complete):
                self._event_came = arrived
                self.clocks.event(arrived)
            if delta:
                yield delta
        if not self._reader.is_done and self.clocks.left(arrived) < 0:
            raise self.clocks.expired()

    def _last_deltas(self) -> Iterator[D]:
        for delta in self._reader.end():
            if delta:
                yield delta

    def meaning_of(self, failure: OVHCloudError) -> OVHCloudError | None:
        """As for a whole answer, but a failure after a complete one loses nothing."""
        return None if self._reader.is_complete else super().meaning_of(failure)

    def broken_off(self) -> OVHCloudError:
        """The error for a stream that broke off, with the partial answer."""
        return self.with_context(self._reader.interrupted(f"The connection to {self.settings.base_url} was lost"))

    def so_far(self) -> T:
        """What the deltas so far add up to: the whole answer, once they have ended."""
        return self._reader.result(self.exchange())
