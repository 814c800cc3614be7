"""The same as `rounds`, for functions that are awaited: their calls wait where they are, as long as there is room.

A driver.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from ovhcloud_ai_endpoints._batches.ledger import Notes
from ovhcloud_ai_endpoints._batches.rounds import CLOSED, SHORTEST_SECONDS, WRITTEN_TOGETHER, Answer, Map, State, note
from ovhcloud_ai_endpoints._batches.run import HUNG_SECONDS, Run
from ovhcloud_ai_endpoints._batches.turns import QUIET_SECONDS
from ovhcloud_ai_endpoints._http import set_sender, set_within

T = TypeVar("T")
Call = asyncio.Future[None]  # that waits for an answer
ROOM = 512  # functions more than `max_open` that may be open, until they have asked


@dataclass(eq=False)
class _OpenInput:
    """An input whose function is under way."""

    run: Run
    value: Any
    state: State
    task: "asyncio.Task[Any] | None" = None
    calls: set[Call] = field(default_factory=set)  # those that wait


class AwaitedRounds:
    """Yields the place of each input and its answer: what the function returned, or an error.

    Args:
        max_open: functions that wait where they are; the others run again.
        max_concurrency: functions that are under way and do not wait.
    """

    def __init__(
        self,
        function: Callable[[Any], Awaitable[Any]],
        inputs: Iterable[Any],
        map_: Map,
        *,
        max_open: int,
        max_concurrency: int,
    ) -> None:
        self._function, self._map = function, map_
        self._max_open, self._max_concurrency = max_open, max_concurrency
        self._inputs = enumerate(inputs)
        self._has_more = True
        self._notes = Notes()
        self._open: dict[int, _OpenInput] = {}
        self._values: dict[int, Any] = {}  # of inputs that wait without being open
        self._strikes: dict[int, int] = {}  # by place
        self._ready: dict[int, None] = {}  # places of those of them that can go on
        self._calls: dict[str, list[tuple[_OpenInput, Call]]] = {}  # by the key of what they ask
        self._answered: deque[tuple[_OpenInput, Call]] = deque()  # calls that can go on
        self._done: deque[Answer] = deque()
        self._failure: BaseException | None = None
        self._active = 0  # functions that are under way and do not wait
        self._changes = (-1, -1)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Ends it, from any thread."""
        self._map.stop.set()
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._changed.set)

    async def answers(self) -> AsyncGenerator[Answer, None]:
        try:
            while True:
                self._go_on()
                if self._failure is not None:
                    raise self._failure
                if self._done:
                    yield self._done.popleft()
                elif not (self._open or self._values or self._has_more):
                    return
                elif self._map.stop.is_set():
                    raise ValueError(CLOSED)
                elif self._active:
                    self._changed.clear()
                    if not await set_within(self._changed, HUNG_SECONDS):
                        self._unblock()
                elif await self._is_quiet():
                    await self._round()
        finally:
            self._map.stop.set()
            await self._end([*self._open.values()])

    @property
    def _has_room(self) -> bool:
        return len(self._open) < self._max_open + ROOM

    def _go_on(self) -> None:
        """Lets functions go on, or begins them, as many as may be under way."""
        while self._active < self._max_concurrency and self._answered:
            one, call = self._answered.popleft()
            if not call.done():
                call.set_result(None)
                self._forget(one, call)
        while self._active < self._max_concurrency and self._ready and self._has_room:
            place = next(iter(self._ready))
            del self._ready[place]
            state = State(*self._map.answers.ledger.state(self._map.number, place), self._strikes.get(place, 0))
            self._begin(place, self._values.pop(place), state)
        while self._active < self._max_concurrency and self._has_more and self._has_room:
            try:
                place, value = next(self._inputs)
            except StopIteration:
                self._has_more = False
            else:
                self._begin(place, value, State())

    def _begin(self, place: int, value: Any, state: State) -> None:
        run = Run(self._map.answers, place, park=self._park, loop=self._loop)
        one = self._open[place] = _OpenInput(run, value, state)
        self._active += 1
        context = copy_context()
        context.run(set_sender, run)
        one.task = self._loop.create_task(self._called(value), context=context)
        one.task.add_done_callback(lambda task: self._ended(one, task))

    async def _called(self, value: Any) -> Any:
        found = self._function(value)
        if not isinstance(found, Awaitable):
            self._failure = TypeError(
                "amap takes a coroutine function, such as chain.ainvoke; for chain.invoke there is map"
            )
            return None
        return await found

    async def _park(self, run: Run, key: str) -> None:
        """Waits until a request is answered, or the function is ended."""
        one = self._open.get(run.place)
        if one is None or one.run is not run:  # a task of it that goes on
            raise asyncio.CancelledError
        call = self._loop.create_future()
        self._calls.setdefault(key, []).append((one, call))
        self._active -= not one.calls
        one.calls.add(call)
        self._changed.set()
        try:
            await call
        finally:
            self._forget(one, call)

    def _forget(self, one: _OpenInput, call: Call) -> None:
        """A call waits no more; its function is active once none does."""
        if call in one.calls:
            one.calls.discard(call)
            self._active += not one.calls and self._open.get(one.run.place) is one

    def _close(self, one: _OpenInput) -> None:
        """A function is not open any more; tasks that it left behind are cancelled where they wait."""
        one.run.is_over = True
        del self._open[one.run.place]
        self._active -= not one.calls
        for call in one.calls:
            call.cancel()

    def _ended(self, one: _OpenInput, task: "asyncio.Task[Any]") -> None:
        """Takes the answer of a function, unless it has asked something that has no answer yet."""
        self._changed.set()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if one.run.is_over:
            return
        self._close(one)
        if one.run.failure is not None:
            self._failure = one.run.failure
        elif one.run.waits_for:
            self._wait(one)
        elif error is not None and not isinstance(error, Exception):
            self._failure = error
        else:
            self._finish(one, task.result() if error is None else error)

    def _wait(self, one: _OpenInput) -> None:
        """An input waits without being open, unless it can't."""
        if one.state.is_odd(one.run):
            self._begin_again(one)
        elif (problem := self._map.problem(one.run, one.state)) is not None:
            self._finish(one, problem)
        else:
            note(self._notes, one.run, one.state.rounds + 1)
            self._values[one.run.place] = one.value
            self._strikes |= {one.run.place: one.state.strikes} if one.state.strikes else {}

    def _begin_again(self, one: _OpenInput) -> None:
        one.state.seen = frozenset(one.run.asked)
        self._begin(one.run.place, one.value, one.state)

    def _finish(self, one: _OpenInput, answer: Any) -> None:
        self._map.progress.add()
        self._notes.done.append(one.run.place)
        self._done.append((one.run.place, answer))

    def _unblock(self) -> None:
        """Ends functions that wait for something that was stopped by a call without an answer."""
        for one in self._open.values():
            if one.task is not None and one.run.is_stuck():
                one.task.cancel()

    async def _is_quiet(self) -> bool:
        """Whether nothing new was asked for a while; calls of other tasks may be about to ask."""
        self._changed.clear()
        return not await set_within(self._changed, QUIET_SECONDS)

    async def _round(self) -> None:
        """Writes down what was asked, moves the jobs on, and finds out who can go on."""
        ended: list[_OpenInput] = []
        again: list[_OpenInput] = []
        for at, one in enumerate([*self._open.values()]):
            if one.run.new:
                if one.state.is_odd(one.run):
                    again.append(one)
                    continue
                problem = self._map.problem(one.run, one.state)
                if problem is not None:
                    self._finish(one, problem)
                    ended.append(one)
                    continue
                state, new = one.state, frozenset(one.run.new)
                note(self._notes, one.run, state.rounds + 1)
                one.state = State(state.rounds + 1, new, state.strikes)
            if at >= self._max_open:
                self._values[one.run.place] = one.value
                ended.append(one)
        await self._end(ended + again)
        for one in again:
            self._begin_again(one)
        has_all = not (self._has_more or self._ready or again)  # the others are to ask first
        if has_all or len(self._notes) >= WRITTEN_TOGETHER:
            notes, self._notes = self._notes, Notes()
            await in_thread(self._loop, lambda: self._map.write(notes))
        if has_all:
            await self._move_jobs()

    async def _move_jobs(self) -> None:
        map_, jobs, ledger = self._map, self._map.answers.jobs, self._map.answers.ledger
        self._calls = {
            key: left for key, calls in self._calls.items() if (left := [one for one in calls if not one[1].done()])
        }
        keys, waits = [*self._calls], bool(self._values)

        def move() -> tuple[float, set[str], list[int]]:
            seconds = jobs.move(map_.stop)
            map_.progress.show(ledger.counts)
            before, self._changes = self._changes, jobs.changes
            if seconds and before == self._changes:
                return seconds, set(), []
            refused = {key for key in keys if key in jobs.refused}
            return seconds, ledger.found(keys) | refused, ledger.ready(map_.number) if waits else []

        seconds, answered, ready = await in_thread(self._loop, move)
        for key in answered:
            self._answered += self._calls.pop(key, [])
        self._ready |= {place: None for place in ready if place in self._values}
        if not (self._answered or self._ready or self._done or map_.stop.is_set()):
            self._changed.clear()
            await set_within(self._changed, max(seconds, SHORTEST_SECONDS))

    async def _end(self, those: list[_OpenInput]) -> None:
        """Ends functions, and the calls that they wait for on other tasks."""
        for one in those:
            self._close(one)
        tasks = [one.task for one in those if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
        except BaseException as problem:  # noqa: BLE001 - it is raised where the work is awaited
            error = problem
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=copy_context().run, args=(run,), name="ovhcloud-batch", daemon=True).start()
    return await done
