"""What the sockets of all our connections have in common.

It imports no HTTP library: that hands in its own exceptions.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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


END_OF_HEAD = b"\r\n\r\n"
SENT_WITH_HEAD = 64 * 1024  # bytes of a body


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


def sendable(held: bytes, data: bytes) -> tuple[list[bytes], bytes]:
    """What to send now, and what to hold until the next write or read: a head goes with its body, in one packet."""
    if not held and data.endswith(END_OF_HEAD):
        return [], data
    both = [held + data] if len(data) <= SENT_WITH_HEAD else [held, data]
    return [part for part in both if part], b""


def opened_socket(address: tuple[Any, ...]) -> socket.socket:
    """An unconnected socket with our options, for an address as `getaddrinfo` returns it."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    for option in SOCKET_OPTIONS:
        opened.setsockopt(*option)
    return opened
