"""A port that does not answer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def unreachable() -> Iterator[int]:
    """A port at which attempts to connect are not answered: its queue is full, and nobody takes from it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        with suppress(TimeoutError):
            while len(waiting) < 10:
                waiting.append(socket.create_connection(listener.getsockname(), timeout=0.1))
        try:
            yield listener.getsockname()[1]
        finally:
            for connection in waiting:
                connection.close()
