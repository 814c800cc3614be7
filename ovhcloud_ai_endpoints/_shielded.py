"""A transport of httpx that leaves no connection behind, whenever the task that uses it is cancelled.

httpcore 1.0.9 is made for anyio's cancellation, which spares the moments at which a connection changes hands. asyncio's
own doesn't: a connection that is cancelled then stays in the pool for ever, neither idle nor closed. So opening is
cancelled as anyio does it, and closing isn't cancelled.
"""

import asyncio
from collections.abc import AsyncIterator

import anyio
import httpx


class ShieldedTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = anyio.CancelScope()
        opening = asyncio.create_task(self._open(request, scope))
        try:
            response = await asyncio.shield(opening)
        except asyncio.CancelledError:
            scope.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled() and not opening.exception():
                await opening.result().aclose()
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
        await asyncio.shield(self._stream.aclose())
