"""Waiting for what other threads do, and counting the sockets that they leave."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ovhcloud_ai_endpoints.testing import LocalEndpoints


def eventually(is_true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether it becomes true in a while."""
    end = time.monotonic() + seconds
    while not is_true() and time.monotonic() < end:
        threading.Event().wait(0.005)
    return bool(is_true())


def sockets_to(server: LocalEndpoints) -> int:
    """How many connections of this process to the server are open."""
    there = f":{urlsplit(server.base_url).port:04X}"
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(row[2].endswith(there) and row[9] != "0" for row in rows)  # to its port, and held by a file
