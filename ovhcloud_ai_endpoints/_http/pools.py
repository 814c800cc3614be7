"""Connections that are kept for the next call: a pool for each route, of the process and of each loop.

A driver. A pool costs the same per call however many connections it has: each is a stack of those that are idle, the
last used on top, behind slots of our own, because a queue of the HTTP library's would count against the clocks.
"""

import asyncio
import atexit
import math
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._http.reaper import Reaper
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, Route, without_password
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._notices import warn_of_other_client
from ovhcloud_ai_endpoints._process import after_fork

KEPT_SECONDS = 30.0  # that a connection may be idle; gateways usually keep it longer
KEPT_CONNECTIONS = 256  # idle ones of a route
KEPT_ROUTES = 32  # that nobody uses


class _Connection(Protocol):
    @property
    def is_free(self) -> bool: ...
    def close(self) -> None: ...


C = TypeVar("C", bound=_Connection)
S = TypeVar("S", bound=threading.Semaphore | asyncio.Semaphore)
T = TypeVar("T")


class Pool(Generic[C, S]):
    """The idle connections of a route, and the slots in front of them. Each call leaves it that has got it.

    None of what a call holds is a generator, which the garbage collector would close by itself and at once.

    Args:
        left: called when a call leaves it.

    Attributes:
        users: calls that are under way or wait for a slot.
        proxy: through which it goes, as it may be shown; None if through none.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        semaphore: type[S],
        proxy: str | None = None,
        left: "Callable[[Pool[C, S]], object]" = lambda _: None,
    ) -> None:
        self.users = 0
        self.proxy = proxy
        self._left = left
        self._connect = connect
        self._semaphore: type[S] = semaphore
        self._slots: dict[tuple[int, str], S] = {}
        self._idle: deque[tuple[C, float]] = deque()  # with the time since when
        self._in_use: set[C] = set()  # so that the collector finds none of them, whose sockets it would close at once
        self.closings = 0

    def slots(self, count: int, path: str) -> S:
        """The semaphore for all who want at most so many requests of a kind at once."""
        key = (count, path.split("/")[1])
        return self._slots.get(key) or self._slots.setdefault(key, self._semaphore(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left(self)

    def connection(self) -> "Lease[C, S]":
        """A connection for one call."""
        return Lease(self)

    def take(self) -> C:
        """The connection that was used last, or a new one."""
        try:
            connection, _ = self._idle.pop()
        except IndexError:
            connection = self._connect()
        self._in_use.add(connection)
        return connection

    def give_back(self, connection: C, closings: int) -> None:
        """Keeps a connection for others if its answer was read to the end, and closes it otherwise.

        Args:
            closings: how often the pool had been closed when it was taken.
        """
        self._in_use.discard(connection)
        if connection.is_free and closings == self.closings and len(self._idle) < KEPT_CONNECTIONS:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()

    def close_idle(self, before: float = math.inf) -> float:
        """Closes what has been idle since `before`; gives the time since when the next has been, else infinity."""
        while self._idle:
            try:
                found, since = self._idle.popleft()
            except IndexError:  # another thread has taken it
                break
            if since > before:
                self._idle.appendleft((found, since))
                return since
            found.close()
        return math.inf

    def close(self) -> None:
        """Closes what is idle now, and what is in use once it is not."""
        self.closings += 1
        self.close_idle()


class Lease(Generic[C, S]):
    """A connection of a pool, from the beginning of a block to its end."""

    _connection: C

    def __init__(self, pool: Pool[C, S]) -> None:
        self._pool = pool
        self._closings = pool.closings

    def __enter__(self) -> C:
        self._connection = self._pool.take()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._pool.give_back(self._connection, self._closings)


class Pools(Generic[C, S]):
    """The pools of the process or of a loop: those in use, and the last used of the others."""

    def __init__(self) -> None:
        self._used: dict[Route, Pool[C, S]] = {}
        self._unused: OrderedDict[Route, Pool[C, S]] = OrderedDict()

    def __contains__(self, route: Route) -> bool:
        return route in self._used or route in self._unused

    def __iter__(self) -> Iterator[Pool[C, S]]:
        return iter([*self._used.values(), *self._unused.values()])

    def enter(self, route: Route, make: Callable[[], Pool[C, S]]) -> Pool[C, S]:
        """The pool of a route, which has one user more."""
        pool = self._used.get(route)
        if pool is None:
            pool = self._used[route] = self._unused.pop(route) if route in self._unused else make()
        pool.users += 1
        return pool

    def leave(self, route: Route, pool: Pool[C, S]) -> Pool[C, S] | None:
        """Counts a user less; gives the pool that has to go because there are too many without users."""
        pool.users -= 1
        if pool.users or self._used.get(route) is not pool:
            return None
        self._unused[route] = self._used.pop(route)
        return self._unused.popitem(last=False)[1] if len(self._unused) > KEPT_ROUTES else None

    def drop(self, route: Route) -> Pool[C, S] | None:
        """The pool of a route, which is forgotten if nobody uses it."""
        return self._unused.pop(route) if route in self._unused else self._used.get(route)

    def close(self) -> None:
        """Closes all connections, and forgets the pools that nobody uses."""
        self._unused, unused = OrderedDict(), self._unused
        for pool in [*self._used.values(), *unused.values()]:
            pool.close()


BlockingPool = Pool[Any, threading.Semaphore]
AsyncPool = Pool[Any, asyncio.Semaphore]


class _State:
    """What belongs to the process; a forked child begins with a new one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # what is collected while it is held may ask for it again
        self.pools: Pools[Any, threading.Semaphore] = Pools()
        self.of_given: WeakKeyDictionary[Any, BlockingPool] = WeakKeyDictionary()
        self.loader = ThreadPoolExecutor(1, "ovhcloud-loader")  # not the loop's own executor, which may be full

    def leave(self, route: Route, pool: BlockingPool) -> None:
        with self.lock:
            surplus = self.pools.leave(route, pool)
        if surplus is not None:
            surplus.close()
        _reaper.watch()


