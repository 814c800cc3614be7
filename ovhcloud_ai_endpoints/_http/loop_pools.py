"""The pools of each event loop, for awaited calls.

A driver: each loop owns its pools, its timer closes idle connections, and they go with it.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._http.given_client import AsyncGivenConnection
from ovhcloud_ai_endpoints._http.pools import (
    KEPT_SECONDS,
    AsyncConnection,
    AsyncPool,
    Pools,
    close_idle,
    pool_of,
    pool_of_given,
)
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, Route
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._notices import warn_of_other_client
from ovhcloud_ai_endpoints._process import after_fork, no_fork

PLACE = "_ovhcloud_pools"  # a loop's attribute; pools refer to their loop, so a weak table would never drop it
TURNS_TO_CLOSE = 5  # of a loop, until sockets are closed; TLS within a proxy's tunnel over aiohttp takes most

T = TypeVar("T")


class LoopPools:
    """The pools of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.process = os.getpid()  # a forked child may go on with its parent's loop, but not with its connections
        self.pools: Pools[AsyncConnection, asyncio.Semaphore] = Pools()
        self.of_given: WeakKeyDictionary[Any, AsyncPool] = WeakKeyDictionary()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._lifetime = self._until_loop_ends()

    @classmethod
    async def running(cls) -> "LoopPools":
        """The pools of the running loop.

        Raises:
            RuntimeError: as `running_loop`.
        """
        loop = running_loop()
        found: LoopPools | None = vars(loop).get(PLACE)
        if found is None or found.process != os.getpid():
            found = vars(loop)[PLACE] = cls(loop)
            await anext(found._lifetime)
        return found

    def leave(self, route: Route, pool: AsyncPool) -> None:
        surplus = self.pools.leave(route, pool)
        if surplus is not None:
            surplus.close()
        if self._timer is None:
            self._timer = self._loop.call_later(KEPT_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        expiry = close_idle(self.pools, time.monotonic())
        if expiry < math.inf:
            self._timer = self._loop.call_later(max(0.0, expiry - time.monotonic()), self._sweep)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        """Closes all when the loop shuts down its asynchronous generators, as `asyncio.run` does at its end."""
        try:
            yield
        finally:
            vars(self._loop).pop(PLACE, None)
            if not self._loop.is_closed():
                if self._timer is not None:
                    self._timer.cancel()
                self.pools.close()
                await _turns(TURNS_TO_CLOSE)


def running_loop() -> asyncio.AbstractEventLoop:
    """The running loop.

    Raises:
        RuntimeError: no asyncio loop is running, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "Awaited calls need a running asyncio event loop, and there is none. Under trio, make blocking calls "
            "on a thread: await trio.to_thread.run_sync(model.invoke, text)"
        ) from None


async def async_pool(settings: Settings) -> AsyncPool:
    """The running loop's pool for these settings, or one for the client that the user gave."""
    of_loop, given = await LoopPools.running(), settings.http_async_client
    if given is not None:
        return pool_of_given(given, of_loop.of_given, AsyncGivenConnection, asyncio.Semaphore)
    if settings.http_client is not None:
        warn_of_other_client("http_client", "http_async_client")
    route = Route.of(settings)
    prepared = None if route in of_loop.pools else await _off_the_loop(lambda: _prepared(route))
    return of_loop.pools.enter(
        route,
        lambda: pool_of(*(prepared or _prepared(route)), asyncio.Semaphore, lambda pool: of_loop.leave(route, pool)),
    )


async def aclose(settings: Settings) -> None:
    """Closes the running loop's connections for these settings, once no call has them."""
    if settings.http_async_client is None:
        pool = (await LoopPools.running()).pools.drop(Route.of(settings))
        if pool is not None:
            pool.close()
            await _turns(1)


def _prepared(route: Route) -> tuple[ResolvedRoute, Callable[[ResolvedRoute], AsyncConnection]]:
    """Reads all files that the first awaited call needs."""
    with no_fork():
        if route.http_backend == "aiohttp":
            from ovhcloud_ai_endpoints._http import over_aiohttp  # noqa: PLC0415 - an optional extra

            return route.resolved(), over_aiohttp.AiohttpConnection
        from ovhcloud_ai_endpoints._http import over_httpx  # noqa: PLC0415 - it takes 40 to 290 ms

        return route.resolved(), over_httpx.AsyncConnection


async def _off_the_loop(read: Callable[[], T]) -> T:
    """Runs a function that reads files on a thread, or on the loop itself if no thread can be had."""
    try:
        waiting = asyncio.get_running_loop().run_in_executor(_loader, read)
    except RuntimeError:  # "cannot schedule new futures after interpreter shutdown"
        return read()
    return await waiting


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _forget() -> None:
    global _loader  # noqa: PLW0603
    _loader = ThreadPoolExecutor(1, "ovhcloud-loader")


_loader = ThreadPoolExecutor(1, "ovhcloud-loader")  # not the loop's own executor, which may be full
after_fork(_forget)
