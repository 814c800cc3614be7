"""What this process remembers from call to call, and when it may fork.

Every table is bounded; a forked child starts with empty ones, and `forget` empties them. Knows nothing of the service.
"""

import logging  # noqa: F401 - it registers its hooks for forks first, so that its lock is taken after ours
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

TRIES = 8  # at finding a value that may go; a bound, so that a full table stays fast

_tables: list["Table[object, object]"] = []
_after_fork: list[Callable[[], object]] = []


class Table(Generic[K, V]):
    """A bounded mapping for all threads, which drops the least recently used values in constant time.

    Args:
        most: how many values it holds; the least recently used one makes room for a new one.
        is_needed: whether to spare a value and drop the next instead; after `TRIES` spared values, the next goes.
    """

    def __init__(self, most: int, is_needed: Callable[[V], bool] = lambda _: False) -> None:
        self._most = most
        self._is_needed = is_needed
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.RLock()  # reentrant, as a finalizer that runs while it is held may ask for it
        _tables.append(self)  # type: ignore[arg-type]  # of any kind

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def setdefault(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made by `make` if there is none yet."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
                if len(self._values) > self._most:
                    self._make_room()
            else:
                self._values.move_to_end(key)
            return self._values[key]

    def update(self, key: K, change: Callable[[V | None], V]) -> V:
        """Replaces a value by what `change` returns for it; `change` gets None if there is none yet."""
        with self._lock:
            value = change(self._values.get(key))
            self._values.pop(key, None)
            return self.setdefault(key, lambda: value)

    def _make_room(self) -> None:
        for _ in range(TRIES):
            key, value = self._values.popitem(last=False)
            if not self._is_needed(value):
                return
            self._values[key] = value
        self._values.popitem(last=False)

    def forget(self, matches: Callable[[K], bool] = lambda _: True) -> None:
        """Drops the keys that match."""
        with self._lock:
            for key in [key for key in self._values if matches(key)]:
                del self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def _renew(self) -> None:
        """In a forked child the lock may be held by a thread that does not exist there."""
        self._lock = threading.RLock()
        self._values.clear()


@contextmanager
def no_fork() -> Iterator[None]:
    """Holds back forks by other threads; for imports, and for reading certificates.

    A child forked meanwhile would wait for ever, for that import or for a lock of OpenSSL. Imports do not wait for one
    another here: each may hold the lock of a module that the other needs. A module that forks while it is imported must
    not be one that another thread's import waits for.
    """
    thread = threading.get_ident()
    try:
        with _importing:
            _importers.append(thread)
        yield
    finally:
        with _importing, suppress(ValueError):  # of a Ctrl-C before it was there
            _importers.remove(thread)
            _importing.notify_all()


def after_fork(reset: Callable[[], object]) -> None:
    """Registers `reset` for every forked child, where no other thread exists and any lock may be held for ever."""
    _after_fork.append(reset)


def forget() -> None:
    """Empties all tables; for tests."""
    for table in _tables:
        table.forget()


def _begin_fork() -> None:
    """Waits for the imports of other threads, and lets none begin."""
    own = threading.get_ident()
    _importing.acquire()
    while any(thread != own for thread in _importers):
        _importing.wait()


def _begin_child() -> None:
    _importing.release()
    for table in _tables:
        table._renew()  # noqa: SLF001 - its own module
    for reset in _after_fork:
        reset()


_importing = threading.Condition()
_importers: list[int] = []  # threads, each once for every import that it is in

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_parent=_importing.release, after_in_child=_begin_child)
