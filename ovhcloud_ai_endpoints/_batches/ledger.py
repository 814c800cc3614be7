"""The ledger: what was asked, in which jobs it went out, and what was answered, in one SQLite file.

A driver. All that has to outlive the process is here, and nothing else decides what has been paid for. Several
processes of one host may have the file open; `lease` says which of them moves the jobs.
"""

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovhcloud_ai_endpoints._batches.lines import Line, Result
from ovhcloud_ai_endpoints._batches.progress import Counts
from ovhcloud_ai_endpoints._sqlite import begin, connected

APPLICATION = 0x4F56_4842  # marks the file as ours
VERSION = 1  # of the tables
BUSY_SECONDS = 60.0  # for which a write waits for another process's
PIECE = 500  # rows in one query

TABLES = """
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, job INTEGER, status INTEGER,
    is_submitted INTEGER NOT NULL DEFAULT 0, repeats INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    server TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, body BLOB NOT NULL, answer BLOB);
CREATE INDEX requests_by_job ON requests (job, number);
CREATE INDEX requests_submitted ON requests (status, number) WHERE is_submitted;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, root INTEGER, server TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL,
    fingerprint TEXT NOT NULL, state TEXT NOT NULL, file TEXT, id TEXT, status TEXT NOT NULL DEFAULT '',
    lines INTEGER NOT NULL, bytes INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, looks INTEGER NOT NULL DEFAULT 0, made REAL, ended REAL);
CREATE TABLE lease (
    one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    started TEXT NOT NULL, until REAL NOT NULL);
"""
OWN_TABLES = """
CREATE TEMP TABLE wanted (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE asked (map INTEGER, place INTEGER, key TEXT, round INTEGER, PRIMARY KEY (map, place, key))
    WITHOUT ROWID;
CREATE TEMP TABLE waiting (map INTEGER, place INTEGER, rounds INTEGER, PRIMARY KEY (map, place)) WITHOUT ROWID;
"""


@dataclass
class Notes:
    """What the inputs of a map have asked since it was last written down.

    Attributes:
        new: requests that had no answer, by key.
        wanted: fingerprints of the keys with which they are to go out, by key of the request.
        asked: places of inputs, and keys of what each has asked.
        waiting: by place, in which round an input waits.
        done: places of inputs that wait no more.
    """

    new: dict[str, Line] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[int, str]] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.asked) + len(self.done)


class LostLeaseError(Exception):
    """Another process has taken over the jobs of the ledger."""


