import os
import sys
import threading
import traceback

import pytest

from ovhcloud_ai_endpoints._process import TRIES, Table, _tables, no_fork


@pytest.fixture
def table() -> Table[str, int]:
    one: Table[str, int] = Table(3)
    _tables.remove(one)  # type: ignore[arg-type]
    return one


def kept(table: Table[str, int]) -> list[str]:
    return list(table._values)


def test_the_last_used_stay(table: Table[str, int]) -> None:
    for name in "abc":
        table.setdefault(name, lambda: 1)
    assert table.get("a") == 1
    table.setdefault("b", lambda: 2)
    table.setdefault("d", lambda: 4)

    assert kept(table) == ["a", "b", "d"]
    assert table.get("b") == 1
    assert table.get("c") is None
    assert len(table) == 3


def test_a_value_is_made_from_the_one_before(table: Table[str, int]) -> None:
    assert table.update("a", lambda before: 10 if before is None else before) == 10
    assert table.update("a", lambda before: (before or 0) + 1) == 11
    assert table.get("a") == 11


def test_what_had_better_stay_is_spared_as_long_as_that_costs_little() -> None:
    table: Table[str, int] = Table(20, is_needed=lambda value: value > 0)
    _tables.remove(table)  # type: ignore[arg-type]
    for at in range(TRIES - 1):
        table.setdefault(f"needed {at}", lambda: 1)
    for at in range(20):
        table.setdefault(f"other {at}", lambda: 0)

    assert sum(name.startswith("needed") for name in kept(table)) == TRIES - 1
    for at in range(100):
        table.setdefault(f"needed too {at}", lambda: 1)
    assert len(table) == 20


def test_what_matches_is_forgotten(table: Table[str, int]) -> None:
    for name in ("ab", "ac", "b"):
        table.setdefault(name, lambda: 1)
    table.forget(lambda name: name.startswith("a"))
    assert kept(table) == ["b"]

    table.forget()
    assert kept(table) == []


def test_a_child_begins_with_an_empty_one_and_a_lock_that_nobody_holds(table: Table[str, int]) -> None:
    table.setdefault("a", lambda: 1)
    lock = table._lock
    with lock:
        table._renew()
        thread = threading.Thread(target=table.get, args=("a",))
        thread.start()
        thread.join(5)

    assert not thread.is_alive()
    assert kept(table) == []


def test_imports_of_two_threads_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=10)

    def importing() -> None:
        with no_fork():
            both.wait()

    threads = [threading.Thread(target=importing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not both.broken


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_waits_for_the_imports_of_other_threads_and_not_for_its_own() -> None:
    imported = []
    began = threading.Event()

    def importing() -> None:
        with no_fork():
            began.set()
            while not any("_begin_fork" in line for line in stack_of(forking)):
                pass
            imported.append(True)

    forking = threading.current_thread()
    thread = threading.Thread(target=importing)
    thread.start()
    began.wait(10)
    with no_fork():
        child = os.fork()
        if child == 0:
            os._exit(0 if imported else 1)
    thread.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def stack_of(thread: threading.Thread) -> list[str]:
    frame = sys._current_frames()[thread.ident or 0]
    return traceback.format_stack(frame)
