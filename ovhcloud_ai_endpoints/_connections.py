"""The process's connections: one pool for each route, for each loop, behind slots of our own; one TLS context.

Beside `_transport.py` the only file that imports httpx, and that on first use.
"""

import asyncio
import atexit
import os
import socket
import ssl
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._notices import warn_of_other_client
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._tls import Verify, tls_context

KEPT_CONNECTIONS = 256
KEPT_SECONDS = 30.0  # shorter than gateways usually keep an idle connection
KEEPALIVE = (  # a dead peer is noticed within about 45 s
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, option)
    ),
)

S = TypeVar("S", threading.Semaphore, asyncio.Semaphore)
T = TypeVar("T")


class Connections(Generic[S]):
    """A client of httpx, and slots in front of it, because a queue of its own would count against the clocks.

    Attributes:
        users: how many calls have it at the moment.
        is_dropped: whether the last of them closes it.
    """

    def __init__(self, client: Any, semaphore: type[S], slots: "_Slots | None" = None, *, users: int = 0) -> None:
        self.client = client
        self.users = users
        self.is_dropped = False
        self._semaphore: type[S] = semaphore
        self._slots: _Slots = {} if slots is None else slots

    def slots(self, count: int, path: str) -> S:
        """The semaphore for all who want at most so many requests of this kind at once."""
        key = (count, path)
        found: S = self._slots.get(key) or self._slots.setdefault(key, self._semaphore(count))
        return found


class BlockingConnections(Connections[threading.Semaphore]):
    """To be left by each call that got it from `connections`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            self.users -= 1
            is_last = self.is_dropped and not self.users
        if is_last:
            self.client.close()


class AsyncConnections(Connections[asyncio.Semaphore]):
    """To be left by each call that got it from `async_connections`.

    Attributes:
        lifetime: closes the client when the loop ends.
    """

    lifetime: AsyncGenerator[None, None]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.users -= 1
        if self.is_dropped and not self.users:
            await self.close()

    async def close(self) -> None:
        """Closes all of it, also if who waits for that is cancelled."""
        self._closing = asyncio.ensure_future(self.client.aclose())
        await asyncio.shield(self._closing)


@dataclass(frozen=True)
class _Route:
    """What connections must have in common to be shared."""

    scheme: str
    host: str
    port: int | None
    verify: Verify
    proxy: str | None
    trust_env: bool

    @classmethod
    def of(cls, settings: Settings) -> "_Route":
        url = urlsplit(settings.base_url)
        return cls(url.scheme, url.hostname or "", url.port, settings.verify, settings.proxy, settings.trust_env)

    @property
    def tls(self) -> ssl.SSLContext:
        if self.scheme == "http" and not self.proxy:
            return _unused_tls()
        return tls_context(self.verify, trust_env=self.trust_env)

    def transport_options(self) -> dict[str, Any]:
        import httpx  # noqa: PLC0415 - takes 40 to 290 ms, which nobody should wait for who only imports us

        proxy = self.proxy
        if proxy is None and self.trust_env and not proxy_bypass(self.host):
            proxy = getproxies().get(self.scheme) or getproxies().get("all")
            proxy = f"http://{proxy}" if proxy and "://" not in proxy else proxy
        limits = httpx.Limits(max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=KEPT_SECONDS)
        return {"verify": self.tls, "proxy": proxy, "limits": limits, "socket_options": KEEPALIVE, "trust_env": False}


_Slots = dict[tuple[int, str], Any]

_lock = threading.RLock()  # what is collected while it is held may ask for it again
_sync: dict[_Route, BlockingConnections] = {}
_slots_of_routes: dict[_Route, _Slots] = {}  # beside the pools, which `close` drops though calls are under way
_slots_of_given: WeakKeyDictionary[Any, _Slots] = WeakKeyDictionary()
_loader = ThreadPoolExecutor(1, "ovhcloud-loader")  # not the loop's own executor, which may be full


def connections(settings: Settings) -> BlockingConnections:
    """The process's connections for these settings, or the client that the user gave."""
    given = settings.http_client
    if given is not None:
        return BlockingConnections(given, threading.Semaphore, _slots_for(given, _slots_of_given), users=1)
    if settings.http_async_client is not None:
        warn_of_other_client("http_async_client", "http_client")
    route = _Route.of(settings)
    options = None if route in _sync else route.transport_options()  # reads files, so not under the lock
    with _lock:
        if route not in _sync:
            import httpx  # noqa: PLC0415 - is imported by now

            transport = httpx.HTTPTransport(**(options or route.transport_options()))
            client = httpx.Client(transport=transport, trust_env=False, cookies=_no_cookies())
            slots = _slots_of_routes.setdefault(route, {})
            _sync[route] = BlockingConnections(client, threading.Semaphore, slots)
        _sync[route].users += 1
        return _sync[route]


