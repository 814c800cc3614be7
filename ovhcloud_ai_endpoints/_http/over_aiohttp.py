"""HTTP over aiohttp, for awaited calls that ask for it: sends an attempt of a call, and reads its answer.

A driver, and the only module that imports aiohttp, which is an optional extra.
"""

import asyncio
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from ovhcloud_ai_endpoints._http.bodies import awaited_content, nothing
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.over_httpx import decoded
from ovhcloud_ai_endpoints._http.request import Content, headers_by_name
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, without_password
from ovhcloud_ai_endpoints._http.sockets import opened_socket

SLICE = 256 * 1024  # bytes of a body that are written at once
LARGEST_PIECE = 64 * 1024  # bytes that are read at once, as httpcore has it; each may become a thousand times as large


class AiohttpConnection:
    """One connection; a request opens it if it isn't open.

    Attributes:
        is_free: whether its last answer has been read to the end, so that it can serve another call.
    """

    _response: aiohttp.ClientResponse | None = None
    _chunks: AsyncIterator[bytes]
    _socket: socket.socket | None = None
    _protocol: Any = None  # of the last answer

    def __init__(self, route: ResolvedRoute) -> None:
        self._connector = aiohttp.TCPConnector(
            limit=1,
            ssl=route.tls,
            socket_factory=self._opened,
            keepalive_timeout=None,  # our pools close idle ones
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), response_class=_Response
        )
        self._proxy = None if route.proxy is None else without_password(route.proxy)
        self._proxy_headers = _proxy_headers(route)
        self.is_free = True

    def _opened(self, address: tuple[Any, ...]) -> socket.socket:
        self._socket = opened_socket(address)
        return self._socket

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        self.is_free = False
        self._response = response = await self._answer(call)
        headers = headers_by_name(response.raw_headers)
        self._chunks = aiter(response.content.iter_chunked(LARGEST_PIECE))
        if "content-encoding" in headers:
            self._chunks = decoded(headers, self._chunks)
        return response.status, headers

    async def _answer(self, call: Call[Any]) -> aiohttp.ClientResponse:
        if self._protocol is not None and self._protocol.should_close:  # more came than that answer
            self._protocol.close()
        headers = dict(call.headers)
        if call.content.size:
            headers["Content-Length"] = str(call.content.size)
        if call.url.startswith("http:"):  # else they go to the proxy alone, with CONNECT
            headers |= self._proxy_headers
        response = await self._session.request(
            call.method,
            call.url,
            headers=headers,
            data=_sliced(call.content),
            allow_redirects=False,
            auto_decompress=False,
            skip_auto_headers=("Content-Type",),
            timeout=aiohttp.ClientTimeout(sock_connect=call.connect_timeout(time.monotonic())),
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        )
        self._protocol = getattr(response, "protocol", None)  # vcrpy's answers have none
        return response

    async def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        data = await anext(self._chunks, None)
        if data is None and self._response is not None:
            self._response.release()
            self._response, self._chunks = None, nothing()  # they hold the request, with its key
            self.is_free = True
        return data

    async def aclose(self) -> None:
        """Ends the answer."""
        if not self.is_free:
            self.close()  # first: ending an answer sends a goodbye and waits for the reply
            if self._response is not None:
                self._response.release()

    def close(self) -> None:
        """Closes the socket, without waiting for aiohttp to finish with it."""
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)  # else TLS within a proxy's tunnel waits for a goodbye
        self._session.detach()
        closing = asyncio.ensure_future(self._connector.close(abort_ssl=True))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


class _Response(aiohttp.ClientResponse):
    """Remembers the protocol of its connection, which it may have left before it is seen."""

    protocol: Any = None

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        self.protocol = connection.protocol
        return await super().start(connection)


_closing: set[asyncio.Future[None]] = set()  # a loop itself keeps no task alive


def _sliced(content: Content) -> Any:
    """A body for aiohttp: in slices if it is large, so that the loop runs between them."""
    body = content.body
    if not isinstance(body, bytes) or len(body) <= SLICE:
        return awaited_content(content)
    return _slices(body)


def _proxy_headers(route: ResolvedRoute) -> dict[str, str]:
    parts = urlsplit(route.proxy or "")
    if not parts.username:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), SLICE):
        yield body[at : at + SLICE]
        await asyncio.sleep(0)
