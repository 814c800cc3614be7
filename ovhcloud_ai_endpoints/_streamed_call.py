"""One call whose answer is a stream, as it is tried, timed and read.

Pure, as `_call` is: bytes and the time come in, deltas go out.
"""

from collections.abc import Iterator

from ovhcloud_ai_endpoints._answer import Answer
from ovhcloud_ai_endpoints._call import Call
from ovhcloud_ai_endpoints._errors import OVHCloudError, event_error, invalid_response
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._stream import Delta, Reply
from ovhcloud_ai_endpoints._wire import ChatRequest

NOT_STREAMS = ("application/json", "text/html")


class StreamedCall(Call):
    """From the first attempt to the end of a streamed answer.

    Attributes:
        reply: what has been said so far.
        is_over: whether there are no more bytes to come.
    """

    def __init__(self, settings: Settings, path: str, request: ChatRequest) -> None:
        super().__init__(settings, path, request.body)
        self.reply = Reply(request)
        self.is_over = False
        self._pending: Iterator[Delta] = iter(())
        self._given: float | None = None
        self._paused = 0.0  # seconds that the reader took since the last bytes came

    def read_timeout(self, now: float) -> float | None:
        """Seconds for a single read; none once the stream has begun, since then the watch alone bounds its silence."""
        return None if self._is_success else super().read_timeout(now)

    def is_stream(self) -> bool:
        """Whether the answer says that it is a stream, or doesn't say."""
        return not self._answer_headers.get("content-type", "").lower().startswith(NOT_STREAMS)

    def not_a_stream(self, now: float) -> OVHCloudError:
        """The error that a whole body means where a stream was asked for."""
        value, raw = self.body(now)
        if value.get("error"):
            return self.told(event_error(value, body=raw, model=self.model))
        return self.told(invalid_response("The answer is not a stream", raw, self._answer_headers))

    def feed(self, data: bytes | None, arrived: float) -> None:
        """Takes the next bytes, once `next_delta` has nothing more to give; None is their end."""
        self.is_over = data is None
        self._paused = 0.0
        self._pending = self._last_deltas() if data is None else self._deltas(data, arrived)

    def next_delta(self) -> Delta | None:
        """The next of what has come and adds something; None if there is none.

        Raises:
            OVHCloudError: what has come is an error, or can't be read.
            APITimeoutError: no event that adds something has come in time, whatever else has.
            StreamInterruptedError: there is no more, and the answer isn't complete.
            InvalidResponseError: there is no more, and there was nothing in it.
        """
        with self.telling():
            return next(self._pending, None)

    def resume(self, now: float) -> None:
        """The reader asks for more; what it did since it was given something is not the service's silence."""
        if self._given is not None:
            self.watch.pause(now - self._given)
            self._paused += now - self._given

    def pause(self, now: float) -> None:
        """The reader is given something."""
        self._given = now

    def _deltas(self, data: bytes, arrived: float) -> Iterator[Delta]:
        for delta in self.reply.feed(data):
            if delta or self.reply.is_complete:
                self.watch.event(arrived + self._paused)
            if delta:
                yield delta
        if self.reply.is_done:
            self.watch.drain(arrived + self._paused)
        elif self.watch.left(arrived + self._paused) < 0:
            raise self.watch.expired()

    def _last_deltas(self) -> Iterator[Delta]:
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
