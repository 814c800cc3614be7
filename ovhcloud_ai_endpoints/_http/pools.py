"""Keeps connections for the next call.

A pool is a stack of idle connections, the last used on top, so that a call costs the same however many there are. Our
own slots limit concurrency, because waiting in the HTTP library's queue would count against the clocks.
`process_pools` and `loop_pools` own the pools.
"""

import asyncio
import math
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.routes import ResolvedRoute, Route, without_password

KEPT_SECONDS = 30.0  # for which an idle connection is kept; gateways usually keep it longer
KEPT_CONNECTIONS = 256  # idle connections per route
KEPT_ROUTES = 32  # that nobody uses


class Closable(Protocol):
    @property
    def is_free(self) -> bool:
        """Whether its last answer has been read to the end, so that it can serve another call."""

    def close(self) -> None:
        """Closes it for good, without waiting."""


class Connection(Closable, Protocol):
    """What a blocking call needs from an HTTP library."""

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""

    def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""


class AsyncConnection(Closable, Protocol):
    """The same, to be awaited."""

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]: ...
    async def read(self) -> bytes | None: ...

    async def aclose(self) -> None:
        """Ends the answer, whether it has been read to its end or not."""


C = TypeVar("C", bound=Closable)
S = TypeVar("S", bound=threading.Semaphore | asyncio.Semaphore)


class Pool(Generic[C, S]):
    """The idle connections of a route, and the slots in front of them. Each call that got the pool must leave it.

    A call holds no generators, since the garbage collector would close them by itself, at once.

    Args:
        left: called when a call leaves it.

    Attributes:
        users: calls that are under way or wait for a slot.
        proxy: URL of the proxy, without user name and password; None if there is no proxy.
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
        self._in_use: set[C] = set()  # keeps them from the garbage collector, which would close their sockets at once
        self.closings = 0

    def slots(self, count: int, path: str) -> S:
        """The semaphore shared by calls that allow at most `count` requests of this kind of path at once."""
        key = (count, path.split("/")[1])
        return self._slots.get(key) or self._slots.setdefault(key, self._semaphore(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left(self)

    def connection(self, *, lost_at: float | None = None) -> "Lease[C, S]":
        """A connection for one call.

        Args:
            lost_at: when the call lost another one before any answer. Then it gets a new one, and those that were idle
                at that time are closed, since they may be as dead.
        """
        if lost_at is not None:
            self.close_idle(before=lost_at)
        return Lease(self, is_new=lost_at is not None)

    def take(self, *, is_new: bool = False) -> C:
        """The connection that was used last, or a new one."""
        try:
            connection = None if is_new else self._idle.pop()[0]
        except IndexError:
            connection = None
        connection = connection or self._connect()
        self._in_use.add(connection)
        return connection

    def give_back(self, connection: C, closings: int) -> None:
        """Keeps a connection for others if its answer was read to the end, and closes it otherwise.

        Args:
            closings: how often the pool had been closed when the connection was taken.
        """
        self._in_use.discard(connection)
        if connection.is_free and closings == self.closings and len(self._idle) < KEPT_CONNECTIONS:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()

    def close_idle(self, before: float = math.inf) -> float:
        """Closes connections idle since `before` or earlier; returns since when the next is idle, else infinity."""
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
        """Closes idle connections now, and those in use once their calls end."""
        self.closings += 1
        self.close_idle()


class Lease(Generic[C, S]):
    """A connection of a pool, from the beginning of a block to its end."""

    _connection: C

    def __init__(self, pool: Pool[C, S], *, is_new: bool) -> None:
        self._pool = pool
        self._is_new = is_new
        self._closings = pool.closings

    def __enter__(self) -> C:
        self._connection = self._pool.take(is_new=self._is_new)
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._pool.give_back(self._connection, self._closings)


class Pools(Generic[C, S]):
    """The pools of the process or of a loop: those in use, and the most recently used of the others."""

    def __init__(self) -> None:
        self._used: dict[Route, Pool[C, S]] = {}
        self._unused: OrderedDict[Route, Pool[C, S]] = OrderedDict()

    def __contains__(self, route: Route) -> bool:
        return route in self._used or route in self._unused

    def __iter__(self) -> Iterator[Pool[C, S]]:
        return iter([*self._used.values(), *self._unused.values()])

    def enter(self, route: Route, make: Callable[[], Pool[C, S]]) -> Pool[C, S]:
        """The pool of a route, made if there is none, with one more user."""
        pool = self._used.get(route)
        if pool is None:
            pool = self._used[route] = self._unused.pop(route) if route in self._unused else make()
        pool.users += 1
        return pool

    def leave(self, route: Route, pool: Pool[C, S]) -> Pool[C, S] | None:
        """Counts one user less; returns the pool to close if there are now too many unused ones."""
        pool.users -= 1
        if pool.users:
            return None
        self._unused[route] = self._used.pop(route)
        return self._unused.popitem(last=False)[1] if len(self._unused) > KEPT_ROUTES else None

    def drop(self, route: Route) -> Pool[C, S] | None:
        """The pool of a route, if there is one; forgets it if nobody uses it."""
        return self._unused.pop(route) if route in self._unused else self._used.get(route)

    def close(self) -> None:
        """Closes all connections, and forgets the pools that nobody uses."""
        self._unused, unused = OrderedDict(), self._unused
        for pool in [*self._used.values(), *unused.values()]:
            pool.close()


BlockingPool = Pool[Connection, threading.Semaphore]
AsyncPool = Pool[AsyncConnection, asyncio.Semaphore]


def pool_of(
    route: ResolvedRoute,
    connection: Callable[[ResolvedRoute], C],
    semaphore: type[S],
    left: Callable[[Pool[C, S]], object],
) -> Pool[C, S]:
    """A pool that opens its connections along a route."""
    proxy = None if route.proxy is None else without_password(route.proxy)
    return Pool(lambda: connection(route), semaphore, proxy, left)


def pool_of_given(
    given: Any, pools: "WeakKeyDictionary[Any, Pool[C, S]]", connection: Callable[[Any], C], semaphore: type[S]
) -> Pool[C, S]:
    """The pool of a client that the user gave; it lives as long as the client."""
    reference = weakref.ref(given)
    return pools.get(given) or pools.setdefault(given, Pool(lambda: connection(reference()), semaphore))


def close_idle(pools: Iterable[Pool[Any, Any]], now: float) -> float:
    """Closes connections that were idle for too long; returns when the next one will have been, else infinity."""
    return min((pool.close_idle(now - KEPT_SECONDS) for pool in pools), default=math.inf) + KEPT_SECONDS
