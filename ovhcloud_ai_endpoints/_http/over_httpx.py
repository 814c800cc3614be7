"""HTTP over httpx and httpcore: sends an attempt of a call, and reads its answer.

A driver, and the only module that imports them; the first call imports it, since they take up to 290 ms.

Requests go through the transport class that `httpx.Client` itself uses, so that users' tools for mocking and tracing
keep working; we don't need the rest of a client (cookies, redirects, authentication). Each transport has a pool of one
connection, since the cost of every event in httpcore's pool grows with the number of its connections.
"""

import asyncio
import re
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from ovhcloud_ai_endpoints._http.blocking_network import BlockingNetwork, Deadline
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.loop_network import LoopNetwork
from ovhcloud_ai_endpoints._http.request import Content
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, without_password
from ovhcloud_ai_endpoints._http.settings import PORTS
from ovhcloud_ai_endpoints._http.sockets import Failures, opened_socket

SLICE = 256 * 1024  # bytes of a body that are written at once

_BEGUN_CHUNK = re.compile(rb"\r\n0{0,8}[1-9a-fA-F][0-9a-fA-F]{0,7}\r\n.", re.DOTALL)
FAILURES = Failures(connect=httpcore.ConnectError, connect_timeout=httpcore.ConnectTimeout, write=httpcore.WriteError)


class Connection:
    """One blocking connection; a request opens it if it isn't open.

    Attributes:
        is_free: whether its last answer has been read to the end, so that it can serve another call.
    """

    _response: httpx.Response | None = None
    _chunks: Iterator[bytes]
    _received: bytearray  # not read yet

    def __init__(self, route: ResolvedRoute) -> None:
        self._deadline = Deadline()
        self._transport = _Transport(route, BlockingNetwork(self._deadline, FAILURES))
        self.is_free = True

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        self.is_free = False
        self._deadline.clocks = call.clocks
        self._response = self._transport.handle_request(_request(call, _blocking_content(call.content)))
        headers = _headers(self._response)
        stream = cast("Iterable[bytes]", self._response.stream)  # half the cost of httpx's iterators round it
        self._chunks = self._response.iter_bytes() if "content-encoding" in headers else iter(stream)
        self._received = bytearray() if "content-encoding" in headers else _received(self._transport._pool)  # noqa: SLF001
        return self._response.status_code, headers

    def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        data = next(self._chunks, None)
        if data is not None and _is_next_chunk_here(self._received):
            pieces = [data, next(self._chunks)]
            while _is_next_chunk_here(self._received):
                pieces.append(next(self._chunks))
            return b"".join(pieces)
        if data is None and self._response is not None:
            self._response.close()
            self._response, self._chunks = None, iter(())  # they hold the request, with its key
            self.is_free = not _has_surplus(self._transport._pool)  # noqa: SLF001 - our own class's
        return data

    def close(self) -> None:
        self._deadline.clocks = None
        self._transport.close()


class AsyncConnection:
    """The same as `Connection`, to be awaited."""

    _transport: httpx.AsyncBaseTransport
    _response: httpx.Response | None = None
    _chunks: AsyncIterator[bytes]
    _received: bytearray  # not read yet

    def __init__(self, route: ResolvedRoute) -> None:
        self._network = LoopNetwork(FAILURES)
        self._transport = _AsyncTransport(route, self._network)
        self.is_free = True

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        self.is_free = False
        self._response = await self._transport.handle_async_request(self._request(call))
        headers = _headers(self._response)
        stream = cast("AsyncIterable[bytes]", self._response.stream)
        self._chunks = self._response.aiter_bytes() if "content-encoding" in headers else aiter(stream)
        pool = getattr(self._transport, "_pool", None)
        self._received = bytearray() if "content-encoding" in headers else _received(pool)
        return self._response.status_code, headers

    def _request(self, call: Call[Any]) -> httpx.Request:
        return _request(call, _awaited_content(call.content))

    async def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        data = await anext(self._chunks, None)
        if data is not None and _is_next_chunk_here(self._received):
            pieces = [data, await anext(self._chunks)]
            while _is_next_chunk_here(self._received):
                pieces.append(await anext(self._chunks))
            return b"".join(pieces)
        if data is None and self._response is not None:
            await self._response.aclose()
            self._response, self._chunks = None, _nothing()  # they hold the request, with its key
            self.is_free = not _has_surplus(getattr(self._transport, "_pool", None))
        return data

    async def aclose(self) -> None:
        """Ends the answer, which takes no waiting."""
        if not self.is_free:
            self.close()

    def close(self) -> None:
        """Closes the socket; httpcore's own state goes with this object."""
        self._network.abort()