class Ledger:
    """One open ledger file; it may be used from any thread, but not by a forked child."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._pid = os.getpid()
        self.is_open = True
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self._writer = self._connected()
        try:
            self._begin()
        except BaseException:
            self._writer.close()
            raise
        self._reader = self._connected()
        self._file = self.path.stat().st_ino
        self.owner: str | None = None  # of the lease, while this process moves the jobs

    def _begin(self) -> None:
        """Makes the tables, if the file is new or a ledger.

        Raises:
            ValueError: it is neither; it is not changed.
        """
        begin(
            self._writer,
            self.path,
            application=APPLICATION,
            version=VERSION,
            tables=TABLES,
            busy_seconds=BUSY_SECONDS,
        )
        self.path.chmod(0o600)
        for statement in OWN_TABLES.split(";"):
            self._writer.execute(statement)

    def _connected(self) -> sqlite3.Connection:
        return connected(self.path, busy_seconds=BUSY_SECONDS)

    def close(self) -> None:
        if self._pid == os.getpid():
            with self._lock, self._read_lock:
                self.is_open = False
                self._writer.close()
                self._reader.close()

    @contextmanager
    def _locked(self, lock: threading.Lock) -> Iterator[None]:
        """Holds a lock of the open ledger; a forked child, where it may be held for ever, is told before."""
        self.check()
        with lock:
            self.check()
            yield

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is written, or nothing."""
        with self._locked(self._lock):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def moving(self) -> Iterator[sqlite3.Connection]:
        """A transaction of those who move the jobs.

        Raises:
            LostLeaseError: another process has taken the lease, or the file is another one now.
        """
        with self.writing() as connection:
            if self.owner is not None and connection.execute("SELECT owner FROM lease").fetchone() != (self.owner,):
                raise LostLeaseError(f"Another process moves the jobs of {self.path}")
            self._check_file()
            yield connection

    def _check_file(self) -> None:
        if not self.path.exists() or self.path.stat().st_ino != self._file:
            raise FileNotFoundError(f"The ledger {self.path} was removed or replaced while it was in use")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._locked(self._lock):
            return self._writer.execute(query, values).fetchall()

    def check(self) -> None:
        """Checks that this process may use the ledger.

        Raises:
            RuntimeError: it was opened by the process that forked this one.
            ValueError: it is closed.
        """
        if self._pid != os.getpid():
            raise RuntimeError("A Batch can't be used by a forked process; make another one on the same path")
        if not self.is_open:
            raise ValueError("The Batch is closed; make another one on the same path")

    def find(self, key: str) -> tuple[Result, int] | None:
        """The result of a request, and the number of the job that it came from; None if there is none yet."""
        query = "SELECT key, status, answer, job FROM requests WHERE key = ? AND status IS NOT NULL"
        with self._locked(self._read_lock):
            try:
                row = self._reader.execute(query, (key,)).fetchone()
            except sqlite3.OperationalError:
                self._check_file()
                raise
        return None if row is None else (Result(*row[:3]), row[3])

    def found(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that have an answer."""
        answered: set[str] = set()
        rest = list(keys)
        for at in range(0, len(rest), PIECE):
            piece = rest[at : at + PIECE]
            marks = ",".join("?" * len(piece))
            query = f"SELECT key FROM requests WHERE key IN ({marks}) AND status IS NOT NULL"  # noqa: S608 - marks
            with self._locked(self._read_lock):
                answered.update(key for (key,) in self._reader.execute(query, piece))
        return answered

    def write(self, map_number: int, notes: Notes) -> None:
        """Writes down what the inputs of a map have asked, and which of them wait."""
        asked = [(map_number, place, key, notes.waiting[place]) for place, key in notes.asked]
        waiting = [(map_number, *one) for one in notes.waiting.items()]
        done = [(map_number, place) for place in notes.done]
        with self.writing() as connection:
            self._add(connection, notes.new.values())
            connection.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?, ?, ?)", asked)
            connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?, ?)", notes.wanted.items())
            connection.executemany("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", waiting)
            connection.executemany("DELETE FROM waiting WHERE map = ? AND place = ?", done)
            connection.executemany("DELETE FROM asked WHERE map = ? AND place = ?", done)

    def submit(self, lines: Iterable[Line]) -> None:
        """Writes down requests that go out for themselves, without an input that waits for them."""
        with self.writing() as connection:
            found = list(lines)
            self._add(connection, found)
            keys = [(line.key,) for line in found]
            connection.executemany("UPDATE requests SET is_submitted = 1 WHERE key = ?", keys)

    def _add(self, connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
        connection.executemany(
            "INSERT OR IGNORE INTO requests (key, server, endpoint, model, body) VALUES (?, ?, ?, ?, ?)",
            ((line.key, line.server, line.endpoint, line.model, line.body) for line in lines),
        )

    def want_submitted(self, server: str, fingerprint: str) -> None:
        """Makes the requests go out that were submitted for a server, also by earlier processes."""
        with self.writing() as connection:
            query = "INSERT OR IGNORE INTO wanted SELECT key, ? FROM requests WHERE is_submitted AND status IS NULL"
            connection.execute(f"{query} AND server = ?", (fingerprint, server))

    def submitted(self) -> Iterator[Result]:
        """The results of the requests that were submitted, in their order."""
        last = 0
        while True:
            rows = self.rows(
                "SELECT number, key, status, answer, prompt_tokens, completion_tokens FROM requests "
                "WHERE is_submitted AND status IS NOT NULL AND number > ? ORDER BY number LIMIT ?",
                last,
                PIECE,
            )
            if not rows:
                return
            yield from (Result(*row[1:]) for row in rows)
            last = rows[-1][0]

    def ready(self, map_: int) -> list[int]:
        """The inputs that wait for nothing any more."""
        query = (
            "SELECT place FROM waiting WHERE map = ? EXCEPT SELECT place FROM asked JOIN wanted USING (key) "
            "JOIN requests USING (key) WHERE map = ? AND status IS NULL ORDER BY place"
        )
        return [place for (place,) in self.rows(query, map_, map_)]

    def state(self, map_: int, place: int) -> tuple[int, frozenset[str]]:
        """In which round an input waits, and what it asked in that round for the first time."""
        rows = self.rows("SELECT rounds FROM waiting WHERE map = ? AND place = ?", map_, place)
        rounds = rows[0][0] if rows else 0
        keys = self.rows("SELECT key FROM asked WHERE map = ? AND place = ? AND round = ?", map_, place, rounds)
        return rounds, frozenset(key for (key,) in keys)

    def leave(self, map_: int) -> None:
        """Forgets what the inputs of a map asked; what nobody else wants does not go out."""
        with self.writing() as connection:
            connection.execute("DELETE FROM waiting WHERE map = ?", (map_,))
            connection.execute("DELETE FROM asked WHERE map = ?", (map_,))
            connection.execute("DELETE FROM wanted WHERE key NOT IN (SELECT key FROM asked)")

    def give_up(self) -> None:
        """Drops requests that were submitted and are not answered."""
        with self.writing() as connection:
            connection.execute("UPDATE requests SET is_submitted = 0 WHERE is_submitted AND status IS NULL")
            connection.execute("DELETE FROM wanted WHERE key NOT IN (SELECT key FROM asked)")

    def forget_errors(self) -> int:
        """Forgets answers that are errors, so that they are asked again; returns how many there were."""
        with self.writing() as connection:
            query = "UPDATE requests SET status = NULL, answer = NULL, job = NULL, repeats = 0 "
            return connection.execute(query + "WHERE status NOT BETWEEN 200 AND 299").rowcount

    def tokens(self) -> list[tuple[str, int, int]]:
        """Models, and the tokens of the questions to them and of their answers."""
        query = "SELECT model, SUM(prompt_tokens), SUM(completion_tokens) FROM requests GROUP BY model"
        return self.rows(query)

    def counts(self) -> Counts:
        rows = self.rows(
            "SELECT CASE WHEN status BETWEEN 200 AND 299 THEN 'answered' WHEN status IS NOT NULL THEN 'failed' "
            "WHEN job IS NULL THEN 'unsent' ELSE 'under_way' END, COUNT(*) FROM requests GROUP BY 1"
        )
        return Counts(**dict(rows))
