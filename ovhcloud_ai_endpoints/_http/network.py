"""The sockets under httpcore, in the shape of its `NetworkBackend`: one kind blocks, the other belongs to a loop.

A driver; it imports no HTTP library. A blocking read or write first asks how much time its call has left, since the
timeout of a single read starts anew with each byte. On a loop, the caller's `asyncio.timeout` bounds everything at
once, and closing needs no `await`, so that a cancelled task leaves nothing behind.
"""

import asyncio
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar, cast

from ovhcloud_ai_endpoints._http.clocks import LONGEST, Clocks

T = TypeVar("T")

SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(  # so that a dead peer is noticed within about 45 s, also if it died before it took the request
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (
            ("TCP_KEEPIDLE", 30),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 45_000),
        )
        if hasattr(socket, option)
    ),
)
READ_AHEAD = 256 * 1024  # bytes that a loop takes from a socket before anyone asks for them
EYEBALLS_SECONDS = 0.25  # after which a host's next address is tried in parallel (RFC 8305)
TLS_RECORD = 16 * 1024


@dataclass(frozen=True)
class Failures:
    """The exceptions by which httpcore and its callers know what failed."""

    connect: type[Exception]
    connect_timeout: type[Exception]
    write: type[Exception]  # after which the answer is read all the same: it may say why

    @contextmanager
    def connecting(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise self.connect_timeout(str(error)) from error
        except OSError as error:
            raise self.connect(str(error)) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            raise self.write(str(error)) from error


class Deadline:
    """When the call that a connection serves must be over.

    Attributes:
        clocks: those of the call; None between two calls.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.clocks: Clocks | None = None
        self.now = now

    def seconds_left(self) -> float | None:
        """Seconds left, for a socket's `settimeout`; None for no limit.

        Raises:
            TimeoutError: no time is left.
        """
        left = math.inf if self.clocks is None else self.clocks.left(self.now())
        if left <= 0:
            raise TimeoutError("timed out")
        return None if left == math.inf else min(left, LONGEST)

    def within(self, timeout: float | None) -> float | None:
        """The same as `seconds_left`, but no more than `timeout`."""
        left = self.seconds_left()
        return left if timeout is None else timeout if left is None else min(left, timeout)


class BlockingNetwork:
    """Opens connections that ask `deadline` before each read and write."""

    def __init__(self, deadline: Deadline, failures: Failures) -> None:
        self._deadline = deadline
        self._failures = failures

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "BlockingStream":
        with self._failures.connecting():
            connected = self._connected(host, port, timeout)
            try:
                for option in SOCKET_OPTIONS:
                    connected.setsockopt(*option)
            except OSError:
                connected.close()
                raise
        return BlockingStream(connected, self._deadline, self._failures)

    def _connected(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A socket to the first address of a host that answers; `timeout` bounds all addresses together."""
        until = math.inf if timeout is None else self._deadline.now() + timeout
        problem: OSError | None = None
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            left = until - self._deadline.now()
            if left <= 0:
                raise TimeoutError("timed out")
            try:
                return socket.create_connection(
                    (str(address[0]), int(address[1])), self._deadline.within(None if left == math.inf else left)
                )
            except OSError as error:
                problem = error
        raise problem or OSError(f"{host} has no address")


class BlockingStream:
    """A socket, with TLS or without."""

    def __init__(self, plain_or_tls: socket.socket, deadline: Deadline, failures: Failures) -> None:
        self._socket = plain_or_tls
        self._deadline = deadline
        self._failures = failures

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.seconds_left())
        return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with self._failures.writing():
            left = memoryview(buffer)
            while left:
                self._socket.settimeout(self._deadline.seconds_left())
                left = left[self._socket.send(left) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "BlockingStream | TLSInTLSStream":
        try:
            with self._failures.connecting():
                self._socket.settimeout(self._deadline.within(timeout))  # OpenSSL counts it for the whole handshake
                if isinstance(self._socket, ssl.SSLSocket):  # TLS to a proxy, inside which another TLS begins
                    return TLSInTLSStream(self, ssl_context, server_hostname)
                tls = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return BlockingStream(tls, self._deadline, self._failures)

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "socket":
                return self._socket
            case "ssl_object" if isinstance(self._socket, ssl.SSLSocket):
                return self._socket
            case "server_addr":
                return self._socket.getpeername()
            case "client_addr":
                return self._socket.getsockname()
            case "is_readable":
                return _has_something_to_read(self._socket)
        return None


class TLSInTLSStream:
    """TLS inside the TLS to a proxy, which a socket can't do by itself."""

    def __init__(self, proxy: BlockingStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._proxy = proxy
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._until_done(self._tls.do_handshake)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._until_done(lambda: self._tls.read(max_bytes))
        except ssl.SSLEOFError:  # as sockets do when the peer closes without TLS's goodbye
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = memoryview(buffer)
        while left:
            left = left[self._until_done(lambda piece=left: self._tls.write(piece)) :]  # type: ignore[misc]

    def close(self) -> None:
        self._proxy.close()

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "ssl_object":
                return self._tls
            case "is_readable" if self._tls.pending() or self._incoming.pending:
                return True
        return self._proxy.get_extra_info(info)

    def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._proxy.write(self._outgoing.read())
                if data := self._proxy.read(TLS_RECORD):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._proxy.write(self._outgoing.read())
                return done


def _has_something_to_read(connected: socket.socket) -> bool:
    """Whether an idle connection is no longer good: its peer has hung up, or sent something unasked."""
    if isinstance(connected, ssl.SSLSocket) and connected.pending():
        return True
    try:
        connected.settimeout(0)
        socket.socket.recv(connected, 1, socket.MSG_PEEK)  # a TLS socket's own `recv` can't peek
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class LoopNetwork:
    """Opens a connection on the running loop, and can close it without waiting."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._stream: LoopStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "LoopStream":
        loop = asyncio.get_running_loop()
        is_stdlibs = isinstance(loop, asyncio.BaseEventLoop)  # other loops try one address after the other
        eyeballs: dict[str, Any] = (
            {"happy_eyeballs_delay": EYEBALLS_SECONDS} if is_stdlibs and not _is_address(host) else {}
        )
        with self._failures.connecting():
            if not threading.main_thread().is_alive():  # when the program ends, no thread can be had to look it up
                host = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
            async with asyncio.timeout(timeout):
                _, self._stream = await loop.create_connection(
                    lambda: LoopStream(self._failures), host, port, **eyeballs
                )
            connected = self._stream.get_extra_info("socket")
            for option in SOCKET_OPTIONS:
                connected.setsockopt(*option)
        return self._stream

    def abort(self) -> None:
        """Closes the connection, if it is open, without waiting."""
        if self._stream is not None:
            self._stream.abort()


class LoopStream(asyncio.Protocol):
    """A connection of a loop, with TLS or without."""

    _transport: asyncio.Transport

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._received = bytearray()
        self._has_ended = False
        self._problem: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._has_ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended, self._problem = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writer)
        self._writer = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        while not self._received and not self._has_ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if not self._received and self._problem is not None:
            raise self._problem
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if self._is_paused and len(self._received) <= READ_AHEAD and not self._has_ended:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        with self._failures.writing():
            if self._transport.is_closing():
                raise self._problem or ConnectionResetError("the connection is closed")
            self._transport.write(buffer)
            if self._writer is not None:
                await self._writer

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> "LoopStream":
        plain = self._transport
        if self._received:  # in the clear, perhaps by someone on the way; it must not pass for decrypted
            plain.abort()
            raise self._failures.connect("bytes came before the TLS handshake")
        try:
            with self._failures.connecting():
                async with asyncio.timeout(timeout):
                    tls = await asyncio.get_running_loop().start_tls(
                        plain, self, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            plain.abort()
            raise
        self._transport = cast(asyncio.Transport, tls)
        return self

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "is_readable":
                return bool(self._received) or self._has_ended or self._transport.is_closing()
            case "server_addr":
                return self._transport.get_extra_info("peername")
            case "client_addr":
                return self._transport.get_extra_info("sockname")
        return self._transport.get_extra_info(info)


def opened_socket(address: tuple[Any, ...]) -> socket.socket:
    """An unconnected socket with our options, for an address as `getaddrinfo` returns it."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    for option in SOCKET_OPTIONS:
        opened.setsockopt(*option)
    return opened


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False
