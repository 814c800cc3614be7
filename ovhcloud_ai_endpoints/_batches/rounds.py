"""Runs a function for many inputs, in rounds: what all of them ask goes out in jobs, and then they go on.

A driver. Functions that block run one after the other, and again once what they asked is answered; those that are
awaited wait where they are, as long as there is room.
"""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ovhcloud_ai_endpoints._batches.ledger import Asked
from ovhcloud_ai_endpoints._batches.lines import Line
from ovhcloud_ai_endpoints._batches.progress import Progress
from ovhcloud_ai_endpoints._batches.run import QUIET_SECONDS, Answers, Run, set_within
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import answer_by

I = TypeVar("I")  # noqa: E741 - an input
T = TypeVar("T")
WRITTEN_TOGETHER = 1_000  # inputs
ROOM = 512  # inputs above `max_open` that may be open while the others of them are still asking
Answer = tuple[int, Any]


@dataclass(frozen=True)
class Plan:
    """How a map is to be done."""

    number: int
    answers: Answers
    stop: threading.Event
    max_rounds: int
    max_open: int
    max_concurrency: int
    progress: Progress


class _Notes:
    """What the runs have asked since it was last written down."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._new: dict[str, Line] = {}
        self._asked: list[Asked] = []
        self._waiting: list[tuple[int, int]] = []
        self._done: list[int] = []

    def add(self, run: Run, rounds: int) -> None:
        """An input waits, in this round, for what a run has asked."""
        self._new |= run.new
        self._asked += run.asked.values()
        self._waiting.append((run.place, rounds))
        run.new = {}

    def end(self, place: int) -> None:
        """An input that has waited is answered."""
        self._done.append(place)

    @property
    def are_many(self) -> bool:
        return len(self._waiting) >= WRITTEN_TOGETHER

    def write(self) -> None:
        new, asked, waiting, done = self._new, self._asked, self._waiting, self._done
        self._new, self._asked, self._waiting, self._done = {}, [], [], []
        if waiting or done:
            self._plan.answers.ledger.write(self._plan.number, new.values(), asked, waiting, done)


def problem_of(run: Run, rounds: int, before: frozenset[str], most: int) -> OVHCloudError | None:
    """Why an input can't wait for what it has asked; None if it can.

    Args:
        rounds: in which it would wait now.
        before: what it had asked in the round before.
    """
    if before - run.asked.keys():
        return OVHCloudError(
            "The function asked something else this time, so that its first answers are of no use: does a prompt hold "
            "the time or a random value, or does it continue a conversation that a checkpointer keeps? Nothing more "
            "was sent for this input."
        )
    if rounds > most:
        return OVHCloudError(
            f"The function still asks something new after {most} rounds; allow more with max_rounds=. "
            "What was answered is in the ledger."
        )
    return None


def in_rounds(function: Callable[[I], Any], inputs: Iterable[I], plan: Plan) -> Generator[Answer, None, None]:
    """Yields the place of each input and its answer: what the function returned, or an error."""
    ledger, notes = plan.answers.ledger, _Notes(plan)
    values: dict[int, I] = {}
    for place, value in enumerate(inputs):
        answer = _attempt(function, Run(plan.answers, place), value, plan, notes)
        if answer is not None:
            yield answer
        else:
            values[place] = value
        if notes.are_many:
            notes.write()
            plan.progress.show(ledger.counts())
    while values:
        notes.write()
        seconds = plan.answers.jobs.move(plan.stop)
        plan.progress.show(ledger.counts())
        ready = ledger.ready(plan.number)
        for place in ready:
            state = ledger.state(plan.number, place)
            answer = _attempt(function, Run(plan.answers, place), values[place], plan, notes, *state)
            if answer is not None:
                notes.end(place)
                del values[place]
                yield answer
        if not ready and plan.stop.wait(seconds):
            return


def _attempt(
    function: Callable[[I], Any],
    run: Run,
    value: I,
    plan: Plan,
    notes: _Notes,
    rounds: int = 0,
    before: frozenset[str] = frozenset(),
) -> Answer | None:
    """The answer to an input; None if it waits."""
    answer: Any = None
    try:
        answer = copy_context().run(_called, run, function, value)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # whatever it is, the function's own exception is its answer
        if not isinstance(error, Exception) and not run.waits_for:
            raise
        answer = error
    finally:
        run.is_over = True
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("map takes a function that blocks, such as chain.invoke; for chain.ainvoke there is amap")
    if not run.waits_for:
        plan.progress.add()
        return run.place, answer
    if (problem := problem_of(run, rounds + 1, before, plan.max_rounds)) is not None:
        plan.progress.add()
        return run.place, problem
    notes.add(run, rounds + 1)
    return None


def _called(run: Run, function: Callable[[I], Any], value: I) -> Any:
    answer_by(run)
    return function(value)


@dataclass
class _Open:
    """An input whose function is under way."""

    run: Run
    value: Any
    rounds: int
    before: frozenset[str]
    task: "asyncio.Task[Any] | None" = None
    waiting: int = 0  # calls


class AsyncRounds:
    """The same as `in_rounds`, for a function that is awaited."""

    def __init__(self, function: Callable[[Any], Awaitable[Any]], inputs: Iterable[Any], plan: Plan) -> None:
        self._function, self._plan = function, plan
        self._inputs = enumerate(inputs)
        self._has_more = True
        self._notes = _Notes(plan)
        self._open: dict[int, _Open] = {}
        self._values: dict[int, Any] = {}  # of inputs that wait without being open
        self._ready: dict[int, None] = {}  # places of those of them that can go on
        self._calls: dict[str, list[tuple[_Open, asyncio.Future[None]]]] = {}
        self._answered: deque[str] = deque()  # keys whose calls can go on
        self._done: deque[Answer] = deque()
        self._active = 0  # functions that are under way and do not wait
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """Yields the place of each input and its answer: what the function returned, or an error."""
        try:
            while True:
                self._go_on()
                while self._done:
                    yield self._done.popleft()
                if not (self._open or self._values or self._has_more):
                    return
                if self._active or (self._has_more and self._has_room):
                    self._changed.clear()
                    await self._changed.wait()
                elif await self._is_quiet():
                    await self._round()
        finally:
            self._plan.stop.set()
            await self._end([*self._open.values()])

    @property
    def _has_room(self) -> bool:
        return len(self._open) < self._plan.max_open + ROOM

    def _go_on(self) -> None:
        """Lets functions go on, or begins them, as many as may be under way."""
        most = self._plan.max_concurrency
        while self._active < most and self._answered:
            for one, call in self._calls.pop(self._answered.popleft(), ()):
                if not call.done():
                    call.set_result(None)
                    self._count(one, -1)
        while self._active < most and self._ready and self._has_room:
            place = next(iter(self._ready))
            del self._ready[place]
            self._begin(place, self._values.pop(place), *self._plan.answers.ledger.state(self._plan.number, place))
        while self._active < most and self._has_more and self._has_room:
            try:
                place, value = next(self._inputs)
            except StopIteration:
                self._has_more = False
            else:
                self._begin(place, value, 0, frozenset())

    def _begin(self, place: int, value: Any, rounds: int, before: frozenset[str]) -> None:
        run = Run(self._plan.answers, place, park=self._park, loop=self._loop)
        one = self._open[place] = _Open(run, value, rounds, before)
        self._active += 1
        context = copy_context()
        context.run(answer_by, run)
        one.task = self._loop.create_task(_awaited(self._function, value), context=context)
        one.task.add_done_callback(lambda task: self._ended(one, task))

    async def _park(self, run: Run, key: str) -> None:
        """Waits until a request is answered, or the function is ended."""
        one = self._open[run.place]
        call = self._loop.create_future()
        self._calls.setdefault(key, []).append((one, call))
        self._count(one, 1)
        self._changed.set()
        try:
            await call
        except asyncio.CancelledError:  # by the function, or by us
            if call.cancelled():
                self._count(one, -1)
            raise

    def _count(self, one: _Open, change: int) -> None:
        """Counts the calls for which a function waits; it is active as long as there are none."""
        was_active, one.waiting = not one.waiting, one.waiting + change
        if one.run.place in self._open:
            self._active += (not one.waiting) - was_active

    def _close(self, one: _Open) -> None:
        one.run.is_over = True
        del self._open[one.run.place]
        self._active -= not one.waiting

    def _ended(self, one: _Open, task: "asyncio.Task[Any]") -> None:
        """Takes the answer of a function, unless it has asked something that has no answer yet."""
        self._changed.set()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if one.run.is_over:
            return
        self._close(one)
        if not one.run.waits_for:
            self._finish(one, task.result() if error is None else error)
        elif (problem := problem_of(one.run, one.rounds + 1, one.before, self._plan.max_rounds)) is not None:
            self._finish(one, problem)
        else:
            self._notes.add(one.run, one.rounds + 1)
            self._values[one.run.place] = one.value

    def _finish(self, one: _Open, answer: Any) -> None:
        self._plan.progress.add()
        self._notes.end(one.run.place)
        self._done.append((one.run.place, answer))

    async def _is_quiet(self) -> bool:
        """Whether nothing new was asked for a while; calls of other tasks may be about to ask."""
        self._changed.clear()
        return not await set_within(self._changed, QUIET_SECONDS)

    async def _round(self) -> None:
        """Writes down what was asked, moves the jobs on, and finds out who can go on."""
        ended = []
        for at, one in enumerate([*self._open.values()]):
            if one.run.new:
                problem = problem_of(one.run, one.rounds + 1, one.before, self._plan.max_rounds)
                if problem is not None:
                    self._finish(one, problem)
                    ended.append(one)
                    continue
                one.rounds, one.before = one.rounds + 1, frozenset(one.run.asked)
                self._notes.add(one.run, one.rounds)
            if at >= self._plan.max_open:
                self._values[one.run.place] = one.value
                ended.append(one)
        await self._end(ended)
        if self._has_more:  # the others are to ask first
            return
        seconds, answered, ready = await in_thread(self._loop, self._moved)
        self._answered += answered
        self._ready |= {place: None for place in ready if place in self._values}
        if not (self._answered or self._ready or self._done):
            self._changed.clear()
            await set_within(self._changed, seconds)

    def _moved(self) -> tuple[float, Iterable[str], Iterable[int]]:
        """Moves the jobs on; returns when to do so again, and which calls and inputs can go on."""
        plan, answers = self._plan, self._plan.answers
        self._notes.write()
        seconds = answers.jobs.move(plan.stop)
        plan.progress.show(answers.ledger.counts())
        calls = [*self._calls]
        answered = answers.ledger.found(calls) | {key for key in calls if key in answers.jobs.refused}
        return seconds, answered, answers.ledger.ready(plan.number) if self._values else []

    async def _end(self, those: list[_Open]) -> None:
        """Ends functions, and the calls that they wait for on other tasks."""
        ended = {id(one) for one in those}
        for one in those:
            self._close(one)
        for key, calls in [*self._calls.items()]:
            for one, call in calls:
                if id(one) in ended:
                    call.cancel()
            left = [found for found in calls if id(found[0]) not in ended]
            if left:
                self._calls[key] = left
            else:
                del self._calls[key]
        tasks = [one.task for one in those if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _awaited(function: Callable[[Any], Awaitable[Any]], value: Any) -> Any:
    return await function(value)


async def in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """Does blocking work on a thread that nothing waits for, if this is cancelled or the loop ends."""
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(cast("T", result))
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as problem:  # noqa: BLE001 - it is raised where the work is awaited
            error = problem
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=copy_context().run, args=(run,), name="ovhcloud-batch", daemon=True).start()
    return await done
