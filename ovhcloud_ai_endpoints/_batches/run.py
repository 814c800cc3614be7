"""One run of a function for one input: its calls are answered from the ledger, or written down.

A driver: it holds back the calls of other threads and tasks; `turns` decides how long.
"""

import asyncio
import copy
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ovhcloud_ai_endpoints._batches.job import Jobs
from ovhcloud_ai_endpoints._batches.ledger import Ledger
from ovhcloud_ai_endpoints._batches.lines import API_PREFIX, Line, body_of, is_stream, line_of
from ovhcloud_ai_endpoints._batches.turns import LetGo, Turns
from ovhcloud_ai_endpoints._batches.workers import end_call, working_since
from ovhcloud_ai_endpoints._errors import AuthenticationError, OVHCloudError
from ovhcloud_ai_endpoints._http import Request, Settings, Waiting, Whole, set_within
from ovhcloud_ai_endpoints._values import Exchange

HUNG_SECONDS = 1.0  # after which a function is ended that goes on, and asks nothing, when a call of it was stopped
NO_KEY = "Batch jobs need a key, and none is set: give it as api_key= or in OVHCLOUD_API_KEY"
LATER = "The answer comes with a later batch job, and then the function runs again"


class LaterError(OVHCloudError):
    """`Waiting` as an error, for a stream on a thread that the function started: such threads hand on errors only."""


@dataclass(frozen=True)
class Answers:
    """Where the runs of a batch find their answers.

    Attributes:
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
        result, job = found
        if not result.is_answer:
            return result.error(line.model)
        return Whole(result.status, {}, result.body, Exchange(batch_job=job))


class Run:
    """The sender of one run's requests, from the beginning of the function to its end.

    Args:
        park: makes an awaited call of `loop` wait until it is answered; None if the function itself blocks.

    Attributes:
        asked: keys of all that it has asked.
        new: requests of it that had no answer, by key.
        wanted: fingerprints of the keys with which these are to go out.
        waits_for: keys of the requests that have no answer yet.
        is_over: whether the function has ended, after which its threads get no more answers.
        failure: why the ledger could not be read.
    """

    def __init__(
        self,
        answers: Answers,
        place: int,
        park: "Callable[[Run, str], Awaitable[None]] | None" = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.place = place
        self.asked: set[str] = set()
        self.new: dict[str, Line] = {}
        self.wanted: dict[str, str] = {}
        self.waits_for: set[str] = set()
        self.is_over = False
        self.failure: Exception | None = None
        self._answers, self._park, self._loop = answers, park, loop
        self._thread = threading.get_ident()
        self._numbers: Counter[bytes] = Counter()  # how often a request was asked
        self._lock = threading.Lock()
        self._turns = Turns()
        self._has_failed = False
        self._loops: set[asyncio.AbstractEventLoop] = set()  # of the function, on its own thread
        self._stopped: float | None = None  # when a call was stopped, if nothing was asked since

    def answer(self, settings: Settings, request: Request[Any]) -> Whole:
        _, found = self._ask(settings, request)
        if found is not None:
            return found
        if threading.get_ident() == self._thread:
            raise self._later(request)
        go = threading.Event()
        let_go = go.set  # each look at it makes another object
        with self._held(let_go):
            while not go.wait(self._begin_tick(let_go)):
                self._tick(let_go)
        raise self._later(request)

    async def aanswer(self, settings: Settings, request: Request[Any]) -> Whole:
        loop = asyncio.get_running_loop()
        if loop is not self._loop and threading.get_ident() == self._thread:
            self._loops.add(loop)
        line, found = self._ask(settings, request)
        if found is not None:
            return found
        if self._park is not None and loop is self._loop:
            await self._park(self, line.key)
            if (answer := self._taken(line, self._find(line))) is None:
                raise Waiting(LATER)
            return answer
        go = asyncio.Event()

        def let_go() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(go.set)

        with self._held(let_go):
            while not await set_within(go, self._begin_tick(let_go)):
                self._tick(let_go)
        raise self._later(request)

    def _ask(self, settings: Settings, request: Request[Any]) -> tuple[Line, Whole | None]:
        """The request as a line, and its answer; it is noted as new if there is none."""
        if self.is_over:
            raise LaterError("The function has ended, so its batch answers no more calls")
        if not settings.key():
            raise AuthenticationError(NO_KEY)
        endpoint, body = API_PREFIX + request.path, body_of(request)
        digest = hashlib.sha256(endpoint.encode() + b"\n" + body).digest()
        place = None if self._answers.shares else self.place
        with self._lock:
            number = self._numbers[digest]
            self._numbers[digest] += 1
            line = line_of(settings.base_url, endpoint, str(request.model), body, number=number, place=place)
            found = self._find(line)
            if found is None and self._has_failed:
                raise Waiting(LATER)
            if found is None:
                self.new[line.key] = line
                self.wanted[line.key] = self._answers.jobs.know(settings)
                self.waits_for.add(line.key)
                self._turns.ask()
            self._stopped = None
            self.asked.add(line.key)
        if threading.get_ident() != self._thread:
            working_since()  # at its first call, if this has an answer
            if found is not None:
                end_call()
        return line, self._taken(line, found)

    def _find(self, line: Line) -> Whole | OVHCloudError | None:
        try:
            return self._answers.find(line)
        except Exception as error:  # of the ledger, so no answer of the function, whatever that makes of it
            self.failure = error
            raise

    def _taken(self, line: Line, found: Whole | OVHCloudError | None) -> Whole | None:
        if found is not None:
            self.waits_for.discard(line.key)
        if isinstance(found, OVHCloudError):
            raise found
        return found

    @contextmanager
    def _held(self, let_go: LetGo) -> Iterator[None]:
        """Holds a call during the block, which lasts until `let_go` is called."""
        with self._lock:
            self._turns.hold(working_since(), let_go, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._turns.drop(let_go)
            end_call()

    def _begin_tick(self, by: LetGo) -> float:
        with self._lock:
            return self._turns.begin_tick(by, time.monotonic())

    def _tick(self, by: LetGo) -> None:
        with self._lock:
            leaving = self._turns.tick(by, time.monotonic())
        for let_go in leaving:
            let_go()

    def _later(self, request: Request[Any]) -> BaseException:
        """What to raise in a call that has no answer yet."""
        self._stopped = time.monotonic()
        for loop in self._loops:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(loop.call_later, HUNG_SECONDS, self._unblock, loop)
        if threading.get_ident() != self._thread and is_stream(request):
            self._has_failed = True  # what handles the error must not ask anything else
            return LaterError(LATER)
        return Waiting(LATER)

    def is_stuck(self) -> bool:
        """Whether the function goes on, and asks nothing, though a call of it was stopped.

        What the call stopped may be what the function waits for, such as the end of a workflow's events.
        """
        return not self.is_over and self._stopped is not None and time.monotonic() - self._stopped >= HUNG_SECONDS

    def _unblock(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the tasks of a loop of the function, if it is stuck."""
        if self.is_stuck():
            for task in asyncio.all_tasks(loop):
                task.cancel()