class AiohttpConnection(AsyncConnection):
    """The same as `AsyncConnection`, over aiohttp."""

    _socket: socket.socket | None = None

    def __init__(self, route: ResolvedRoute) -> None:
        import aiohttp  # noqa: PLC0415 - an optional extra
        from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 - as above

        self._connector = aiohttp.TCPConnector(limit=1, ssl=route.tls, socket_factory=self._opened)
        self._session = aiohttp.ClientSession(connector=self._connector, cookie_jar=aiohttp.DummyCookieJar())
        self._proxy_headers = _proxy_headers(route)
        proxy = None if route.proxy is None else httpx.Proxy(without_password(route.proxy), headers=self._proxy_headers)
        self._transport = AiohttpTransport(client=self._session, verify=route.tls, proxy=proxy)
        self.is_free = True

    def _opened(self, address: tuple[Any, ...]) -> socket.socket:
        self._socket = opened_socket(address)
        return self._socket

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        try:
            return await super().send(call)
        except UnicodeError as error:  # httpx-aiohttp encodes the reason phrase as ASCII
            raise httpx.RemoteProtocolError(f"the status line can't be read: {error}") from error

    def _request(self, call: Call[Any]) -> httpx.Request:
        request = _request(call, _sliced(call.content))
        if call.content.size:
            request.headers["Content-Length"] = str(call.content.size)
        if request.url.scheme == "http":  # else they go to the proxy alone, with CONNECT
            request.headers.update(self._proxy_headers)
        return request

    async def aclose(self) -> None:
        """Ends the answer."""
        if not self.is_free:
            self.close()  # first: ending an answer sends a goodbye and waits for the reply
            if self._response is not None:
                await self._response.aclose()

    def close(self) -> None:
        """Closes the socket, without waiting for aiohttp to finish with it."""
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)  # else TLS within a proxy's tunnel waits for a goodbye
        self._session.detach()
        closing = asyncio.ensure_future(self._connector.close(abort_ssl=True))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()  # a loop itself keeps no task alive


class GivenConnection:
    """One call over a client that the user gave, which reads and waits in its own way."""

    is_free = False
    _response: httpx.Response | None = None

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        request = _built_by(self._client, call, _blocking_content(call.content))
        try:
            self._response = self._client.send(request, stream=True, follow_redirects=False)
            self._chunks = self._response.iter_bytes()
        except Exception as error:  # noqa: BLE001 - httpx and httpx2 share no class
            self._response, self._chunks = _refused(error), iter(())
        _bound_body(self._response, call)
        return self._response.status_code, _headers(self._response)

    def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        return next(self._chunks, None)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()


class AsyncGivenConnection:
    """The same as `GivenConnection`, to be awaited."""

    is_free = False
    _response: httpx.Response | None = None

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        request = _built_by(self._client, call, _awaited_content(call.content))
        try:
            self._response = await self._client.send(request, stream=True, follow_redirects=False)
            self._chunks = self._response.aiter_bytes()
        except Exception as error:  # noqa: BLE001 - httpx and httpx2 share no class
            self._response, self._chunks = _refused(error), _nothing()
        _bound_body(self._response, call)
        return self._response.status_code, _headers(self._response)

    async def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        return await anext(self._chunks, None)

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()

    def close(self) -> None:
        """Nothing is left to close after `aclose`."""


class _Transport(httpx.HTTPTransport):
    def __init__(self, route: ResolvedRoute, network: BlockingNetwork) -> None:
        pools = (httpcore.ConnectionPool, httpcore.HTTPProxy, httpcore.SOCKSProxy)
        self._pool = _pool(route, pools, network)


class _AsyncTransport(httpx.AsyncHTTPTransport):
    def __init__(self, route: ResolvedRoute, network: LoopNetwork) -> None:
        pools = (httpcore.AsyncConnectionPool, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy)
        self._pool = _pool(route, pools, network)


