"""`Client` and `AsyncClient`: send a request to any endpoint, and return what its answer means.

Drivers: they wait and ask the time. `call.Call` and the request decide what to send, when to retry and what an answer
means; the two clients carry it out, and differ only in `await`.
"""

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ovhcloud_ai_endpoints import _lazy
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.clocks import Clocks
from ovhcloud_ai_endpoints._http.failures import translated
from ovhcloud_ai_endpoints._http.limits import LimitStore
from ovhcloud_ai_endpoints._http.loop_pools import async_pool
from ovhcloud_ai_endpoints._http.pools import AsyncConnection, Connection
from ovhcloud_ai_endpoints._http.process_pools import blocking_pool, close_later
from ovhcloud_ai_endpoints._http.replay import Replay
from ovhcloud_ai_endpoints._http.request import Request, StreamedRequest
from ovhcloud_ai_endpoints._http.sending import aanswered, answered, sender_for
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._http.streamed_call import StreamedCall
from ovhcloud_ai_endpoints._notices import warn_of_header, warn_of_model

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._http import limit_file
else:
    limit_file = _lazy.Module("ovhcloud_ai_endpoints._http.limit_file")  # for those who share limits by a file

NOTABLE_SECONDS = 5.0  # waits this long are logged, as users would wonder about them

log = logging.getLogger("ovhcloud_ai_endpoints")

D = TypeVar("D")
T = TypeVar("T")


class Client:
    """Sends requests and blocks until they are answered. Cheap to make: the connections belong to the process.

    Args:
        abandoned: once set, no more requests are sent, and calls that wait for their next attempt fail.
    """

    def __init__(self, settings: Settings, abandoned: threading.Event | None = None) -> None:
        self._settings = settings
        self._limit_store = _limit_store(settings)
        self._abandoned = abandoned or threading.Event()

    def send(self, request: Request[T]) -> T:
        """Sends a request and returns what its answer means.

        Raises:
            OVHCloudError: there is no answer, or it is an error.
        """
        if (sender := sender_for(request)) is not None:
            warn_of_model(request.model, self._settings.base_url)
            asked, whole = answered(sender, self._settings, request)
            return asked.read(whole)
        call = Call(self._settings, request, self._limit_store)
        with ExitStack() as held:
            self.read(call, self.open(call, held))
        result = call.result(time.monotonic())
        warn_of_header(call.model, call.warning)
        return result

    def stream(self, request: StreamedRequest[D, T]) -> "Stream[D, T] | Replay[D, T]":
        """The answer to a request as it arrives; leaving its block releases the connection."""
        if (sender := sender_for(request)) is not None:
            warn_of_model(request.model, self._settings.base_url)
            return Replay(sender, self._settings, request)
        return Stream(self, StreamedCall(self._settings, request, self._limit_store))

    def open(self, call: Call[Any], held: ExitStack) -> Connection:
        """Tries until a successful answer begins; returns its connection, which `held` closes in the end."""
        warn_of_model(call.model, self._settings.base_url)
        try:
            while True:
                pool = held.enter_context(blocking_pool(self._settings))
                asked = time.monotonic()
                held.enter_context(pool.slots(self._settings.max_concurrency, call.path))
                wait = _begin_attempt(call, asked)
                if not wait:
                    try:
                        return self._attempt(
                            call, held.enter_context(pool.connection(lost_at=call.lost_at)), pool.proxy
                        )
                    except OVHCloudError as error:
                        wait = _next_attempt(call, error)
                held.close()
                if self._abandoned.wait(min(wait, threading.TIMEOUT_MAX)):
                    raise call.given_up()
        finally:
            call.leave()

    def _attempt(self, call: Call[Any], connection: Connection, proxy: str | None) -> Connection:
        with _Translating(call, proxy):
            status, headers = connection.send(call)
        if not _answered(call, status, headers):
            self.read(call, connection)
            raise call.refusal(time.time(), proxy=proxy)
        return connection

    def read(self, call: Call[Any], connection: Connection) -> None:
        """Reads the body of an answer to its end, or the beginning of an error's."""
        with _Translating(call):
            if not call.begin_body():
                return
            while (data := connection.read()) is not None and call.received(data, time.monotonic()):
                pass


