"""The jobs of a ledger: which lines each has, and what became of them.

A driver, as the ledger is. Only the process that holds the lease changes them.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ovhcloud_ai_endpoints._batches.ledger import PIECE, Ledger
from ovhcloud_ai_endpoints._batches.lines import MOST_REPEATS, Result, written
from ovhcloud_ai_endpoints._batches.requests import MOST_BYTES, MOST_LINES


@dataclass
class Job:
    """Lines that went out together, or will.

    Attributes:
        root: the job whose lines these were at first, if they were divided since.
        fingerprint: of the key that it is made with.
        state: packed; stored, when the service has its file; making, when it may have been made; made; ended.
        id: the service's.
        status: as the service last said.
        looks: how often the list of jobs was looked through for it in vain.
        made: when, in seconds since 1970.
    """

    number: int
    root: int | None
    server: str
    endpoint: str
    model: str
    fingerprint: str
    state: str
    file: str | None
    id: str | None
    status: str
    lines: int
    bytes: int
    done: int
    failed: int
    looks: int
    made: float | None
    ended: float | None


class Group(NamedTuple):
    """What the requests of one job have in common."""

    server: str
    endpoint: str
    model: str
    fingerprint: str


class JobTable:
    """The jobs of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def jobs(self, servers: Collection[str]) -> list[Job]:
        """The jobs of some servers that have not ended, oldest first."""
        every = [Job(*row) for row in self._ledger.rows("SELECT * FROM jobs WHERE state != 'ended' ORDER BY number")]
        return [job for job in every if job.server in servers]

    def ended_jobs(self) -> int:
        """How many jobs have ended."""
        count: int = self._ledger.rows("SELECT COUNT(*) FROM jobs WHERE state = 'ended'")[0][0]
        return count

    def save(self, job: Job) -> None:
        """Writes down what has become of a job."""
        with self._ledger.moving() as connection:
            connection.execute(
                "UPDATE jobs SET fingerprint = ?, state = ?, file = ?, id = ?, status = ?, done = ?, failed = ?, "
                "looks = ?, made = ? WHERE number = ? AND state != 'ended'",
                (
                    job.fingerprint,
                    job.state,
                    job.file,
                    job.id,
                    job.status,
                    job.done,
                    job.failed,
                    job.looks,
                    job.made,
                    job.number,
                ),
            )

    def groups(self) -> list[tuple[Group, int]]:
        """What is to go out: requests that fit into one job, and how many there are."""
        query = (
            "SELECT server, endpoint, model, fingerprint, COUNT(*) FROM wanted JOIN requests USING (key) "
            "WHERE job IS NULL AND status IS NULL GROUP BY 1, 2, 3, 4 ORDER BY MIN(number)"
        )
        return [(Group(*row[:4]), row[4]) for row in self._ledger.rows(query)]

    def is_answered(self, server: str, endpoint: str) -> bool:
        """Whether a job has ever been answered for this endpoint."""
        query = "SELECT 1 FROM requests WHERE server = ? AND endpoint = ? AND status BETWEEN 200 AND 299 LIMIT 1"
        return bool(self._ledger.rows(query, server, endpoint))

    def pack(self, group: Group, *, most_lines: int = MOST_LINES) -> Job | None:
        """Makes a job of requests that are to go out, as many as a file may have; None if there are none."""
        with self._ledger.moving() as connection:
            numbers: list[int] = []
            size = 0
            cursor = connection.execute(
                "SELECT number, key, LENGTH(body) FROM wanted JOIN requests USING (key) "
                "WHERE job IS NULL AND status IS NULL AND server = ? AND endpoint = ? AND model = ? "
                "AND fingerprint = ? ORDER BY number LIMIT ?",
                (*group, most_lines),
            )
            for number, key, length in cursor:
                weight = len(written(key, group.endpoint, b"")) + length
                if size + weight > MOST_BYTES and numbers:
                    break
                numbers.append(number)
                size += weight
            if not numbers:
                return None
            return self._job(connection, group, numbers, size)

    def divide(self, job: Job) -> list[Job]:
        """Ends a job whose file was refused, and makes two of its lines."""
        with self._ledger.moving() as connection:
            rows = connection.execute(
                "SELECT number, key, body FROM requests WHERE job = ? AND status IS NULL ORDER BY number", (job.number,)
            ).fetchall()
            half, made = len(rows) // 2, []
            for part in (rows[:half], rows[half:]):
                size = sum(len(written(key, job.endpoint, body)) for _, key, body in part)
                group = Group(job.server, job.endpoint, job.model, job.fingerprint)
                numbers = [number for number, *_ in part]
                made.append(self._job(connection, group, numbers, size, root=job.root or job.number))
            self._end(connection, job)
        return made

    def divisions(self, job: Job) -> int:
        """How often the lines of a job's root were divided."""
        root = job.root or job.number
        count: int = self._ledger.rows("SELECT COUNT(*) FROM jobs WHERE root = ?", root)[0][0]
        return count // 2

    def _job(
        self,
        connection: sqlite3.Connection,
        group: Group,
        numbers: Sequence[int],
        size: int,
        root: int | None = None,
    ) -> Job:
        number = connection.execute(
            "INSERT INTO jobs (root, server, endpoint, model, fingerprint, state, lines, bytes) "
            "VALUES (?, ?, ?, ?, ?, 'packed', ?, ?)",
            (root, *group, len(numbers), size),
        ).lastrowid
        marks = [(number, one) for one in numbers]
        connection.executemany("UPDATE requests SET job = ? WHERE number = ?", marks)
        return Job(*connection.execute("SELECT * FROM jobs WHERE number = ?", (number,)).fetchone())

    def lines(self, job: Job) -> Iterator[bytes]:
        """The lines of a job's file, a piece of them at a time."""
        last = 0
        while True:
            rows = self._ledger.rows(
                "SELECT number, key, body FROM requests WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                job.number,
                last,
                PIECE,
            )
            if not rows:
                return
            last = rows[-1][0]
            yield b"".join(written(key, job.endpoint, body) for _, key, body in rows)

    def keys(self, job: Job) -> list[str]:
        """The keys of a job's lines, in their order."""
        return [
            key for (key,) in self._ledger.rows("SELECT key FROM requests WHERE job = ? ORDER BY number", job.number)
        ]

    def open_keys(self, job: Job) -> list[str]:
        """The keys of a job's lines that have no answer."""
        query = "SELECT key FROM requests WHERE job = ? AND status IS NULL ORDER BY number"
        return [key for (key,) in self._ledger.rows(query, job.number)]

    def take(self, job: Job, results: Iterable[tuple[Result, bool]]) -> None:
        """Keeps the results of a job's lines, each with whether it is an error that may pass.

        Such a line goes out again, twice at most. What is no line of the job is left out.
        """
        with self._ledger.moving() as connection:
            for result, may_pass in results:
                about = (result.key, job.number)
                if may_pass:
                    again = connection.execute(
                        "UPDATE requests SET job = NULL, repeats = repeats + 1 "
                        "WHERE key = ? AND job = ? AND status IS NULL AND repeats < ?",
                        (*about, MOST_REPEATS),
                    )
                    if again.rowcount:
                        continue
                connection.execute(
                    "UPDATE requests SET status = ?, answer = ?, prompt_tokens = ?, completion_tokens = ? "
                    "WHERE key = ? AND job = ? AND status IS NULL",
                    (result.status, result.body, result.prompt_tokens, result.completion_tokens, *about),
                )

    def end(self, job: Job) -> None:
        """Ends a job; what has no answer may go out again."""
        with self._ledger.moving() as connection:
            connection.execute("UPDATE requests SET job = NULL WHERE job = ? AND status IS NULL", (job.number,))
            self._end(connection, job)

    def _end(self, connection: sqlite3.Connection, job: Job) -> None:
        connection.execute("UPDATE jobs SET state = 'ended', ended = ? WHERE number = ?", (time.time(), job.number))

    def drop(self, keys: Iterable[str]) -> None:
        """No longer wants these requests to go out."""
        with self._ledger.writing() as connection:
            connection.executemany("DELETE FROM wanted WHERE key = ?", [(key,) for key in keys])
