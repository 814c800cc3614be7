"""Moves the jobs of a ledger: sends what waits, asks how far they are, and reads what came back.

A driver. Each step is written down before and after it is made, so that a process that is killed anywhere loses
nothing and pays for nothing twice.
"""

import hashlib
import logging
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from ovhcloud_ai_endpoints._batches.job_table import Job, JobTable
from ovhcloud_ai_endpoints._batches.lease import Lease
from ovhcloud_ai_endpoints._batches.ledger import Ledger, LostLeaseError
from ovhcloud_ai_endpoints._batches.lines import Result, lost_line, pieces, refused_line, without
from ovhcloud_ai_endpoints._batches.requests import (
    KEPT_DAYS,
    MOST_JOBS,
    MOST_LINES,
    MOST_PAGES,
    UNDER_WAY,
    CancelJob,
    JobState,
    ListJobs,
    MakeJob,
    ReadFile,
    SeeJob,
    StoreFile,
    Window,
)
from ovhcloud_ai_endpoints._errors import (
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    RateLimitError,
    printable,
)
from ovhcloud_ai_endpoints._http import Client, Request, Settings, Timeouts

UNPROVEN = "/v1/embeddings"  # accepted in batches by what the guide implies, and shown nowhere
PROVED_BEFORE = 1_000  # requests to it: one goes first if there are more
LOOKS = 2  # through the list of jobs, before one that may have been made is made again
MOST_DIVISIONS = 40  # of one file that was refused without a line
AGES = 10  # a job is asked for again after this part of its age
DAY_SECONDS = 24 * 60 * 60
READS = 3  # of the files of a job that has ended, before what is missing in them is given up
LOOK_SECONDS = 30.0  # at the least, between two looks for a job that may have been made
TIMEOUTS = Timeouts(first_event=3600.0)  # of a request about files and jobs; some upload 200 MB
ANOTHER_KEY = (
    "A batch job of the ledger may have been made with another key, with which alone it can be looked for. Use that "
    "key; else call Batch.forget_jobs(), and its requests are asked, and perhaps paid, again."
)

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
        refused: errors of requests that could not be sent, by key; for as long as a map is under way.
    """

    def __init__(self, ledger: Ledger, window: Window, poll_seconds: tuple[float, float]) -> None:
        self._settings: dict[tuple[str, str], Settings] = {}  # by server and fingerprint of the key
        self._of_server: dict[str, Settings] = {}
        self.refused: dict[str, OVHCloudError] = {}
        self._refusals = 0
        self._ledger, self._table = ledger, JobTable(ledger)
        self._lease = Lease(ledger)
        self._window: Window = window
        self._shortest, self._longest = poll_seconds
        self._stop = threading.Event()
        self._lost = threading.Event()  # the lease is another's now
        self._moving = threading.Lock()
        self._is_closed = False
        self._due: dict[int, float] = {}
        self._reads: Counter[int] = Counter()  # of the files of each job
        self._stored_again: set[int] = set()  # jobs
        self._own: set[int] = set()  # jobs that were packed by this object
        self._has_answered: set[str] = set()  # servers
        self._is_proven: set[tuple[str, str]] = set()  # servers and endpoints that have answered a batch

    def know(self, settings: Settings) -> str:
        """Takes note of how to reach a server; returns the fingerprint of the key."""
        found = fingerprint(settings)
        if (settings.base_url, found) not in self._settings:
            self._settings[settings.base_url, found] = settings
            self._of_server[settings.base_url] = settings
        return found

    @property
    def changes(self) -> tuple[int, int]:
        """What differs once jobs have ended, of this process or another, or requests were refused."""
        return self._refusals, self._table.ended_jobs()

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
            with suppress(LostLeaseError), self._lease.held(self._lost) as is_ours:
                if is_ours:
                    return self._moved()
            return self._shortest
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
        for job in self._table.jobs(self._of_server):
            if job.state in {"packed", "stored"} and job.number not in self._own:
                self._table.end(job)  # nothing was paid yet, and perhaps nobody wants it any more
            else:
                self._advance(job)
        while not self._is_stopped and (new := self._pack()) is not None:
            self._advance(new)
        under_way = [job.number for job in self._table.jobs(self._of_server)]
        self._due = {number: self._due.get(number, 0.0) for number in under_way}
        self._own &= self._due.keys()
        return max(0.0, min(self._due.values(), default=0.0) - time.monotonic())

    @property
    def _is_stopped(self) -> bool:
        return self._stop.is_set() or self._lost.is_set()

    def cancel(self) -> int:
        """Asks the service to end the jobs that are under way, and makes no more of those that are packed.

        Returns:
            How many jobs of the service are ended by this.
        """
        count = 0
        with self._moving:
            self._stop = threading.Event()
            for job in self._table.jobs(self._of_server):
                if job.id is None:
                    if job.state != "making":
                        self._table.end(job)
                    continue
                state = self._send(job, SeeJob(job.id))
                if state.status in {"validating", "in_progress"}:
                    with suppress(BadRequestError):  # it has ended just now
                        state = self._send(job, CancelJob(job.id))
                        count += 1
                job.status = state.status
                self._table.save(job)
                self._due[job.number] = 0.0
        return count

    def disown(self) -> None:
        """Lets jobs go that were packed and not made; they are packed anew for those who still want their requests."""
        self._own.clear()

    def forget_jobs(self) -> int:
        """Forgets the jobs that are under way, whose requests are asked again; returns how many."""
        with self._moving:
            jobs = self._table.jobs(self._of_server)
            for job in jobs:
                self._table.end(job)
        return len(jobs)

    def _client(self, job: Job) -> Client:
        """For the job's own key, or another one of its server: keys are replaced while jobs are under way.

        Files and jobs have clocks of their own, since those of a chat would end an upload.
        """
        settings = self._settings_of(job)
        timeouts = replace(TIMEOUTS, connect=settings.timeouts.connect)
        return Client(replace(settings, timeouts=timeouts), self._stop)

    def _settings_of(self, job: Job) -> Settings:
        return self._settings.get((job.server, job.fingerprint)) or self._of_server[job.server]

    def _send(self, job: Job, request: Request[T]) -> T:
        found = self._client(job).send(request)
        self._has_answered.add(job.server)
        return found

    def _pack(self) -> Job | None:
        """A new job, if one may be in progress besides the others."""
        under_way = self._table.jobs(self._of_server)
        beside = Counter((job.server, job.fingerprint) for job in under_way)
        if all(beside[account] >= MOST_JOBS for account in self._settings):
            return None
        for group, count in self._table.groups():
            if beside[group.server, group.fingerprint] >= MOST_JOBS:
                continue
            most = MOST_LINES
            if group.endpoint == UNPROVEN and not self._proves(group.server, group.endpoint):
                if any((job.server, job.endpoint) == (group.server, UNPROVEN) for job in under_way):
                    continue
                most = 1 if count > PROVED_BEFORE else MOST_LINES
            if (new := self._table.pack(group, most_lines=most)) is not None:
                self._own.add(new.number)
            return new
        return None

    def _proves(self, server: str, endpoint: str) -> bool:
        """Whether a batch of an endpoint was ever answered."""
        if (server, endpoint) not in self._is_proven and self._table.is_answered(server, endpoint):
            self._is_proven.add((server, endpoint))
        return (server, endpoint) in self._is_proven

    def _advance(self, job: Job) -> None:
        try:
            while not self._is_stopped and self._due.get(job.number, 0.0) <= time.monotonic():
                if not self._step(job):
                    return
        except OVHCloudError as error:
            if job.server not in self._has_answered and error.status is None:
                raise
            self._put_off(job)
            if isinstance(error, NotFoundError) and job.state == "stored" and job.number not in self._stored_again:
                self._stored_again.add(job.number)  # its file is gone
                job.state, job.file = "packed", None
                self._table.save(job)
            elif error.is_transient or error.status is None:
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
        lines = StoreFile(lambda: self._table.lines(job), job.bytes)
        job.file, job.state = self._send(job, lines), "stored"
        self._table.save(job)

    def _make(self, job: Job) -> None:
        job.state, job.looks = "making", 0
        self._table.save(job)
        try:
            state = self._send(job, MakeJob(job.file or "", job.endpoint, self._window))
        except OVHCloudError as error:
            is_refused = error.status is not None and 400 <= error.status < 500 and error.status not in {408, 409}
            if is_refused or not error.may_have_taken_effect:
                job.state = "stored"
                self._table.save(job)
            if is_refused and not isinstance(error, RateLimitError):
                raise
            what = "may have been made" if job.state == "making" else "is made later"
            log.warning("A batch job of %s %s: %s", job.model, what, error)
            self._put_off(job, LOOK_SECONDS if job.state == "making" else 0.0)
            return
        self._made(job, state)

    def _look_for(self, job: Job) -> None:
        """Looks for a job that may have been made; once it was looked for often enough, it is made again."""
        if (job.server, job.fingerprint) not in self._settings:
            self._put_off(job)
            self._refuse(job, OVHCloudError(ANOTHER_KEY))
            return
        after, seen = None, set()
        while not self._is_stopped:
            page, after = self._send(job, ListJobs(after))
            for state in page:
                if state.input_file == job.file:
                    self._made(job, state)
                    return
            if after is None:
                break
            seen.add(after)
            if len(seen) >= MOST_PAGES or any(state.id in seen - {after} for state in page):
                raise InvalidResponseError("The list of jobs does not end")
        else:
            return
        job.looks += 1
        if job.looks >= LOOKS:
            job.state = "stored"
        self._table.save(job)
        self._put_off(job, LOOK_SECONDS)

    def _made(self, job: Job, state: JobState) -> None:
        job.state, job.id, job.status, job.made = "made", state.id, state.status, time.time()
        self._table.save(job)
        log.info("Batch job %s: %d requests to %s", printable(state.id), job.lines, job.model)
        self._put_off(job)

    def _see(self, job: Job) -> bool:
        try:
            state = self._send(job, SeeJob(job.id or ""))
        except NotFoundError as error:
            self._lose(job, error)
            return False
        job.status, job.done, job.failed = state.status, state.done, state.failed
        self._table.save(job)
        if not state.has_ended:
            if state.status not in UNDER_WAY:
                log.warning(
                    "Batch job %s is in a state that is not known: %s", printable(state.id), printable(state.status)
                )
            self._put_off(job)
            return True
        unread = self._read_all(job, state)
        if state.status == "failed" and not state.results:
            self._mend(job, state)
        elif unread:
            self._reads[job.number] += 1
            log.warning("Batch job %s: %d results are missing or can't be read", printable(state.id), unread)
            if self._reads[job.number] < READS:
                self._put_off(job)
                return True
            if state.status == "completed":
                lost = [(lost_line(key), False) for key in self._table.open_keys(job)]
                self._table.take(job, lost)
        self._table.end(job)
        counts = (printable(state.id), state.status, state.done, state.failed)
        log.info("Batch job %s: %s, %d answered, %d failed", *counts)
        return False

    def _read_all(self, job: Job, state: JobState) -> int:
        """Reads the results of a job that has ended; returns how many there should have been besides.

        A job that was completed has one for each line; of others the service tells how many lines it has answered.
        """
        try:
            for file in state.results:
                self._read(job, file)
        except NotFoundError:
            if job.made is not None and time.time() - job.made > KEPT_DAYS * DAY_SECONDS:
                log.warning("The results of batch job %s are gone after %d days", printable(state.id), KEPT_DAYS)
                return 0
        unanswered = len(self._table.open_keys(job))
        if state.status == "completed":
            return unanswered
        return max(0, min(unanswered, state.done - (job.lines - unanswered)))

    def _lose(self, job: Job, error: NotFoundError) -> None:
        """A job is not known to the service: it is too old, or was made with a key of another project."""
        if job.made is not None and time.time() - job.made > KEPT_DAYS * DAY_SECONDS:
            gone = printable(job.id or "")
            log.warning("Batch job %s is gone after %d days; what has no answer is asked again", gone, KEPT_DAYS)
            self._table.end(job)
            return
        words = (
            f"The service does not know batch job {job.id} of the ledger. If it was made with another project's key, "
            "use that; else call Batch.forget_jobs(), and its requests are asked and paid again."
        )
        self._put_off(job)
        self._refuse(job, NotFoundError(words, status=error.status, headers=error.headers, body=error.body))

    def _read(self, job: Job, file: str) -> None:
        secret = self._settings_of(job).key().encode()
        with self._client(job).stream(ReadFile(file)) as lines:
            for piece in pieces(lines):
                results = [replace(result, body=without(secret, result.body)) for result in piece]
                self._table.take(job, [(result, self._may_pass(result)) for result in results])

    @staticmethod
    def _may_pass(result: Result) -> bool:
        return not result.is_answer and result.error().is_transient

    def _mend(self, job: Job, state: JobState) -> None:
        """Takes the lines out for which a file was refused, or divides it to find them."""
        keys = self._table.keys(job)
        said = [problem for problem in state.problems if problem.line is not None and 1 <= problem.line <= len(keys)]
        first = state.problems[0].message if state.problems else "The service refused the file and did not say why"
        if said:
            bad = {keys[(one.line or 1) - 1]: printable(one.message) for one in said}
        elif len(self._table.open_keys(job)) <= 1 or self._table.divisions(job) >= MOST_DIVISIONS:
            bad = dict.fromkeys(keys, first)
        else:
            self._own |= {half.number for half in self._table.divide(job)}
            return
        self._table.take(job, [(refused_line(key, message), False) for key, message in bad.items()])
        self._table.end(job)

    def _refuse(self, job: Job, error: OVHCloudError) -> None:
        """Gives the requests of a job that can't be sent or read its error, for this process."""
        log.warning("Batch job of %d requests to %s: %s", job.lines, job.model, error)
        keys = self._table.keys(job)
        self.refused.update(dict.fromkeys(keys, error))
        self._table.drop(keys)
        if job.id is None and job.state != "making":
            self._table.end(job)
        self._refusals += 1

    def _put_off(self, job: Job, least: float = 0.0) -> None:
        age = 0.0 if job.made is None else time.time() - job.made
        seconds = max(least, min(self._longest, max(self._shortest, age / AGES)))
        self._due[job.number] = time.monotonic() + seconds
