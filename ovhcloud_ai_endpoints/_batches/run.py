"""One run of a function for one input: its calls are answered from the ledger, or written down.

A driver: it holds back the calls of other threads and tasks until the function has made them all.
"""

import asyncio
import copy
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._batches.job import Jobs
from ovhcloud_ai_endpoints._batches.ledger import Asked, Ledger
from ovhcloud_ai_endpoints._batches.lines import VERSION, Line, body_of, error_of, is_stream, line_of
from ovhcloud_ai_endpoints._errors import KEY_ADVICE, AuthenticationError, OVHCloudError
from ovhcloud_ai_endpoints._http import Request, Settings, Waiting, Whole
from ovhcloud_ai_endpoints._values import Exchange

QUIET_SECONDS = 0.03  # without a new request, after which a function is taken to have made all that it can
QUICKEST = 0.003  # of the same, once each thread that goes soon brings the next request of its queue
LATER = "The answer comes with a later batch job, and then the function runs again"


class LaterError(OVHCloudError):
    """What `Waiting` is for a stream on a thread that the function started: many such threads take errors only."""


@dataclass
class Answers:
    """What the runs of one map have in common.

    Args:
        shares: whether equal requests of different inputs have one answer.
    """

    ledger: Ledger
    jobs: Jobs
    shares: bool = True

    def find(self, line: Line) -> Whole | OVHCloudError | None:
        """The answer to a request, or its error; None if there is none yet."""
        found = self.ledger.find(line.key)
        if found is None:
            error = self.jobs.refused.get(line.key)
            return None if error is None else copy.copy(error)  # as each raising adds to its traceback
        status, body, job = found
        if not 200 <= status < 300:
            return error_of(status, body, line.model)
        return Whole(status, {}, body, Exchange(batch_job=job))


@dataclass
class Run:
    """One run, from the beginning of the function to its end: the sender of its requests.

    Args:
        park: makes an awaited call of the loop wait until it is answered; None if the function itself blocks.

    Attributes:
        asked: what it has asked, by key.
        new: requests that no ledger had.
        waits_for: keys of the requests that have no answer yet.
        changed: when it last asked something new.
        is_over: whether the function has ended, after which its threads get no more answers.
    """

    answers: Answers
    place: int
    park: "Callable[[Run, str], Awaitable[None]] | None" = None
    loop: asyncio.AbstractEventLoop | None = None
    asked: dict[str, Asked] = field(default_factory=dict)
    new: dict[str, Line] = field(default_factory=dict)
    waits_for: set[str] = field(default_factory=set)
    changed: float = 0.0
    is_over: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.get_ident()
        self._numbers: Counter[tuple[str, bytes]] = Counter()
        self._lock = threading.Lock()
        self._held: list[object] = []
        self._released = 0  # calls that went together the last time
        self._quiet = QUIET_SECONDS
        self._has_failed = False

    def answer(self, settings: Settings, request: Request[Any]) -> Whole:
        line = self._ask(settings, request)
        if (found := self._found(line)) is not None:
            return found
        if threading.get_ident() == self._thread:
            raise Waiting(LATER)
        here, silence = self._hold(), threading.Event()
        while not self._is_released(here):
            silence.wait(self._quiet)
        raise self._later(request)

    async def aanswer(self, settings: Settings, request: Request[Any]) -> Whole:
        line = self._ask(settings, request)
        if (found := self._found(line)) is not None:
            return found
        if self.park is not None and asyncio.get_running_loop() is self.loop:
            await self.park(self, line.key)
            if (found := self._found(line)) is not None:
                return found
            raise Waiting(LATER)
        here = self._hold()
        while not self._is_released(here):
            await quiet(self._quiet)
        raise self._later(request)

    def _ask(self, settings: Settings, request: Request[Any]) -> Line:
        """The request as a line, which is noted as new if no answer is known."""
        if self.is_over:
            raise LaterError("The function has ended, so its batch answers no more calls")
        if not settings.key():
            raise AuthenticationError(f"Batch jobs need a key. {KEY_ADVICE}")
        endpoint, body = VERSION + request.path, body_of(request)
        place = None if self.answers.shares else self.place
        with self._lock:
            number = self._numbers[endpoint, body]
            self._numbers[endpoint, body] += 1
            line = line_of(settings.base_url, endpoint, str(request.model), body, number=number, place=place)
            is_new = self.answers.find(line) is None
            if is_new and self._has_failed:
                raise Waiting(LATER)
            if is_new:
                self.new[line.key] = line
                self.waits_for.add(line.key)
                self._take_note_of_a_request()
            self.asked[line.key] = Asked(self.place, line.key, self.answers.jobs.reach(settings))
        return line

    def _found(self, line: Line) -> Whole | None:
        found = self.answers.find(line)
        if found is None:
            return None
        self.waits_for.discard(line.key)
        if isinstance(found, OVHCloudError):
            raise found
        return found

    def _take_note_of_a_request(self) -> None:
        now = time.monotonic()
        if self._released:  # by a thread that went: there is a queue
            self._quiet = min(QUIET_SECONDS, max(QUICKEST, 3 * (now - self.changed)))
        self.changed, self._released = now, 0

    def _hold(self) -> object:
        here = object()
        with self._lock:
            self._held.append(here)
        return here

    def _is_released(self, here: object) -> bool:
        """Whether a held call may go: the last ones first, more each time that this brings nothing new.

        Each call that goes lets its thread take the next of its queue, as in `batch`, and the oldest ends the queue.
        """
        now = time.monotonic()
        with self._lock:
            if here not in self._held or self.is_over:
                return True
            if now - self.changed < self._quiet:
                return False
            if self._released:
                self._quiet = QUIET_SECONDS  # the queue has ended, it seems
            self._released = min(2 * self._released or 1, len(self._held))
            leaving = self._held[-self._released :]
            del self._held[-self._released :]
            self.changed = now
        return here in leaving

    def _later(self, request: Request[Any]) -> BaseException:
        if is_stream(request) and threading.get_ident() != self._thread:
            self._has_failed = True  # what handles the error must not ask anything else
            return LaterError(LATER)
        return Waiting(LATER)


def _set(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


async def quiet(seconds: float) -> None:
    done = asyncio.get_running_loop().create_future()
    handle = asyncio.get_running_loop().call_later(seconds, _set, done)
    try:
        await done
    finally:
        handle.cancel()
