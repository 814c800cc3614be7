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
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._tls import Verify, tls_context

if TYPE_CHECKING:
    import httpx

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


class Connections(Generic[S]):
    """A client of httpx, and slots in front of it, because a queue of its own would count against the clocks."""

    def __init__(self, client: Any, semaphore: type[S], slots: dict[tuple[int, str], S] | None = None) -> None:
        self.client = client
        self._semaphore: type[S] = semaphore
        self._slots: dict[tuple[int, str], S] = {} if slots is None else slots

    def slots(self, count: int, path: str) -> S:
        """The semaphore for all who want at most so many requests of this kind at once."""
        key = (count, path)
        return self._slots.get(key) or self._slots.setdefault(key, self._semaphore(count))


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
_sync: dict[_Route, Connections[threading.Semaphore]] = {}
_async: dict[tuple[_Route, asyncio.AbstractEventLoop], Connections[asyncio.Semaphore]] = {}
_lifetimes: dict[tuple[_Route, asyncio.AbstractEventLoop], AsyncGenerator[None, None]] = {}
_slots_of_given: WeakKeyDictionary[Any, dict[asyncio.AbstractEventLoop | None, _Slots]] = WeakKeyDictionary()


def connections(settings: Settings) -> Connections[threading.Semaphore]:
    """The process's connections for these settings, or the client that the user gave."""
    given = settings.http_client
    if given is not None:
        return Connections(given, threading.Semaphore, _slots_for(given, None))
    route = _Route.of(settings)
    if route in _sync:
        return _sync[route]
    options = route.transport_options()  # reads files and imports modules, so not under the lock
    import httpx  # noqa: PLC0415 - is imported by now

    with _lock:
        if route not in _sync:
            transport = httpx.HTTPTransport(**options)
            client = httpx.Client(transport=transport, trust_env=False, cookies=_no_cookies())
            _sync[route] = Connections(client, threading.Semaphore)
        return _sync[route]


async def async_connections(settings: Settings) -> Connections[asyncio.Semaphore]:
    """The running loop's connections for these settings, or the client that the user gave."""
    given, loop = settings.http_async_client, asyncio.get_running_loop()
    if given is not None:
        return Connections(given, asyncio.Semaphore, _slots_for(given, loop))
    key = (_Route.of(settings), loop)
    if key in _async:
        return _async[key]
    options = await asyncio.to_thread(key[0].transport_options)  # reads files and imports modules
    import httpx  # noqa: PLC0415 - is imported by now

    ended = []  # which run to their ends when they are dropped, and so not under the lock
    with _lock:
        for dead in [other for other in _async if other[1].is_closed()]:
            _async.pop(dead)
            ended.append(_lifetimes.pop(dead, None))
        if key in _async:  # by another task, in the meantime
            return _async[key]
        transport = httpx.AsyncHTTPTransport(**options)
        client = httpx.AsyncClient(transport=transport, trust_env=False, cookies=_no_cookies())
        _async[key] = Connections(client, asyncio.Semaphore)
        _lifetimes[key] = _until_loop_ends(key, client)
    await anext(_lifetimes[key])
    return _async[key]


def _slots_for(given: Any, loop: asyncio.AbstractEventLoop | None) -> _Slots:
    with _lock:
        by_loop = _slots_of_given.setdefault(given, {})
        for dead in [other for other in by_loop if other is not None and other.is_closed()]:
            del by_loop[dead]
        return by_loop.setdefault(loop, {})


async def _until_loop_ends(
    key: tuple[_Route, asyncio.AbstractEventLoop], client: "httpx.AsyncClient"
) -> AsyncGenerator[None, None]:
    """Closes the client when its loop shuts down its asynchronous generators, as `asyncio.run` does at its end."""
    try:
        yield
    finally:
        with _lock:
            _async.pop(key, None)
            _lifetimes.pop(key, None)
        if not key[1].is_closed():
            await client.aclose()


def _no_cookies() -> CookieJar:
    """A jar that stays empty: connections are shared by keys, so nothing may be carried from one to another."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


@cache
def _unused_tls() -> ssl.SSLContext:
    """What httpx wants for plain HTTP too; without the certificates, which take 10 ms to read."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _forget() -> None:
    """A forked child shares no connection with its parent."""
    global _lock  # noqa: PLW0603 - it may be held by a thread that the child does not have
    _lock = threading.RLock()
    _sync.clear()
    _async.clear()
    _lifetimes.clear()
    _slots_of_given.clear()


def _close() -> None:
    for pool in list(_sync.values()):
        pool.client.close()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
