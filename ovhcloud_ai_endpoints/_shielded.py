"""A transport of httpx that leaves no connection behind, whenever the task that uses it is cancelled.

httpcore 1.0.9 is made for anyio's cancellation, which spares the moments at which a connection changes hands. asyncio's
own doesn't: a connection that is cancelled then stays in the pool for ever, neither idle nor closed. So opening is
cancelled as anyio does it, and closing isn't cancelled, neither by a task's `cancel` nor by anyio, which cancels again
at each turn of the loop. (Two calls of `cancel` within a few turns while a body is read can still leave one behind.)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import anyio
import httpx

_closing: set[asyncio.Future[None]] = set()  # a loop itself keeps no task alive


class ShieldedTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = anyio.CancelScope()
        opening = asyncio.create_task(self._open(request, scope))
        try:
            response = await asyncio.shield(opening)
        except asyncio.CancelledError:
            scope.cancel()
            opening.add_done_callback(_close_what_came)
            with anyio.CancelScope(shield=True):
                await asyncio.wait([opening])
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Shielded(response.stream)
        return response

    async def _open(self, request: httpx.Request, scope: anyio.CancelScope) -> httpx.Response:
        with scope:
            return await super().handle_async_request(request)
        raise asyncio.CancelledError  # which the scope has taken for its own


class _Shielded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await asyncio.shield(_begun(self._stream.aclose()))


def _close_what_came(opening: asyncio.Task[httpx.Response]) -> None:
    if not opening.cancelled() and not opening.exception():
        _begun(opening.result().aclose())


def _begun(closing: Awaitable[None]) -> asyncio.Future[None]:
    task = asyncio.ensure_future(closing)
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return task
