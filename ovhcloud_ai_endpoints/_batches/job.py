"""Moves the jobs of a ledger: sends what waits, asks how far they are, and reads what came back.

A driver. Each step is written down before and after it is made, so that a process that is killed anywhere loses
nothing and pays for nothing twice.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

from ovhcloud_ai_endpoints._batches.lease import Lease
from ovhcloud_ai_endpoints._batches.ledger import Job, Ledger
from ovhcloud_ai_endpoints._batches.lines import Result, result_of
from ovhcloud_ai_endpoints._batches.requests import (
    MOST_JOBS,
    MOST_LINES,
    CancelJob,
    JobState,
    ListJobs,
    MakeJob,
    ReadFile,
    SeeJob,
    StoreFile,
    Window,
)
from ovhcloud_ai_endpoints._errors import NotFoundError, OVHCloudError, RateLimitError
from ovhcloud_ai_endpoints._http import Client, Request, Settings

UNPROVEN = "/v1/embeddings"  # accepted in batches by what the guide implies, and shown nowhere
PROVED_BEFORE = 1_000  # requests to it: one goes first if there are more
LOOKS = 2  # through the list of jobs, before one that may have been made is made again
MOST_DIVISIONS = 40  # of one file that was refused without a line
AGES = 10  # a job is asked for again after this part of its age
PIECE = 500  # results that are written down together

log = logging.getLogger("ovhcloud_ai_endpoints")
T = TypeVar("T")


def fingerprint(settings: Settings) -> str:
    """What tells a key from others, and does not tell the key."""
    return hashlib.sha256(b"ovhcloud batch " + settings.key().encode()).hexdigest()[:16]


class Jobs:
    """The jobs of a ledger, as far as this process has the settings of their servers.

    Args:
        poll_seconds: how long to wait before a job is asked for again, in its first minutes and later.

    Attributes:
        refused: errors of requests that could not be sent, by key; not kept in the ledger.
    """

    def __init__(self, ledger: Ledger, window: Window, poll_seconds: tuple[float, float]) -> None:
        self._settings: dict[tuple[str, str], Settings] = {}  # by server and fingerprint of the key
        self._of_server: dict[str, Settings] = {}
        self.refused: dict[str, OVHCloudError] = {}
        self._ledger = ledger
        self._lease = Lease(ledger)
        self._window: Window = window
        self._shortest, self._longest = poll_seconds
        self._stop = threading.Event()
        self._moving = threading.Lock()
        self._is_closed = False
        self._due: dict[int, float] = {}
        self._own: set[int] = set()  # jobs that were packed by this object
        self._has_reached: set[str] = set()

    def reach(self, settings: Settings) -> str:
        """Takes note of how to reach a server; returns the fingerprint of the key."""
        found = fingerprint(settings)
        if (settings.base_url, found) not in self._settings:
            self._settings[settings.base_url, found] = settings
            self._of_server[settings.base_url] = settings
        return found

    def move(self, stop: threading.Event) -> float:
        """Moves each job as far as it goes now, and makes new ones; returns the seconds until there is more to do.

        Args:
            stop: once set, nothing more is sent.

        Raises:
            OVHCloudError: a server was never reached.
        """
        if not self._moving.acquire(blocking=False):  # another map of this process does it
            return self._shortest
        try:
            self._stop = stop
            with self._lease.held() as is_ours:
                return self._moved() if is_ours else self._shortest
        finally:
            self._moving.release()
            if self._is_closed:
                self.close()

    def close(self) -> None:
        """Closes the ledger, now or once the step ends that another thread is making."""
        self._is_closed = True
        if self._moving.acquire(blocking=False):
            self._ledger.close()
            self._moving.release()

    def _moved(self) -> float:
        for job in self._ledger.jobs(self._of_server):
            if job.state in {"packed", "stored"} and job.number not in self._own:
                self._ledger.end(job)  # nothing was paid yet, and perhaps nobody wants it any more
            else:
                self._advance(job)
        while not self._stop.is_set() and (new := self._pack()) is not None:
            self._advance(new)
        under_way = [job.number for job in self._ledger.jobs(self._of_server)]
        self._due = {number: self._due.get(number, 0.0) for number in under_way}
        self._own &= self._due.keys()
        return max(0.0, min(self._due.values(), default=0.0) - time.monotonic())

    def cancel(self) -> int:
        """Asks the service to end the jobs that are under way; returns how many."""
        count = 0
        for job in self._ledger.jobs(self._of_server):
            if job.id is not None and job.status not in {"completed", "cancelling", "cancelled"}:
                job.status = self._send(job, CancelJob(job.id)).status
                self._ledger.save(job)
                self._due[job.number] = 0.0
                count += 1
        return count

    def _client(self, job: Job) -> Client:
        """For the job's own key, or another one of its server: keys are replaced while jobs are under way."""
        settings = self._settings.get((job.server, job.fingerprint)) or self._of_server[job.server]
        return Client(settings, self._stop)

    def _send(self, job: Job, request: Request[T]) -> T:
        found = self._client(job).send(request)
        self._has_reached.add(job.server)
        return found

    def _pack(self) -> Job | None:
        """A new job, if one may be in progress besides the others."""
        under_way = self._ledger.jobs(self._of_server)
        for group, count in self._ledger.groups():
            beside = [job for job in under_way if (job.server, job.fingerprint) == (group.server, group.fingerprint)]
            if len(beside) >= MOST_JOBS:
                continue
            most = MOST_LINES
            if group.endpoint == UNPROVEN and not self._ledger.is_answered(group.server, group.endpoint):
                if any(job.endpoint == UNPROVEN for job in beside):
                    continue
                most = 1 if count > PROVED_BEFORE else MOST_LINES
            if (new := self._ledger.pack(group, most_lines=most)) is not None:
                self._own.add(new.number)
            return new
        return None

    def _advance(self, job: Job) -> None:
        try:
            while not self._stop.is_set() and self._due.get(job.number, 0.0) <= time.monotonic():
                if not self._step(job):
                    return
        except OVHCloudError as error:
            if job.server not in self._has_reached and error.status is None:
                raise
            self._put_off(job)
            if error.is_transient or error.status is None:
                log.warning("A batch job of %s could not be moved on, and will be later: %s", job.model, error)
            else:
                self._refuse(job, error)

    def _step(self, job: Job) -> bool:
        """Makes one step; False if the job has ended."""
        match job.state:
            case "packed":
                self._store(job)
            case "stored":
                self._make(job)
            case "making":
                self._look_for(job)
            case "made":
                return self._see(job)
            case _:
                return False
        return True

    def _store(self, job: Job) -> None:
        lines = StoreFile(lambda: self._ledger.lines(job), job.bytes)
        job.file, job.state = self._send(job, lines), "stored"
        self._ledger.save(job)

    def _make(self, job: Job) -> None:
        job.state, job.looks = "making", 0
        self._ledger.save(job)
        try:
            state = self._send(job, MakeJob(job.file or "", job.endpoint, self._window))
        except OVHCloudError as error:
            is_refused = error.status is not None and 400 <= error.status < 500 and error.status not in {408, 409}
            if is_refused or not error.may_have_taken_effect:
                job.state = "stored"
                self._ledger.save(job)
            if is_refused and not isinstance(error, RateLimitError):
                raise
            log.warning("Whether a batch job of %s was made is not known yet: %s", job.model, error)
            self._put_off(job)
            return
        self._made(job, state)

    def _look_for(self, job: Job) -> None:
        """Looks for a job that may have been made; once it was looked for often enough, it is made again."""
        after = None
        while True:
            page, after = self._send(job, ListJobs(after))
            for state in page:
                if state.input_file == job.file:
                    self._made(job, state)
                    return
            if after is None:
                break
        job.looks += 1
        if job.looks >= LOOKS:
            job.state = "stored"
        self._ledger.save(job)
        self._put_off(job)

    def _made(self, job: Job, state: JobState) -> None:
        job.state, job.id, job.status, job.made = "made", state.id, state.status, time.time()
        self._ledger.save(job)
        log.info("Batch job %s: %d requests to %s", state.id, job.lines, job.model)
        self._put_off(job)

    def _see(self, job: Job) -> bool:
        state = self._send(job, SeeJob(job.id or ""))
        job.status, job.done, job.failed = state.status, state.done, state.failed
        self._ledger.save(job)
        if not state.has_ended:
            self._put_off(job)
            return True
        for file in state.results:
            self._read(job, file)
        if state.status == "failed":
            self._mend(job, state)
        else:
            self._ledger.end(job)
        log.info("Batch job %s: %s, %d answered, %d failed", job.id, state.status, state.done, state.failed)
        return False

    def _read(self, job: Job, file: str) -> None:
        try:
            with self._client(job).stream(ReadFile(file)) as lines:
                for piece in _pieces(lines, PIECE):
                    self._ledger.take(job, [(result, self._may_pass(result)) for result in piece])
        except NotFoundError:
            log.warning("The results of batch job %s are gone; what has no answer is asked again", job.id)

    @staticmethod
    def _may_pass(result: Result) -> bool:
        return not result.is_answer and result.error().is_transient

    def _mend(self, job: Job, state: JobState) -> None:
        """Takes the lines out for which a file was refused, or divides it to find them."""
        said = [problem for problem in state.problems if problem.line is not None and 1 <= problem.line <= job.lines]
        first = state.problems[0].message if state.problems else "The service refused the file and did not say why"
        if said:
            bad = {key: one.message for one in said for key in self._ledger.keys(job, line=one.line)}
        elif job.lines == 1 or self._ledger.divisions(job) >= MOST_DIVISIONS:
            bad = dict.fromkeys(self._ledger.keys(job), first)
        else:
            self._own |= {half.number for half in self._ledger.divide(job)}
            return
        self._ledger.take(job, [(_refused_line(key, message), False) for key, message in bad.items()])
        self._ledger.end(job)

    def _refuse(self, job: Job, error: OVHCloudError) -> None:
        """Gives the requests of a job that can't be sent or read its error, for this process."""
        keys = self._ledger.keys(job)
        self.refused.update(dict.fromkeys(keys, error))
        self._ledger.drop(keys)
        if job.id is None:
            self._ledger.end(job)

    def _put_off(self, job: Job) -> None:
        age = 0.0 if job.made is None else time.time() - job.made
        self._due[job.number] = time.monotonic() + min(self._longest, max(self._shortest, age / AGES))


def _refused_line(key: str, message: str) -> Result:
    body = {"error": {"message": f"The service refused this line of a batch file: {message}"}}
    return Result(key, 400, json.dumps(body).encode())


def _pieces(lines: Iterator[bytes], size: int) -> Iterator[list[Result]]:
    piece: list[Result] = []
    for line in lines:
        if (result := result_of(line)) is not None:
            piece.append(result)
        if len(piece) == size:
            yield piece
            piece = []
    yield piece
