"""Opens SQLite files that several processes share; refuses those of other programs.

A driver. Knows nothing of what the files hold.
"""

import os
import sqlite3
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path


def connected(path: str | os.PathLike[str], *, busy_seconds: float) -> sqlite3.Connection:
    """A connection for all threads to a file, which only its owner may read if it is new.

    Args:
        busy_seconds: for which a statement waits for another process's.
    """
    with suppress(FileExistsError):  # to close it here would drop the locks of other connections
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


def begin(
    connection: sqlite3.Connection,
    path: str | os.PathLike[str],
    *,
    application: int,
    version: int,
    tables: str,
    busy_seconds: float,
) -> None:
    """Makes the tables of a file that is new, and lets many processes use it; one that has them is not written.

    Args:
        application: SQLite's application_id, which marks the file as ours.
        version: of its tables; those of a newer one are left alone.
        tables: statements that make them, with semicolons between.

    Raises:
        ValueError: the file is of another program or a newer version; it is not changed.
    """
    end = time.monotonic() + busy_seconds
    while True:
        try:
            if not _is_ours(connection, path, application, version):
                _make(connection, path, application, version, tables)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise ValueError(f"{path} is no database of this package, but another file") from error
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            threading.Event().wait(0.01)  # another process begins it, for which SQLite itself does not wait
        else:
            return


def _is_ours(connection: sqlite3.Connection, path: object, application: int, version: int) -> bool:
    """Whether a file has our tables; False if it is empty."""
    found, its_version, has_tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), "
        "EXISTS (SELECT 1 FROM sqlite_schema)"
    ).fetchone()
    if has_tables and found != application:
        raise ValueError(f"{path} is the database of another program")
    if its_version > version:
        raise ValueError(f"{path} was written by a newer version of this package; install that")
    return bool(has_tables)


def _make(
    connection: sqlite3.Connection, path: str | os.PathLike[str], application: int, version: int, tables: str
) -> None:
    mode = Path(path).stat().st_mode
    if stat.S_ISREG(mode) and mode & 0o077:
        Path(path).chmod(0o600)  # SQLite gives its other files the same mode
    connection.execute("PRAGMA journal_mode = WAL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        if not _is_ours(connection, path, application, version):
            for statement in tables.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {application}")
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
