import threading

import pytest

from ovhcloud_ai_endpoints._process import TRIES, Table, _tables


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
