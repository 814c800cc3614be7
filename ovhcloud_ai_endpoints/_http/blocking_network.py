"""The sockets under httpcore for calls that block, in the shape of its `NetworkBackend`.

A driver. A read or write first asks how much time its call has left, since the timeout of a single read starts anew
with each byte.
"""

import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from ovhcloud_ai_endpoints._http.clocks import LONGEST, Clocks
from ovhcloud_ai_endpoints._http.sockets import SOCKET_OPTIONS, Failures, sendable

T = TypeVar("T")

TLS_RECORD = 16 * 1024


class Deadline:
    """When the call that a connection serves must be over.

    Attributes:
        clocks: those of the call, or of the last one; None before the first, and to close it.
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
        """A socket to the first address of a host that answers; all addresses share the `timeout`."""
        until = math.inf if timeout is None else self._deadline.now() + timeout
        problem: OSError | None = None
        addresses = [address for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        for tried, address in enumerate(addresses):
            left = until - self._deadline.now()
            if left <= 0:
                raise TimeoutError("timed out")
            share = None if left == math.inf else left / (len(addresses) - tried)
            try:
                return socket.create_connection((str(address[0]), int(address[1])), self._deadline.within(share))
            except OSError as error:
                problem = error
        raise problem or OSError(f"{host} has no address")


class BlockingStream:
    """A socket, with TLS or without."""

    def __init__(self, plain_or_tls: socket.socket, deadline: Deadline, failures: Failures) -> None:
        self._socket = plain_or_tls
        self._deadline = deadline
        self._failures = failures
        self._head = b""  # of a request, which waits to be sent with its body

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head:
            with suppress(self._failures.write):  # the answer is read all the same: it may say why
                self.write(b"")
        self._socket.settimeout(self._deadline.seconds_left())
        return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        now, self._head = sendable(self._head, buffer)
        for data in now:
            with self._failures.writing():
                left = memoryview(data)
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
