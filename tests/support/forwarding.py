"""What stands between a client and the local server: TLS, or a proxy."""

import socket
import socketserver
import ssl
import threading
from contextlib import suppress

READ = 65536  # bytes that HTTP libraries read at once


class Forwarder(socketserver.ThreadingTCPServer):
    """In front of the local server: ends TLS, or is a proxy for CONNECT, which then knows who came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, to: int, tls: ssl.SSLContext | None, *, refusal: bytes = b"", surplus: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.refusal = refusal
        self.surplus = surplus  # sent in the clear, behind an answer to CONNECT that fills a whole read
        self.tunnels: list[str] = []
        self.to = to
        self.tls = tls
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        super().__exit__(*error)


class Tunnel(socketserver.BaseRequestHandler):
    server: Forwarder

    def handle(self) -> None:
        with suppress(OSError):
            if self.server.tls:
                with self.server.tls.wrap_socket(self.request, server_side=True) as secured:
                    self.join(secured, self.server.to)
            else:
                target = self.request.recv(65536).decode().split()[1]
                self.server.tunnels.append(target)
                if self.server.refusal:
                    self.request.sendall(self.server.refusal)
                    return
                self.request.sendall(self.welcome())
                self.join(self.request, int(target.rpartition(":")[2]))

    def welcome(self) -> bytes:
        start, end = b"HTTP/1.1 200 Connected\r\n", b"\r\n\r\n"
        if not self.server.surplus:
            return start + b"\r\n"
        start += b"X-Padding: "
        return start.ljust(READ - len(end), b"x") + end + self.server.surplus

    def join(self, here: socket.socket, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=self.copy, args=(there, here), daemon=True)
            back.start()
            self.copy(here, there)
            back.join()

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