def _pool(route: ResolvedRoute, pools: tuple[Any, Any, Any], network: Any) -> Any:
    """A pool of one connection, of the class that httpx has for a route: direct, through a proxy, or through SOCKS."""
    direct, proxied, through_socks = pools
    options: dict[str, Any] = {"ssl_context": route.tls, "max_connections": 1, "network_backend": network}
    if route.proxy is None:
        return direct(**options)
    parts = urlsplit(route.proxy)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    options["proxy_url"] = httpcore.URL(scheme=parts.scheme, host=host, port=port, target="/")
    if parts.username:
        options["proxy_auth"] = tuple(unquote(part or "").encode() for part in (parts.username, parts.password))
    if parts.scheme.startswith("socks"):
        return through_socks(**options)
    return proxied(**options, proxy_ssl_context=route.tls if parts.scheme == "https" else None)


def _parser(pool: Any) -> Any:
    """The h11 object of the pool's connection, to which httpcore has no other way; None if there is none."""
    connection = next(iter(getattr(pool, "connections", ())), None)
    while connection is not None and not hasattr(connection, "_h11_state"):  # a proxy's connection holds another
        connection = getattr(connection, "_connection", None)
    return getattr(connection, "_h11_state", None)


def _has_surplus(pool: Any) -> bool:
    """Whether more came than the answer: it would pass for the answer to the connection's next request."""
    parser = _parser(pool)
    return parser is not None and bool(parser.trailing_data[0])


def _received(pool: Any) -> bytearray:
    """What has come and is not read yet: the parser's own buffer, since a copy for each chunk would be quadratic."""
    found = getattr(getattr(_parser(pool), "_receive_buffer", None), "_data", None)
    return found if isinstance(found, bytearray) else bytearray()


def _is_next_chunk_here(received: bytearray) -> bool:
    """Whether reading on takes no waiting, since the next chunk has come, with the end of the one before.

    Servers send each event as a chunk of its own, and most of the time of a fast stream would go into handing them on.
    """
    return bool(_BEGUN_CHUNK.match(received))


def _request(call: Call[Any], content: Any) -> httpx.Request:
    timeout = {"connect": call.connect_timeout(time.monotonic())}
    return httpx.Request(
        call.method, _url(call.url), headers=call.headers, content=content, extensions={"timeout": timeout}
    )


def _built_by(client: httpx.Client | httpx.AsyncClient, call: Call[Any], content: Any) -> httpx.Request:
    now = time.monotonic()
    connect, left = call.connect_timeout(now), call.read_timeout(now)
    timeout = (connect, left, left, left)  # the form that httpx2 takes too
    return client.build_request(call.method, call.url, content=content, headers=call.headers, timeout=timeout)


def _refused(error: Exception) -> Any:
    """The answer for which a hook of the client raised, with its body closed; other exceptions are raised again."""
    if type(error).__name__ == "HTTPStatusError" and hasattr(error, "response"):
        return error.response
    raise error


def _bound_body(response: httpx.Response, call: Call[Any]) -> None:
    """Sets the timeout for reads of the body, which httpx looks up when the first begins."""
    response.request.extensions.get("timeout", {})["read"] = call.body_timeout(time.monotonic())


def _headers(response: httpx.Response) -> dict[str, str]:
    """The headers of an answer by their lower-case names; httpx's own mapping guesses their encoding at each look."""
    headers: dict[str, str] = {}
    for name, value in response.headers.raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@lru_cache(maxsize=64)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)


def _blocking_content(content: Content) -> Any:
    return content.body() if callable(content.body) else content.body or None


def _awaited_content(content: Content) -> Any:
    return _chunks(content.body()) if callable(content.body) else content.body or None


def _sliced(content: Content) -> Any:
    """A body for aiohttp: in slices if it is large, so that the loop runs between them."""
    body = content.body
    if not isinstance(body, bytes) or len(body) <= SLICE:
        return _awaited_content(content)
    return _slices(body)


def _proxy_headers(route: ResolvedRoute) -> dict[str, str]:
    parts = urlsplit(route.proxy or "")
    if not parts.username:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), SLICE):
        yield body[at : at + SLICE]
        await asyncio.sleep(0)


async def _chunks(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a blocking body, such as a file, read on a thread."""
    rest = iter(chunks)
    while (chunk := await asyncio.to_thread(next, rest, None)) is not None:
        yield chunk


def async_connection(route: ResolvedRoute) -> AsyncConnection | AiohttpConnection:
    """A connection over the HTTP backend that the route asks for."""
    return AiohttpConnection(route) if route.http_backend == "aiohttp" else AsyncConnection(route)
