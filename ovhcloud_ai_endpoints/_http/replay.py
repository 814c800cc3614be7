"""A whole answer, told as the stream that was asked for.

Pure: a sender has the answer, and the request's own reader reads it.
"""

from collections.abc import Iterator
from typing import Generic, Self, TypeVar, cast

from ovhcloud_ai_endpoints._http.request import Reader, StreamedRequest, Whole
from ovhcloud_ai_endpoints._http.sending import Sender, aanswered, answered
from ovhcloud_ai_endpoints._http.settings import Settings

D = TypeVar("D")
T = TypeVar("T")


class Replay(Generic[D, T]):
    """The stream of an answer that a sender has: enter it, then iterate once over its deltas; with `await` too."""

    _reader: Reader[D, T]
    _whole: Whole
    _deltas: Iterator[D]

    def __init__(self, sender: Sender, settings: Settings, request: StreamedRequest[D, T]) -> None:
        self._sender, self._settings, self._request = sender, settings, request

    def __enter__(self) -> Self:
        self._begin(*answered(self._sender, self._settings, self._request))
        return self

    async def __aenter__(self) -> Self:
        self._begin(*await aanswered(self._sender, self._settings, self._request))
        return self

    def _begin(self, asked: object, whole: Whole) -> None:
        request = cast("StreamedRequest[D, T]", asked)
        self._reader, self._whole = request.reader(), whole
        self._deltas = self._read(request.as_stream(whole))

    def _read(self, stream: bytes) -> Iterator[D]:
        yield from filter(None, self._reader.feed(stream))
        yield from filter(None, self._reader.end())

    def __exit__(self, *_: object) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> D:
        return next(self._deltas)

    async def __anext__(self) -> D:
        for delta in self._deltas:
            return delta
        raise StopAsyncIteration

    def so_far(self) -> T:
        """What the deltas so far add up to."""
        return self._reader.result(self._whole.exchange)

    def result(self) -> T:
        """The whole answer, once the deltas have ended."""
        return self.so_far()