def blocking_pool(settings: Settings) -> BlockingPool:
    """The process's pool for these settings, or one for the client that the user gave."""
    from ovhcloud_ai_endpoints._http.over_httpx import Connection, GivenConnection  # noqa: PLC0415 - takes 40 to 290 ms

    given = settings.http_client
    if given is not None:
        with _state.lock:
            return _of_given(given, _state.of_given, GivenConnection, threading.Semaphore)
    if settings.http_async_client is not None:
        warn_of_other_client("http_async_client", "http_client")
    state, route = _state, Route.of(settings)
    resolved = None if route in state.pools else route.resolved()  # reads files, so not under the lock
    with state.lock:
        return state.pools.enter(
            route,
            lambda: _pool_of(
                resolved or route.resolved(), Connection, threading.Semaphore, lambda pool: state.leave(route, pool)
            ),
        )


async def async_pool(settings: Settings) -> AsyncPool:
    """The running loop's pool for these settings, or one for the client that the user gave."""
    _check_loop()
    given = settings.http_async_client
    if given is not None:
        from ovhcloud_ai_endpoints._http.over_httpx import AsyncGivenConnection  # noqa: PLC0415 - as above

        of_given = _on_loop("pools_of_given", WeakKeyDictionary[Any, AsyncPool])
        return _of_given(given, of_given, AsyncGivenConnection, asyncio.Semaphore)
    if settings.http_client is not None:
        warn_of_other_client("http_client", "http_async_client")
    of_loop, route = await _LoopPools.running(), Route.of(settings)
    prepared = None if route in of_loop.pools else await _off_the_loop(lambda: _prepared(route))
    return of_loop.pools.enter(
        route,
        lambda: _pool_of(*(prepared or _prepared(route)), asyncio.Semaphore, lambda pool: of_loop.leave(route, pool)),
    )


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "Awaited calls run on an asyncio event loop, and none runs here. Under trio, make calls that block, "
            "on a thread: await trio.to_thread.run_sync(model.invoke, text)"
        ) from None


