"""What the processes of one host share of the service's limits, in one SQLite file.

A driver. While nobody is held back, the file is not written, and reading it takes some microseconds. One that fails is
a warning, and this process goes on alone.
"""

import logging
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import NoReturn

from ovhcloud_ai_endpoints._http.limits import KEPT, LONGEST, LostStoreError, Window
from ovhcloud_ai_endpoints._sqlite import begin, connected

APPLICATION = 0x4F56_484C  # what SQLite is told that the file is of
VERSION = 1  # of the table
BUSY_SECONDS = 2.0  # for which a write waits for another process's
MOST_FILES = 32  # open at once

TABLE = """
CREATE TABLE IF NOT EXISTS windows (
    who TEXT PRIMARY KEY, "limit" REAL NOT NULL, remaining REAL NOT NULL, "end" REAL NOT NULL,
    closed_until REAL NOT NULL) WITHOUT ROWID
"""

log = logging.getLogger("ovhcloud_ai_endpoints")


class LimitFile:
    """One open file; it may be used from any thread, but not by a forked child."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._has_failed = False
        self._version = 0  # changes when another process writes
        self._windows: dict[str, Window] = {}  # as of that version

    def window(self, who: str) -> Window:
        with self._lock:
            try:
                return replace(self._read(self._opened(), who))
            except (sqlite3.Error, OSError, ValueError) as error:
                self._fail(error)

    def change(self, who: str, change: Callable[[Window], float]) -> float:
        with self._lock:
            try:
                return self._change(self._opened(), who, change)
            except (sqlite3.Error, OSError, ValueError) as error:
                self._fail(error)

    def close(self) -> None:
        """Closes it until it is asked again."""
        with self._lock:
            self._close()

    def begin_fork(self) -> None:
        """Closes it, and keeps it closed until `end_fork`."""
        self._lock.acquire()
        self._close()

    def end_fork(self) -> None:
        self._lock.release()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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
        connection.execute("BEGIN IMMEDIATE")
        try:
            window = self._stored(connection, who)
            result = change(window)
            if window.is_open:
                connection.execute("DELETE FROM windows WHERE who = ?", (who,))
            else:
                connection.execute("REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", (who, *astuple(window)))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        self._windows[who] = replace(window)
        return result

    def _opened(self) -> sqlite3.Connection:
        """The connection, which is made when it is needed.

        Raises:
            ValueError: the file is of another program; it is not changed.
        """
        if self._has_failed:
            raise LostStoreError
        if self._connection is None:
            connection = connected(self._path, busy_seconds=BUSY_SECONDS)
            self._windows.clear()
            begin(connection, self._path, application=APPLICATION, version=VERSION, busy_seconds=BUSY_SECONDS)
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut loses is a minute old at most
            connection.execute(TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute('DELETE FROM windows WHERE "end" < ?', (time.time() - LONGEST,))
            self._connection = connection
        return self._connection

    def _fail(self, error: Exception) -> NoReturn:
        """Warns, once; from then on, this process goes on alone."""
        self._has_failed = True
        log.warning("share_limits=%r has failed, so this process goes on alone: %s", str(self._path), error)
        raise LostStoreError from error


_files: OrderedDict[str, LimitFile] = OrderedDict()
_lock = threading.Lock()


def limit_file(path: str) -> LimitFile:
    """The process's file at a path."""
    with _lock:
        file = _files.pop(path, None) or LimitFile(path)
        _files[path] = file
        if len(_files) > MOST_FILES:
            _files.popitem(last=False)[1].close()
    return file


def _begin_fork() -> None:
    """Closes all files until the process has forked, since SQLite's memory of its locks would be wrong in the child."""
    _lock.acquire()
    for file in _files.values():
        file.begin_fork()


def _end_fork() -> None:
    for file in _files.values():
        file.end_fork()
    _lock.release()


def _begin_child() -> None:
    _end_fork()
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_begin_child)
