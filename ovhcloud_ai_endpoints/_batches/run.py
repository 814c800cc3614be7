"""One run of a function for one input: its calls are answered from the ledger, or written down.

A driver: it holds back the calls of other threads and tasks until the function has made them all.
"""

import asyncio
import copy
import hashlib
import threading
import time
from bisect import insort_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any

from ovhcloud_ai_endpoints._batches.job import Jobs
from ovhcloud_ai_endpoints._batches.ledger import Asked, Ledger
from ovhcloud_ai_endpoints._batches.lines import VERSION, Line, body_of, error_of, is_stream, line_of
from ovhcloud_ai_endpoints._errors import KEY_ADVICE, AuthenticationError, OVHCloudError
from ovhcloud_ai_endpoints._http import Request, Settings, Waiting, Whole
from ovhcloud_ai_endpoints._values import Exchange

QUIET_SECONDS = 0.03  # without a new request, after which a function is taken to have made all that it can
TICKS = 3  # into which that time is divided
LATE_TICKS = 10  # that count as one
QUICK_SECONDS = 0.003  # the same, while each thread that goes brings the next request of its queue
LetGo = Callable[[], object]
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
        is_over: whether the function has ended, after which its threads get no more answers.
    """

    answers: Answers
    place: int
    park: "Callable[[Run, str], Awaitable[None]] | None" = None
    loop: asyncio.AbstractEventLoop | None = None
    asked: dict[str, Asked] = field(default_factory=dict)
    new: dict[str, Line] = field(default_factory=dict)
    waits_for: set[str] = field(default_factory=set)
    is_over: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.get_ident()
        self._numbers: Counter[tuple[str, bytes]] = Counter()
        self._lock = threading.Lock()
        self._holding: list[tuple[int, LetGo]] = []  # the oldest thread's first: that of a pool's first call
        self._released = 0  # calls that went together the last time, if nothing was asked since
        self._is_queue = False  # whether something was asked each time that calls went
        self._punctual = 0.0  # by when a tick is to end
        self._ticks = 0.0  # since something was asked, or calls went
        self._has_failed = False

    def answer(self, settings: Settings, request: Request[Any]) -> Whole:
        line = self._ask(settings, request)
        if (found := self._found(line)) is not None:
            return found
        if threading.get_ident() == self._thread:
            raise Waiting(LATER)
        go = threading.Event()
        let_go = go.set  # each look at it makes another object
        with self._held(let_go):
            while not go.wait(self._begin_tick(let_go)):
                self._tick(let_go)
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
        loop, go = asyncio.get_running_loop(), asyncio.Event()
        let_go = partial(loop.call_soon_threadsafe, go.set)
        with self._held(let_go):
            while not await set_within(go, self._begin_tick(let_go)):
                self._tick(let_go)
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
            number = self._numbers[endpoint, (digest := hashlib.sha256(body).digest())]
            self._numbers[endpoint, digest] += 1
            line = line_of(settings.base_url, endpoint, str(request.model), body, number=number, place=place)
            is_new = self.answers.find(line) is None
            if is_new and self._has_failed:
                raise Waiting(LATER)
            if is_new:
                self.new[line.key] = line
                self.waits_for.add(line.key)
                self._is_queue, self._released, self._ticks = self._released > 0, 0, 0.0
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

    def _begin_tick(self, by: LetGo) -> float:
        """Seconds to wait."""
        pause = QUICK_SECONDS if self._is_queue else QUIET_SECONDS / TICKS
        with self._lock:
            if self._holding and by is self._holding[0][1]:
                self._punctual = time.monotonic() + 1.5 * pause
        return pause

    @contextmanager
    def _held(self, let_go: LetGo) -> Iterator[None]:
        """Holds a call back during the block, which lasts until `let_go` is called."""
        with self._lock:
            insort_right(self._holding, (threading.get_native_id(), let_go), key=itemgetter(0))
        try:
            yield
        finally:
            with self._lock:
                self._holding = [held for held in self._holding if held[1] is not let_go]

    def _tick(self, by: LetGo) -> None:
        """Lets held calls go if nothing new was asked for some ticks: the last ones first, more each time in vain.

        Each call that goes lets its thread take the next of its queue, as in `batch`. The oldest thread's would end the
        queue, so it goes last, and alone. It does the ticking; where the machine is busy, and others may be late too,
        late ticks hardly count.
        """
        with self._lock:
            if not self._holding or by is not self._holding[0][1]:
                return
            self._ticks += 1 if time.monotonic() < self._punctual else 1 / LATE_TICKS
            if self._ticks < (1 if self._is_queue else TICKS):
                return
            self._ticks = 0.0
            if self._is_queue and self._released:
                self._is_queue = False  # it has ended, or is slow
                return
            self._released = max(1, min(2 * self._released, len(self._holding) - 1))
            leaving = self._holding[-self._released :]
            del self._holding[-self._released :]
        for _, let_go in leaving:
            let_go()

    def _later(self, request: Request[Any]) -> BaseException:
        if is_stream(request) and threading.get_ident() != self._thread:
            self._has_failed = True  # what handles the error must not ask anything else
            return LaterError(LATER)
        return Waiting(LATER)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event is set within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
