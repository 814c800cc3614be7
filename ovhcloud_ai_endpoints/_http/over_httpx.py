"""HTTP over httpx and httpcore: sends an attempt of a call, and reads its answer.

A driver, and the only module that imports them; the first call imports it, since they take up to 290 ms.

Requests go to httpcore, which `httpx.Client` itself uses; we don't need the rest of a client (cookies, redirects,
authentication), which takes longer than httpcore. Where a user's tool for mocking or tracing has patched httpx's
transport, they go through that. Each connection is one of httpcore's without its pool, or with a pool of one for a
proxy, since the cost of every event in httpcore's pool grows with the number of its connections.
"""

import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from ovhcloud_ai_endpoints._http.blocking_network import BlockingNetwork, Deadline
from ovhcloud_ai_endpoints._http.bodies import awaited_content, blocking_content, nothing
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.loop_network import LoopNetwork
from ovhcloud_ai_endpoints._http.request import headers_by_name
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute
from ovhcloud_ai_endpoints._http.settings import PORTS
from ovhcloud_ai_endpoints._http.sockets import Failures

HTTPX_FILE = httpx.HTTPTransport.__init__.__code__.co_filename
# The end of an HTTP chunk, the size of the next one, and its first byte.
_BEGUN_CHUNK = re.compile(rb"\r\n0{0,8}[1-9a-fA-F][0-9a-fA-F]{0,7}\r\n.", re.DOTALL)
FAILURES = Failures(connect=httpcore.ConnectError, connect_timeout=httpcore.ConnectTimeout, write=httpcore.WriteError)


class Connection:
    """One blocking connection; a request opens it if it isn't open.

    Attributes:
        is_free: whether its last answer has been read to the end, so that it can serve another call.
    """

    _response: Any = None  # of httpcore, or of httpx
    _chunks: Iterator[bytes]
    _received: bytearray  # not read yet

    def __init__(self, route: ResolvedRoute) -> None:
        self._deadline = Deadline()
        pools = (_OneConnection, httpcore.HTTPProxy, httpcore.SOCKSProxy)
        self._pool = _pool(route, pools, BlockingNetwork(self._deadline, FAILURES))
        self.is_free = True

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        self.is_free = False
        self._deadline.clocks = call.clocks
        status, headers, self._response = self._answer(call)
        if "content-encoding" in headers:
            body = httpx.Response(200, headers=headers, stream=_Body(self._response.stream))
            self._chunks, self._received = body.iter_bytes(), bytearray()
        else:
            self._chunks, self._received = iter(self._response.stream), _received(self._pool, headers)
        return status, headers

    def _answer(self, call: Call[Any]) -> tuple[int, dict[str, str], Any]:
        content = blocking_content(call.content)
        if _is_httpxs_own(httpx.HTTPTransport.handle_request):
            response = self._pool.handle_request(_core_request(call, content or ()))
            return response.status, headers_by_name(response.headers), response
        return _answered(_Transport(self._pool).handle_request(_request(call, content)))

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
            self.is_free = not _has_surplus(self._pool)
        return data

    def close(self) -> None:
        self._deadline.clocks = None
        self._pool.close()


class AsyncConnection:
    """The same as `Connection`, to be awaited."""

    _response: Any = None  # of httpcore, or of httpx
    _chunks: AsyncIterator[bytes]
    _received: bytearray

    def __init__(self, route: ResolvedRoute) -> None:
        self._network = LoopNetwork(FAILURES)
        pools = (_OneAsyncConnection, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy)
        self._pool = _pool(route, pools, self._network)
        self.is_free = True

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        self.is_free = False
        status, headers, self._response = await self._answer(call)
        if "content-encoding" in headers:
            self._chunks, self._received = decoded(headers, self._response.stream), bytearray()
        else:
            self._chunks, self._received = aiter(self._response.stream), _received(self._pool, headers)
        return status, headers

    async def _answer(self, call: Call[Any]) -> tuple[int, dict[str, str], Any]:
        content = awaited_content(call.content)
        if _is_httpxs_own(httpx.AsyncHTTPTransport.handle_async_request):
            response = await self._pool.handle_async_request(_core_request(call, content or nothing()))
            return response.status, headers_by_name(response.headers), response
        return _answered(await _AsyncTransport(self._pool).handle_async_request(_request(call, content)))

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
            self._response, self._chunks = None, nothing()  # they hold the request, with its key
            self.is_free = not _has_surplus(self._pool)
        return data

    async def aclose(self) -> None:
        """Ends the answer, which takes no waiting."""
        if not self.is_free:
            self.close()

    def close(self) -> None:
        """Closes the socket; httpcore's own state goes with this object."""
        self._network.abort()