def _pool_of(
    route: ResolvedRoute,
    connection: Callable[[ResolvedRoute], C],
    semaphore: type[S],
    left: Callable[[Pool[C, S]], object],
) -> Pool[C, S]:
    proxy = None if route.proxy is None else without_password(route.proxy)
    return Pool(lambda: connection(route), semaphore, proxy, left)


def _of_given(
    given: Any, pools: "WeakKeyDictionary[Any, Pool[C, S]]", connection: Callable[[Any], C], semaphore: type[S]
) -> Pool[C, S]:
    """The pool of a client that was given, which goes with it."""
    reference = weakref.ref(given)
    return pools.get(given) or pools.setdefault(given, Pool(lambda: connection(reference()), semaphore))


def _prepared(route: Route) -> tuple[ResolvedRoute, Callable[[ResolvedRoute], Any]]:
    """All that is read from files before the first awaited call."""
    from ovhcloud_ai_endpoints._http import over_httpx  # noqa: PLC0415 - as above

    return route.resolved(), over_httpx.async_connection


async def _off_the_loop(read: Callable[[], T]) -> T:
    """What a function gives that reads files; on the loop itself only where no thread can be had."""
    try:
        waiting = asyncio.get_running_loop().run_in_executor(_state.loader, read)
    except RuntimeError:  # "cannot schedule new futures after interpreter shutdown"
        return read()
    return await waiting


class _LoopPools:
    """The pools of a loop; they go with it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.process = os.getpid()  # a forked child may go on with its parent's loop, but not with its connections
        self.pools: Pools[Any, asyncio.Semaphore] = Pools()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._lifetime = self._until_loop_ends()

    @classmethod
    async def running(cls) -> "_LoopPools":
        """Those of the running loop."""
        loop = asyncio.get_running_loop()
        found: _LoopPools | None = vars(loop).get(PLACE)
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
        expiry = _close_idle(self.pools, time.monotonic())
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
                await _turns(5)


PLACE = "_ovhcloud_pools"  # on the loop, since pools hold their loop, so that no weak table could


def close(settings: Settings) -> None:
    """Closes the process's connections for these settings, once no call has them; the next call opens new ones."""
    if settings.http_client is None:
        with _state.lock:
            pool = _state.pools.drop(Route.of(settings))
        if pool is not None:
            pool.close()


async def aclose(settings: Settings) -> None:
    """The same for the running loop's connections."""
    of_loop: _LoopPools | None = vars(asyncio.get_running_loop()).get(PLACE)
    if settings.http_async_client is None and of_loop is not None and of_loop.process == os.getpid():
        pool = of_loop.pools.drop(Route.of(settings))
        if pool is not None:
            pool.close()
            await _turns(1)


async def _turns(count: int) -> None:
    """Lets the loop go on, so that it closes sockets: those of TLS over aiohttp take some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def close_later(closing: Callable[[], object]) -> None:
    """Has something closed on a thread of its own; for what the garbage collector may have found."""
    _reaper.close(closing)


def _close_idle(pools: Iterable[Pool[Any, Any]], now: float) -> float:
    """Closes what has been idle for too long; gives the time at which the next will have been."""
    return min((pool.close_idle(now - KEPT_SECONDS) for pool in pools), default=math.inf) + KEPT_SECONDS


def _sweep(now: float) -> float:
    with _state.lock:
        pools = list(_state.pools)
    return _close_idle(pools, now)


def _on_loop(what: str, make: type[T]) -> T:
    found: T = vars(asyncio.get_running_loop()).setdefault(f"_ovhcloud_{what}", make())
    return found


def _forget() -> None:
    global _state  # noqa: PLW0603
    _state = _State()


_state = _State()
_reaper = Reaper(_sweep)
after_fork(_forget)
atexit.register(lambda: _state.pools.close())  # noqa: PLW0108 - a fork has another
