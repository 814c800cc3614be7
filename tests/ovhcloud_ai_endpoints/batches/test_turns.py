"""Which held calls go first: a pool is played here, and no time passes."""

from collections import deque
from collections.abc import Callable

import pytest

from ovhcloud_ai_endpoints._batches.turns import QUIET_SECONDS, STUCK_SECONDS, LetGo, Turns


class Pool:
    """Threads that take one call after the other from a queue, and are over once the first call has gone."""

    def __init__(self, threads: int, calls: int) -> None:
        self.turns, self.now = Turns(), 0.0
        self.queue = deque(range(calls))
        self.asked: list[int] = []
        self.gone: list[int] = []
        self.held: list[tuple[int, LetGo]] = []
        for thread in range(threads):
            self.take(thread)

    def take(self, thread: int) -> None:
        """A thread makes the next call of the queue, unless the first one has ended it."""
        if self.queue and 0 not in self.gone:
            call = self.queue.popleft()
            self.asked.append(call)
            self.turns.ask()
            let_go = self.going(thread, call)
            self.held.append((thread, let_go))
            self.turns.hold(call, let_go, self.now)

    def going(self, thread: int, call: int) -> Callable[[], None]:
        return lambda: self.gone.append(call) or self.take(thread)

    def tick(self, *, late: bool = False, stuck: int | None = None) -> None:
        """Each held call waits and ticks, but for that of a thread that is stuck."""
        for thread, let_go in list(self.held):
            if thread != stuck:
                pause = self.turns.begin_tick(let_go, self.now)
                self.now += pause * (10 if late else 1)
                for going in self.turns.tick(let_go, self.now):
                    self.held = [one for one in self.held if one[1] is not going]
                    going()


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_a_pool_makes_all_its_calls(threads: int) -> None:
    pool = Pool(threads, 40)
    while pool.held:
        pool.tick()

    assert pool.asked == list(range(40))
    assert pool.gone[-1] == 0


def test_one_thread_can_make_one_call() -> None:
    pool = Pool(1, 3)
    while pool.held:
        pool.tick()

    assert pool.asked == [0]


def test_it_takes_some_ticks_until_the_first_goes() -> None:
    pool = Pool(3, 3)
    while not pool.gone:
        pool.tick()

    assert pool.gone == [2]
    assert pool.now >= QUIET_SECONDS


def test_ticks_that_are_late_hardly_count() -> None:
    pool = Pool(2, 2)
    for _ in range(20):
        pool.tick(late=True)

    assert pool.gone == []


def test_a_thread_that_is_stuck_holds_up_no_other() -> None:
    pool = Pool(3, 3)
    while len(pool.gone) < 2:
        pool.tick(stuck=0)

    assert sorted(pool.gone) == [1, 2]
    assert pool.now >= STUCK_SECONDS


def test_what_was_dropped_is_not_asked_to_go() -> None:
    pool = Pool(2, 2)
    thread, let_go = pool.held.pop()
    pool.turns.drop(let_go)
    while not pool.gone:
        pool.tick()

    assert thread == 1
    assert pool.gone == [0]
