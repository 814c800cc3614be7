"""Since when the threads of pools are at their work."""

import contextvars
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import pytest

from ovhcloud_ai_endpoints._batches import workers
from ovhcloud_ai_endpoints._batches.workers import end_call, working_since


def called() -> int:
    since = working_since()
    end_call()
    return since


def in_copies(call: Callable[[], int], times: int) -> list[int]:
    """As chains run their steps."""
    return [contextvars.copy_context().run(call) for _ in range(times)]


def test_calls_of_one_piece_of_work_are_equally_old() -> None:
    with ThreadPoolExecutor(1) as pool:
        first, second = pool.map(lambda _: in_copies(called, 3), range(2))

    assert len(set(first)) == len(set(second)) == 1
    assert first[0] < second[0]


def test_work_before_the_first_call_counts() -> None:
    is_taken, others_have_asked = threading.Event(), threading.Event()

    def slow() -> int:
        is_taken.set()
        others_have_asked.wait(5)
        return called()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow)
        is_taken.wait(5)
        rest = [pool.submit(called).result() for _ in range(3)]
        others_have_asked.set()

        assert [first.result(), *rest] == sorted({first.result(), *rest})


def test_thread_that_waits_for_work_is_not_at_work() -> None:
    """It takes up its first after others, though it was started before."""
    with ThreadPoolExecutor(1) as idle, ThreadPoolExecutor(1) as busy:
        idle.submit(int).result()
        other = busy.submit(lambda: in_copies(called, 2)[0]).result()

        assert idle.submit(called).result() > other


def test_without_pools_that_are_known_all_that_a_thread_does_is_equally_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_RUN", None)
    with ThreadPoolExecutor(1) as pool:
        assert len(set(pool.map(lambda _: called(), range(3)))) == 1


def test_threads_that_are_over_are_forgotten() -> None:
    def known() -> int:
        return sum(thread.name.startswith("over") for thread in workers._workers)

    with ThreadPoolExecutor(20, "over") as pool:
        barrier = threading.Barrier(20)
        list(pool.map(lambda _: (barrier.wait(5), called()), range(20)))
        assert known() == 20
    del pool
    gc.collect()

    assert known() == 0


def test_work_is_not_kept() -> None:
    class Value:
        pass

    def use(_: Value) -> int:
        return called()

    value = Value()
    kept = ref(value)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(use, value).result()
        pool.submit(int).result()
        del value
        gc.collect()

        assert kept() is None
