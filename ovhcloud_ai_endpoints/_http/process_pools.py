"""The process's pools, for blocking calls.

A driver: it has a lock, a thread that closes connections, and an exit hook.
"""

import atexit
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._http.given_client import GivenConnection
from ovhcloud_ai_endpoints._http.pools import (
    BlockingPool,
    Connection,
    Pools,
    close_idle,
    pool_of,
    pool_of_given,
)
from ovhcloud_ai_endpoints._http.reaper import Reaper
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, Route
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._notices import warn_of_other_client
from ovhcloud_ai_endpoints._process import after_fork, no_fork


class ProcessPools:
    """The pools of one process; a forked child has its own."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # reentrant, as a finalizer that runs while it is held may ask for it
        self.pools: Pools[Connection, threading.Semaphore] = Pools()
        self.of_given: WeakKeyDictionary[Any, BlockingPool] = WeakKeyDictionary()

    def leave(self, route: Route, pool: BlockingPool) -> None:
        with self.lock:
            surplus = self.pools.leave(route, pool)
        if surplus is not None:
            surplus.close()
        _reaper.watch()


def blocking_pool(settings: Settings) -> BlockingPool:
    """The process's pool for these settings, or one for the client that the user gave."""
    process, given = _process, settings.http_client
    if given is not None:
        with process.lock:
            return pool_of_given(given, process.of_given, GivenConnection, threading.Semaphore)
    if settings.http_async_client is not None:
        warn_of_other_client("http_async_client", "http_client")
    route = Route.of(settings)
    prepared = None if route in process.pools else _prepared(route)  # reads files, so not under the lock
    with process.lock:
        return process.pools.enter(
            route,
            lambda: pool_of(
                *(prepared or _prepared(route)), threading.Semaphore, lambda pool: process.leave(route, pool)
            ),
        )


def _prepared(route: Route) -> tuple[ResolvedRoute, Callable[[ResolvedRoute], Connection]]:
    """Reads all files that the first call needs."""
    with _importing, no_fork():  # in this order, as gevent forks within that import, which waits for all others
        from ovhcloud_ai_endpoints._http import over_httpx  # noqa: PLC0415 - it takes 40 to 290 ms

        return route.resolved(), over_httpx.Connection


def close(settings: Settings) -> None:
    """Closes the process's connections for these settings, once no call uses them; the next call opens new ones."""
    if settings.http_client is None:
        with _process.lock:
            pool = _process.pools.drop(Route.of(settings))
        if pool is not None:
            pool.close()


def close_later(closing: Callable[[], object]) -> None:
    """Calls `closing` on another thread; for what the garbage collector may have found."""
    _reaper.close(closing)


def _sweep(now: float) -> float:
    with _process.lock:
        pools = list(_process.pools)
    return close_idle(pools, now)


def _forget() -> None:
    global _process, _importing
    _process, _importing = ProcessPools(), threading.Lock()


_importing = threading.Lock()  # a greenlet that is killed while it waits for an import lock holds up all others
_process = ProcessPools()
_reaper = Reaper(_sweep)
after_fork(_forget)
atexit.register(lambda: _process.pools.close())  # noqa: PLW0108 - not bound now, as a forked child has its own