async def async_connections(settings: Settings) -> AsyncConnections:
    """The running loop's connections for these settings, or the client that the user gave."""
    given, loop = settings.http_async_client, asyncio.get_running_loop()
    if given is not None:
        return AsyncConnections(
            given, asyncio.Semaphore, _slots_for(given, _on(loop, "slots", WeakKeyDictionary)), users=1
        )
    if settings.http_client is not None:
        warn_of_other_client("http_client", "http_async_client")
    pools, key = _of_loop(loop), (os.getpid(), _Route.of(settings))
    if key not in pools:
        options = await loop.run_in_executor(_loader, key[1].transport_options)
        if key not in pools:  # by another task, in the meantime
            import httpx  # noqa: PLC0415 - is imported by now

            from ovhcloud_ai_endpoints._shielded import ShieldedTransport  # noqa: PLC0415 - imports it too

            client = httpx.AsyncClient(transport=ShieldedTransport(**options), trust_env=False, cookies=_no_cookies())
            slots = _on(loop, "slots_of_routes", dict[_Route, _Slots]).setdefault(key[1], {})
            pool = pools[key] = AsyncConnections(client, asyncio.Semaphore, slots)
            pool.lifetime = _until_loop_ends(pool, pools)
            await anext(pool.lifetime)
    pools[key].users += 1
    return pools[key]


def close(settings: Settings) -> None:
    """Closes the process's connections for these settings once no call has them; the next call opens new ones."""
    if settings.http_client is not None:
        return
    with _lock:
        pool = _sync.pop(_Route.of(settings), None)
        if pool is None:
            return
        pool.is_dropped = True
        is_idle = not pool.users
    if is_idle:
        pool.client.close()


async def aclose(settings: Settings) -> None:
    """The same for the running loop's connections."""
    if settings.http_async_client is not None:
        return
    pool = _of_loop(asyncio.get_running_loop()).pop((os.getpid(), _Route.of(settings)), None)
    if pool is None:
        return
    pool.is_dropped = True
    if not pool.users:
        await pool.close()


class Closing:
    """A block at whose end the connections of a model object are closed, but never a client that the user gave."""

    if TYPE_CHECKING:

        @property
        def ovhcloud_settings(self) -> Settings: ...

    def close(self) -> None:
        """Closes the connections for calls that block, which objects with the same settings share.

        Calls that are under way end as they would; the next call, of whatever object, opens new ones.
        """
        close(self.ovhcloud_settings)

    async def aclose(self) -> None:
        """The same for calls that are awaited on the running loop."""
        await aclose(self.ovhcloud_settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _of_loop(loop: asyncio.AbstractEventLoop) -> dict[tuple[int, _Route], AsyncConnections]:
    """The connections of a loop; a forked child, which may go on with its parent's loop, has others."""
    return _on(loop, "connections", dict)


def _on(loop: asyncio.AbstractEventLoop, what: str, make: type[T]) -> T:
    """Something that hangs on a loop, and goes when it goes: pools and slots hold their loop, so no weak table can."""
    found: T = vars(loop).setdefault(f"_ovhcloud_{what}", make())
    return found


def _slots_for(given: Any, slots: WeakKeyDictionary[Any, _Slots]) -> _Slots:
    """The slots in front of a client that was given."""
    with _lock:
        return slots.setdefault(given, {})


async def _until_loop_ends(
    pool: AsyncConnections, pools: dict[tuple[int, _Route], AsyncConnections]
) -> AsyncGenerator[None, None]:
    """Closes the client when its loop shuts down its asynchronous generators, as `asyncio.run` does at its end."""
    loop = asyncio.get_running_loop()
    try:
        yield
    finally:
        for key in [key for key, other in pools.items() if other is pool]:
            del pools[key]
        if not loop.is_closed():
            await pool.client.aclose()


def _no_cookies() -> CookieJar:
    """A jar that stays empty: connections are shared by keys, so nothing may be carried from one to another."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


@cache
def _unused_tls() -> ssl.SSLContext:
    """What httpx wants for plain HTTP too; without the certificates, which take 10 ms to read."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _forget() -> None:
    """A forked child shares no connection with its parent, and has none of its threads."""
    global _lock, _loader  # noqa: PLW0603
    _lock = threading.RLock()
    _loader = ThreadPoolExecutor(1, "ovhcloud-loader")
    _sync.clear()
    _slots_of_routes.clear()
    _slots_of_given.clear()


def _close() -> None:
    while _sync:
        _sync.popitem()[1].client.close()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
