"""Which of the processes that have a ledger open moves its jobs.

A driver: it asks the time, and renews the lease on a thread of its own while it is held.
"""

import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovhcloud_ai_endpoints._batches.ledger import Ledger

LEASE_SECONDS = 60.0  # after which a lease ends that its owner did not renew
RENEWED_EVERY = 15.0  # seconds


class Lease:
    """The right to move the jobs of a ledger: to send, to ask and to read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._owner = uuid.uuid4().hex

    @contextmanager
    def held(self, lost: threading.Event) -> Iterator[bool]:
        """Holds the lease during its block, if nobody else does; tells whether it does.

        Args:
            lost: is set once another process has taken it, because this one did not renew it in time.
        """
        lost.clear()
        if not self._take():
            yield False
            return
        self._ledger.owner = self._owner
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(ended, lost), name="ovhcloud-lease", daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            ended.set()
            renewing.join()
            self._ledger.owner = None
            with self._ledger.writing() as connection:
                connection.execute("DELETE FROM lease WHERE owner = ?", (self._owner,))

    def _renew(self, ended: threading.Event, lost: threading.Event) -> None:
        while not ended.wait(RENEWED_EVERY):
            with suppress(sqlite3.Error):  # the ledger is busy; it is tried again
                if not self._take():
                    lost.set()
                    return

    def _take(self) -> bool:
        now = time.time()
        with self._ledger.writing() as connection:
            found = connection.execute("SELECT owner, host, pid, started, until FROM lease").fetchone()
            if found is not None:
                owner, host, pid, started, until = found
                if owner != self._owner and until > now and not (host == _host() and _is_gone(pid, started)):
                    return False
            row = (self._owner, _host(), os.getpid(), _started(os.getpid()), now + LEASE_SECONDS)
            connection.execute("INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?)", row)
        return True


def _host() -> str:
    """This host, or this container of it, whose process ids mean nothing elsewhere."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _is_gone(pid: int, started: str) -> bool:
    """Whether the process that had this id has ended; False where that can't be told."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _started(pid) != started


def _started(pid: int) -> str:
    """When a process began, as the system counts; empty where that can't be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