class _OneConnection:
    """One direct connection with the interface of a pool; it is opened anew once the server has closed it."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._connection: httpcore.HTTPConnection | None = None

    @property
    def connections(self) -> list[httpcore.HTTPConnection]:
        return [self._connection] if self._connection else []

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        connection = self._connection
        if connection is None or connection.is_closed() or connection.has_expired():
            self.close()
            connection = self._connection = httpcore.HTTPConnection(request.url.origin, **self._options)
        return connection.handle_request(request)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class _OneAsyncConnection:
    """The same as `_OneConnection`, to be awaited."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._connection: httpcore.AsyncHTTPConnection | None = None

    @property
    def connections(self) -> list[httpcore.AsyncHTTPConnection]:
        return [self._connection] if self._connection else []

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        connection = self._connection
        if connection is None or connection.is_closed() or connection.has_expired():
            if connection:
                await connection.aclose()
            connection = self._connection = httpcore.AsyncHTTPConnection(request.url.origin, **self._options)
        return await connection.handle_async_request(request)


class _Transport(httpx.HTTPTransport):
    """httpx's transport over a pool of ours."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool


class _AsyncTransport(httpx.AsyncHTTPTransport):
    def __init__(self, pool: Any) -> None:
        self._pool = pool


class _Body(httpx.SyncByteStream):
    """The body of an answer, for httpx to decompress."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._chunks)


def decoded(headers: Mapping[str, str], chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks of an answer, decompressed."""
    return httpx.Response(200, headers=headers, stream=_AsyncBody(chunks)).aiter_bytes()


def _is_httpxs_own(method: Any) -> bool:
    """Whether nobody has patched a method of httpx's transports."""
    return type(method) is FunctionType and method.__code__.co_filename == HTTPX_FILE


def _pool(route: ResolvedRoute, pools: tuple[Any, Any, Any], network: Any) -> Any:
    """A pool of one connection, of the class for a route: direct, through a proxy, or through SOCKS."""
    direct, proxied, through_socks = pools
    options: dict[str, Any] = {"ssl_context": route.tls, "network_backend": network}
    if route.proxy is None:
        return direct(**options)
    options["max_connections"] = 1
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


def _received(pool: Any, headers: Mapping[str, str]) -> bytearray:
    """What has come of a chunked body and is not read yet; empty for others, behind which may come anything.

    It is the parser's own buffer, since a copy for each chunk would be quadratic.
    """
    if "transfer-encoding" not in headers:
        return bytearray()
    found = getattr(getattr(_parser(pool), "_receive_buffer", None), "_data", None)
    return found if isinstance(found, bytearray) else bytearray()


def _is_next_chunk_here(received: bytearray) -> bool:
    """Whether reading on takes no waiting, since the next chunk has come, with the end of the one before.

    Servers send each event as a chunk of its own, and most of the time of a fast stream would go into handing them on.
    """
    return bool(_BEGUN_CHUNK.match(received))


def _answered(response: httpx.Response) -> tuple[int, dict[str, str], httpx.Response]:
    return response.status_code, headers_by_name(response.headers.raw), response


def _core_request(call: Call[Any], content: Any) -> httpcore.Request:
    url, host = _core_url(call.url)
    headers = [(name.encode(), value.encode()) for name, value in call.headers.items()]
    if call.content.size:
        headers.append((b"Content-Length", b"%d" % call.content.size))
    elif callable(call.content.body):
        headers.append((b"Transfer-Encoding", b"chunked"))
    if not any(name.lower() == "host" for name in call.settings.default_headers):
        headers.insert(0, (b"Host", host))
    return httpcore.Request(call.method, url, headers=headers, content=content, extensions=_extensions(call))


def _request(call: Call[Any], content: Any) -> httpx.Request:
    headers = dict(call.headers)
    if call.content.size:
        headers["Content-Length"] = str(call.content.size)  # httpx itself would send a body that it reads in chunks
    return httpx.Request(call.method, call.url, headers=headers, content=content, extensions=_extensions(call))


def _extensions(call: Call[Any]) -> dict[str, Any]:
    return {"timeout": {"connect": call.connect_timeout(time.monotonic())}}


@lru_cache(maxsize=64)
def _core_url(url: str) -> tuple[httpcore.URL, bytes]:
    """A URL as httpcore takes it, its host in ASCII, and the header Host."""
    parsed = httpx.URL(url)
    target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
    return target, parsed.netloc
