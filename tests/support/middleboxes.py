"""What stands between an app and a proxy, and knows nothing of HTTP: a slow uplink, and a firewall that forgets."""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PASSED = 4096  # bytes of a connection that pass a slow uplink at once


class Middlebox(socketserver.ThreadingTCPServer):
    """Passes the bytes of each connection on.

    Attributes:
        port: where it listens.
        connections: how many there have been.
        resets: how many of them were reset.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, to: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.to = to
        self.port = self.server_address[1]
        self.connections = 0
        self.resets = 0
        self._lock = threading.Lock()

    def numbered(self) -> int:
        """The number of a new connection, from 1."""
        with self._lock:
            self.connections += 1
            return self.connections

    def passes(self, number: int, passed: int) -> bool:
        """Whether the next bytes of a client pass; called before they do.

        Args:
            number: of the connection.
            passed: how many bytes have passed before.
        """
        return True


class SlowUplink(Middlebox):
    """After the first bytes of a connection it stops for some seconds."""

    def __init__(self, to: int, seconds: float) -> None:
        super().__init__(to)
        self._seconds = seconds
        self._over = threading.Event()

    def passes(self, number: int, passed: int) -> bool:
        if PASSED <= passed < 2 * PASSED:
            self._over.wait(self._seconds)
        return True

    def server_close(self) -> None:
        self._over.set()
        super().server_close()


class Firewall(Middlebox):
    """Resets a connection that it has forgotten once the client uses it, as if it had been idle for too long."""

    _forgotten = 0

    def forget(self) -> None:
        """Forgets all connections so far."""
        self._forgotten = self.connections

    def passes(self, number: int, passed: int) -> bool:
        return number > self._forgotten


class _Connection(socketserver.BaseRequestHandler):
    server: Middlebox

    def handle(self) -> None:
        number, passed = self.server.numbered(), 0
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.to)) as there:
            back = threading.Thread(target=self._down, args=(there,), daemon=True)
            back.start()
            while data := self.request.recv(PASSED):
                if not self.server.passes(number, passed):
                    self.server.resets += 1
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.request.close()
                    break
                there.sendall(data)
                passed += len(data)
            there.shutdown(socket.SHUT_RDWR)
            back.join()

    def _down(self, there: socket.socket) -> None:
        with suppress(OSError):
            while data := there.recv(65536):
                self.request.sendall(data)


@contextmanager
def serving(middlebox: Middlebox) -> Iterator[int]:
    """The port of a middlebox that runs as long as the block does."""
    with middlebox:
        threading.Thread(target=middlebox.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield middlebox.port
        finally:
            middlebox.shutdown()