class AsyncClient:
    """The same as `Client`, to be awaited on an asyncio loop."""

    def __init__(self, settings: Settings, abandoned: asyncio.Event | None = None) -> None:
        self._settings = settings
        self._limit_store = _limit_store(settings)
        self._abandoned = abandoned or asyncio.Event()

    async def send(self, request: Request[T]) -> T:
        """Sends a request and returns what its answer means.

        Raises:
            OVHCloudError: there is no answer, or it is an error.
        """
        if (sender := sender_for(request)) is not None:
            warn_of_model(request.model, self._settings.base_url)
            asked, whole = await aanswered(sender, self._settings, request)
            return asked.read(whole)
        call = Call(self._settings, request, self._limit_store)
        async with AsyncExitStack() as held:
            await self.read(call, await self.open(call, held))
        result = call.result(time.monotonic())
        warn_of_header(call.model, call.warning)
        return result

    def stream(self, request: StreamedRequest[D, T]) -> "AsyncStream[D, T] | Replay[D, T]":
        """The answer to a request as it arrives; leaving its block releases the connection."""
        if (sender := sender_for(request)) is not None:
            warn_of_model(request.model, self._settings.base_url)
            return Replay(sender, self._settings, request)
        return AsyncStream(self, StreamedCall(self._settings, request, self._limit_store))

    async def open(self, call: Call[Any], held: AsyncExitStack) -> AsyncConnection:
        """Tries until a successful answer begins; returns its connection, which `held` closes in the end."""
        warn_of_model(call.model, self._settings.base_url)
        try:
            while True:
                pool = held.enter_context(await async_pool(self._settings))
                asked = time.monotonic()
                await held.enter_async_context(pool.slots(self._settings.max_concurrency, call.path))
                wait = _begin_attempt(call, asked)
                if not wait:
                    try:
                        connection = held.enter_context(pool.connection(lost_at=call.lost_at))
                        held.push_async_callback(connection.aclose)
                        return await self._attempt(call, connection, pool.proxy)
                    except OVHCloudError as error:
                        wait = _next_attempt(call, error)
                await held.aclose()
                if await set_within(self._abandoned, wait):
                    raise call.given_up()
        finally:
            call.leave()

    async def _attempt(self, call: Call[Any], connection: AsyncConnection, proxy: str | None) -> AsyncConnection:
        with _Translating(call, proxy):
            async with _until(call.clocks):
                status, headers = await connection.send(call)
        if not _answered(call, status, headers):
            await self.read(call, connection)
            raise call.refusal(time.time(), proxy=proxy)
        return connection

    async def read(self, call: Call[Any], connection: AsyncConnection) -> None:
        """Reads the body of an answer to its end, or the beginning of an error's."""
        with _Translating(call):
            if not call.begin_body():
                return
            async with _until(call.clocks):
                while (data := await connection.read()) is not None and call.received(data, time.monotonic()):
                    pass


class Stream(Generic[D, T]):
    """A streamed answer: enter it, then iterate once over its deltas."""

    _connection: Connection
    _held: ExitStack

    def __init__(self, client: Client, call: StreamedCall[D, T]) -> None:
        self._client = client
        self._call = call

    def __enter__(self) -> Self:
        with ExitStack() as held:
            connection = self._client.open(self._call, held)
            with _Translating(self._call):
                self._call.begin_body()
            if not self._call.is_stream():
                self._client.read(self._call, connection)
                raise self._call.not_a_stream(time.monotonic())
            self._connection, self._held = connection, held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is GeneratorExit:  # perhaps raised by the garbage collector, where waiting for a lock may be for ever
            close_later(self._held.close)
        else:
            self._held.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> D:
        while (delta := self._call.next_delta()) is None:
            if self._call.is_over:
                raise StopIteration
            self._call.resume(time.monotonic())
            data = None
            with _Translating(self._call):
                data = self._connection.read()
            self._call.feed(data, time.monotonic())
        return delta

    def so_far(self) -> T:
        """What the deltas so far add up to."""
        return self._call.so_far()

    def result(self) -> T:
        """The whole answer, once the deltas have ended."""
        warn_of_header(self._call.model, self._call.warning)
        return self._call.so_far()


