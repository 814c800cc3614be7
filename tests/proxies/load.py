"""The load: 64 tasks and 16 threads that ask for some seconds, in all ways of both frameworks."""

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tallies import Tally
from waiting import eventually
from ways import Objects, Questions, Service, Way

from ovhcloud_ai_endpoints import OVHCloudError

TASKS, THREADS = 64, 16
OUTER_BOUND = 60.0  # seconds; no scenario holds a call up for so long
TO_END = 10.0  # seconds that the tasks, threads and sockets of calls may take to end after them
Disturbance = Callable[[threading.Event], object]


def run(
    service: Service,
    seconds: float,
    tally: Tally,
    vectors: Mapping[str, list[float]],
    *,
    meanwhile: Disturbance = lambda over: None,
    rest: tuple[float, float] | None = None,
    bound: float = OUTER_BOUND,
) -> None:
    """Asks for so long, and counts in `tally`.

    Args:
        meanwhile: what is done to the servers, on a thread of its own, until the event that it gets is set.
        rest: now and then a task or thread rests between so many seconds, so that connections fall idle.
        bound: seconds after which a call counts as hung.
    """
    load = _Load(service, tally, vectors, rest, bound)
    asyncio.run(load.warm_up())
    before = _threads()
    load.end = time.monotonic() + seconds
    with ThreadPoolExecutor(1) as disturber, load.threads():
        disturbed = disturber.submit(meanwhile, load.over)
        try:
            asyncio.run(load.tasks())
        finally:
            load.over.set()
        disturbed.result(bound)
    load.objects.close()
    eventually(lambda: not sockets_to_port(service.port), TO_END)
    eventually(lambda: _threads() <= before, TO_END)
    tally.leaked += [f"socket in state {state}" for state in sockets_to_port(service.port)]
    tally.leaked += [f"thread {name}" for name in _threads() - before]


def every(seconds: float, do: Callable[[], object], *, first: float | None = None) -> Disturbance:
    """Does it again and again, for the first time after other seconds."""

    def again(over: threading.Event) -> None:
        wait = seconds if first is None else first
        while not over.wait(wait):
            do()
            wait = seconds

    return again


def sockets_to_port(port: int) -> list[str]:
    """The state of each TCP connection to a port that a file holds."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]]
    return [row[3] for row in rows if row[2].endswith(f":{port:04X}") and row[9] != "0"]


def _threads() -> Counter[str]:
    """By name, since the package ends threads and starts them again."""
    return Counter(thread.name for thread in threading.enumerate())


class _Load:
    end: float

    def __init__(
        self,
        service: Service,
        tally: Tally,
        vectors: Mapping[str, list[float]],
        rest: tuple[float, float] | None,
        bound: float,
    ) -> None:
        self.over = threading.Event()
        self.objects = Objects(service)
        self._service = service
        self._tally = tally
        self._vectors = vectors
        self._rest = rest
        self._bound = bound
        self._lock = threading.Lock()
        self._running: dict[str, str] = {}  # the call of each thread

    async def warm_up(self) -> None:
        """Starts the threads that the package keeps, with a call in each way."""
        questions = Questions(self._service, self._vectors, 0)

        async def once(way: Way, *, is_blocking: bool) -> None:
            asked, _ = questions.ask(way.kind)
            with suppress(OVHCloudError):
                await (asyncio.to_thread(way.call, asked) if is_blocking else way.call(asked))

        await asyncio.gather(
            *(once(way, is_blocking=True) for way in self.objects.blocking()),
            *(once(way, is_blocking=False) for way in self.objects.awaited()),
        )

    async def tasks(self) -> None:
        """All tasks, until the time is up and their last calls have ended."""
        async with asyncio.TaskGroup() as group:
            for number in range(TASKS):
                group.create_task(self._ask_awaited(number))
        still: Collection[asyncio.Task[object]] = ()
        if others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            _, still = await asyncio.wait(others, timeout=TO_END)
        self._tally.leaked += [f"task {task.get_coro()!r}" for task in still]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """All threads; at the end of the block they are waited for."""
        threads = [
            threading.Thread(target=self._ask_blocking, args=(number,), name=f"asking-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        yield
        last = time.monotonic() + self._bound
        for thread in threads:
            thread.join(max(0.0, last - time.monotonic()))
            if thread.is_alive():
                self._tally.hung.append(f"{self._running[thread.name]}: for ever")

    async def _ask_awaited(self, number: int) -> None:
        ways, questions = self.objects.awaited(), Questions(self._service, self._vectors, number)
        for way in self._turns(ways, number):
            asked, expected = questions.ask(way.kind)
            with self._counting(way, expected) as answers:
                answers.append(await asyncio.wait_for(way.call(asked), self._bound))
            if seconds := self._resting(number):
                await asyncio.sleep(seconds)

    def _ask_blocking(self, number: int) -> None:
        ways, questions = self.objects.blocking(), Questions(self._service, self._vectors, TASKS + number)
        for way in self._turns(ways, number):
            asked, expected = questions.ask(way.kind)
            self._running[threading.current_thread().name] = way.name
            with self._counting(way, expected) as answers:
                answers.append(way.call(asked))
            self.over.wait(self._resting(number))

    def _turns(self, ways: list[Way], first: int) -> Iterator[Way]:
        for turn in itertools.count(first):
            if turn > first and time.monotonic() >= self.end:  # at least one call of each
                return
            yield ways[turn % len(ways)]

    def _resting(self, number: int) -> float:
        return random.uniform(*self._rest) if self._rest and random.random() < 0.1 else 0.0

    @contextmanager
    def _counting(self, way: Way, expected: object) -> Iterator[list[object]]:
        """Counts the answer that the block puts into the list, or the error that it raises."""
        answers: list[object] = []
        error: Exception | None = None
        began = time.monotonic()
        try:
            yield answers
        except Exception as raised:  # noqa: BLE001 - whatever it is, it counts
            error = raised
        took = time.monotonic() - began
        with self._lock:
            self._tally.slowest = max(self._tally.slowest, took)
            if took >= self._bound:
                self._tally.hung.append(f"{way.name}: {took:.1f} s, then {error!r:.200}")
            elif error is None:
                self._tally.answered(way.name, answers[0], expected)
            elif isinstance(error, OVHCloudError):
                self._tally.failed(way.name, error, expected)
            else:
                self._tally.wrong.append(f"{way.name}: {error!r:.300}")
