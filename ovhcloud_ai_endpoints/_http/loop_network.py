"""The sockets under httpcore for awaited calls, in the shape of its `AsyncNetworkBackend`.

A driver. The caller's `asyncio.timeout` bounds everything at once; closing needs no `await`, so that a cancelled task
leaves nothing behind.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

from ovhcloud_ai_endpoints._http.sockets import SOCKET_OPTIONS, Failures, sendable

READ_AHEAD = 256 * 1024  # bytes that a loop takes from a socket before anyone asks for them
EYEBALLS_SECONDS = 0.25  # after which a host's next address is tried in parallel (RFC 8305)


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
        self._head = b""  # of a request, which waits to be sent with its body

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
        if self._head:
            with suppress(self._failures.write):  # the answer is read all the same: it may say why
                await self.write(b"")
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
        now, self._head = sendable(self._head, buffer)
        for data in now:
            with self._failures.writing():
                if self._transport.is_closing():
                    raise self._problem or ConnectionResetError("the connection is closed")
                self._transport.write(data)
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


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False
