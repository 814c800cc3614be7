"""What the processes of one host share of the service's limits, in one SQLite file.

A driver. While nobody is held back, the file is not written, and reading it takes five microseconds. One that fails is
a warning, once; the process goes on alone, and tries it again from time to time.
"""

import logging
import math
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import TypeVar
from weakref import WeakSet

from ovhcloud_ai_endpoints._http.limits import KEPT, LONGEST, LostStoreError, Window
from ovhcloud_ai_endpoints._sqlite import begin, connected

APPLICATION = 0x4F56_484C  # marks the file as ours
VERSION = 1  # of the table
BUSY_SECONDS = 2.0  # for which a write waits for another process's
ALONE_SECONDS = 60.0  # from a failure to the next try
MOST_FILES = 32  # kept open for the next objects
SWEEP = 256  # changes, after which what is long over is deleted

TABLES = """
CREATE TABLE windows (
    who TEXT PRIMARY KEY, "limit" REAL NOT NULL, remaining REAL NOT NULL, "end" REAL NOT NULL,
    closed_until REAL NOT NULL) WITHOUT ROWID
"""

log = logging.getLogger("ovhcloud_ai_endpoints")

T = TypeVar("T")


class LimitFile:
    """One file, opened when it is needed; it may be used from any thread, but not by a forked child."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.lock = threading.RLock()  # reentrant, as a signal handler may make a call, or fork
        self._connection: sqlite3.Connection | None = None
        self._alone_until = -math.inf
        self._has_warned = False
        self._changes = 0
        self._version = 0  # changes when another process writes
        self._windows: dict[str, Window] = {}  # as of that version
        _all.add(self)

    def window(self, who: str) -> Window:
        return self._tried(lambda connection: replace(self._read(connection, who)))

    def change(self, who: str, change: Callable[[Window], float]) -> float:
        return self._tried(lambda connection: self._change(connection, who, change))

    def close(self) -> None:
        """Closes it until it is asked again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _tried(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self.lock:
            now = time.monotonic()
            if now < self._alone_until:
                raise LostStoreError
            try:
                return work(self._opened())
            except (sqlite3.Error, OSError, ValueError) as found:
                error = found
            self.close()
            self._alone_until = now + ALONE_SECONDS
            is_first, self._has_warned = not self._has_warned, True
        if is_first:
            log.warning("share_limits=%r has failed, so this process goes on alone: %s", self._path, error)
        raise LostStoreError from error

    def _read(self, connection: sqlite3.Connection, who: str) -> Window:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self._windows) >= KEPT:
            self._windows.clear()
            self._version = version
        if who not in self._windows:
            self._windows[who] = self._stored(connection, who)
        return self._windows[who]

    def _stored(self, connection: sqlite3.Connection, who: str) -> Window:
        query = 'SELECT "limit", remaining, "end", closed_until FROM windows WHERE who = ?'
        row = connection.execute(query, (who,)).fetchone()
        return Window(*map(float, row)) if row else Window()

    def _change(self, connection: sqlite3.Connection, who: str, change: Callable[[Window], float]) -> float:
        self._windows.pop(who, None)  # first, as a signal may come behind the end of the transaction
        try:
            connection.execute("BEGIN IMMEDIATE")
            window = self._stored(connection, who)
            result = change(window)
            if window.is_open:
                connection.execute("DELETE FROM windows WHERE who = ?", (who,))
            else:
                connection.execute("REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", (who, *astuple(window)))
            self._changes += 1
            if self._changes % SWEEP == 0:
                _sweep(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._windows[who] = replace(window)
        return result

    def _opened(self) -> sqlite3.Connection:
        """The connection, which is made when it is needed.

        Raises:
            ValueError: the file is of another program; it is not changed.
        """
        if self._connection is None:
            connection = connected(self._path, busy_seconds=BUSY_SECONDS)
            try:
                begin(
                    connection,
                    self._path,
                    application=APPLICATION,
                    version=VERSION,
                    tables=TABLES,
                    busy_seconds=BUSY_SECONDS,
                )
                connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut loses is a minute old at most
                if connection.execute("SELECT count(*) FROM windows").fetchone()[0]:
                    _sweep(connection)
            except BaseException:
                connection.close()
                raise
            self._windows.clear()
            self._connection = connection
        return self._connection


def _sweep(connection: sqlite3.Connection) -> None:
    """Deletes what is long over."""
    connection.execute('DELETE FROM windows WHERE "end" < ?', (time.time() - LONGEST,))


_all: WeakSet[LimitFile] = WeakSet()
_files: OrderedDict[str, LimitFile] = OrderedDict()
_lock = threading.RLock()
_held: dict[int, list[threading.RLock]] = {}  # by threads that fork, since a signal may come between


def limit_file(path: str) -> LimitFile:
    """The process's file at a path."""
    with _lock:
        file = _files.pop(path, None) or LimitFile(path)
        _files[path] = file
        surplus = _files.popitem(last=False)[1] if len(_files) > MOST_FILES else None
    if surplus is not None:
        surplus.close()
    return file


def _begin_fork() -> None:
    """Closes all files until the process has forked, since SQLite's memory of its locks would be wrong in the child."""
    held = _held[threading.get_ident()] = []
    _lock.acquire()
    held.append(_lock)
    for file in list(_all):
        file.lock.acquire()
        held.append(file.lock)
        file.close()


def _end_fork() -> None:
    for lock in _held.pop(threading.get_ident(), ()):  # none, if this module was imported during the fork
        lock.release()


def _begin_child() -> None:
    global _lock  # noqa: PLW0603 - a thread that does not exist here may hold it
    _lock = threading.RLock()
    _held.clear()
    _files.clear()
    _all.clear()  # what a thread had that does not exist here may never go, with its lock held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_begin_child)
