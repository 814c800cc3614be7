"""What programs that the tests start get of this one: a port of their own, and little of its environment."""

import os
import random
import socket
from contextlib import suppress

LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000  # none that the system gives to outgoing connections
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


def free_port() -> int:
    """A port of 127.0.0.1 that no other process takes by chance, even if it is free for a while."""
    for port in random.sample(range(LOWEST_PORT, HIGHEST_PORT), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port is free")


def bare_environ(**more: str) -> dict[str, str]:
    """An environment without keys, proxies and databases of whoever runs the tests."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more