class AsyncStream(Generic[D, T]):
    """The same as `Stream`, for `async with` and `async for`."""

    _connection: AsyncConnection
    _held: AsyncExitStack

    def __init__(self, client: AsyncClient, call: StreamedCall[D, T]) -> None:
        self._client = client
        self._call = call

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            connection = await self._client.open(self._call, held)
            with _Translating(self._call):
                self._call.begin_body()
            if not self._call.is_stream():
                await self._client.read(self._call, connection)
                raise self._call.not_a_stream(time.monotonic())
            self._connection, self._held = connection, held.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> D:
        while (delta := self._call.next_delta()) is None:
            if self._call.is_over:
                raise StopAsyncIteration
            self._call.resume(time.monotonic())
            data = None
            with _Translating(self._call):
                async with _until(self._call.clocks):
                    data = await self._connection.read()
            self._call.feed(data, time.monotonic())
        return delta

    def so_far(self) -> T:
        """What the deltas so far add up to."""
        return self._call.so_far()

    def result(self) -> T:
        """The whole answer, once the deltas have ended."""
        warn_of_header(self._call.model, self._call.warning)
        return self._call.so_far()


def _limit_store(settings: Settings) -> LimitStore | None:
    """Where other processes find what is known of the limits; None if they are not asked."""
    path = settings.share_limits
    return None if isinstance(path, bool) else limit_file.limit_file(path)


def _until(clocks: Clocks) -> asyncio.Timeout:
    left = clocks.left(time.monotonic())
    return asyncio.timeout(None if left == math.inf else left)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set within so many seconds, as `threading.Event.wait` tells."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _answered(call: Call[Any], status: int, headers: Mapping[str, str]) -> bool:
    """Takes the head of an answer; True if it is a success."""
    is_success = call.answered(status, headers)
    held_back = call.record_limits(time.monotonic(), time.time())
    if held_back >= NOTABLE_SECONDS:
        log.warning(
            "The limit for %s is reached; for the next %.0f s, requests wait, or fail if max_wait is less",
            call.model,
            held_back,
        )
    return is_success


def _begin_attempt(call: Call[Any], asked: float) -> float:
    now = time.monotonic()
    chance = random.random()  # noqa: S311 - jitter is no secret
    wait = call.begin_attempt(now, chance, queued=now - asked, epoch=time.time())
    if wait >= NOTABLE_SECONDS:
        log.info("A request for %s waits %.0f s for the service's limit", call.model, wait)
    return wait


def _next_attempt(call: Call[Any], error: OVHCloudError) -> float:
    wait = call.next_attempt(error, now=time.monotonic(), chance=random.random())  # noqa: S311 - as above
    level = logging.WARNING if wait >= NOTABLE_SECONDS else logging.INFO
    log.log(
        level, "A request for %s failed (%s); retrying in %.1f s", call.model or call.url, type(error).__name__, wait
    )
    return wait


class _Translating:
    """Turns failures of the HTTP library into the errors that they mean for the call; works around `await` too."""

    def __init__(self, call: Call[Any], proxy: str | None = None) -> None:
        self._call = call
        self._proxy = proxy

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        call = self._call
        if isinstance(error, OVHCloudError):
            call.with_context(error)
        elif isinstance(error, Exception):  # httpx and httpx2 share no base class; other exceptions pass unchanged
            failure = translated(error, call.settings.base_url, call.clocks, time.monotonic(), proxy=self._proxy)
            if failure is None:
                return False
            meaning = call.meaning_of(failure)
            if meaning is None:
                return True
            raise meaning from error
        return False
