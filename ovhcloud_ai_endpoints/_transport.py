"""The shared HTTP transport: `Client` and `AsyncClient`.

The only file that sleeps or asks the time. What to send, when to try again and what an answer means is
`_call.Call`'s to say; the two clients do it, and differ in `await`.
"""

import asyncio
import logging
import math
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from functools import partial
from platform import python_version
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ovhcloud_ai_endpoints import _chat, _embeddings
from ovhcloud_ai_endpoints._alarm import Alarm
from ovhcloud_ai_endpoints._answer import Answer
from ovhcloud_ai_endpoints._call import Call
from ovhcloud_ai_endpoints._connections import async_connections, connections
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._failures import translated
from ovhcloud_ai_endpoints._notices import warn_of_answer, warn_of_model
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._stream import Delta
from ovhcloud_ai_endpoints._streamed_call import StreamedCall
from ovhcloud_ai_endpoints._version import __version__
from ovhcloud_ai_endpoints._watch import Watch
from ovhcloud_ai_endpoints._wire import ChatRequest

if TYPE_CHECKING:
    import httpx

NOTABLE_SECONDS = 5.0  # a wait that people wonder about, so that it is logged
COARSE_SECONDS = 0.5  # a wait that may as well take a whole second
USER_AGENT = f"ovhcloud-ai-endpoints/{__version__} python/{python_version()}"

log = logging.getLogger("ovhcloud_ai_endpoints")

T = TypeVar("T")


class Client:
    """Calls that block. Cheap to make: the connections belong to the process.

    Args:
        over: set by who wants no further attempt; calls that wait for one then fail at once.
    """

    def __init__(self, settings: Settings, over: threading.Event | None = None) -> None:
        self._settings = settings
        self._over = over or threading.Event()

    def chat(self, request: ChatRequest) -> Answer:
        """The answer to a chat completion."""
        call = self._send(_chat.PATH, request.body)
        return _noticed(call, call.answer(time.monotonic(), request))

    def embeddings(self, body: Mapping[str, Any], *, count: int) -> tuple[list[list[float]], int]:
        """So many vectors, and how many tokens they took."""
        call = self._send(_embeddings.PATH, body)
        return _noticed(call, call.vectors(time.monotonic(), count=count))

    def get(self, path: str) -> tuple[Any, str | None]:
        """The JSON at a path, and the day on which the service said it."""
        call = self._send(path, {})
        return call.json(time.monotonic()), call.date()

    def stream_chat(self, request: ChatRequest) -> "ChatStream":
        """The answer to a chat completion as it comes; leaving its block closes the connection."""
        return ChatStream(self, StreamedCall(self._settings, _chat.PATH, request))

    def _send(self, path: str, body: Mapping[str, Any]) -> Call:
        call = Call(self._settings, path, body)
        response, held = self.open(call)
        with held:
            self.read(call, response)
        return call

    def open(self, call: Call) -> "tuple[httpx.Response, ExitStack]":
        """The head of a successful answer, and what is to be closed: its connection and its slot."""
        warn_of_model(str(call.model))
        with ExitStack() as left:
            left.callback(call.leave)
            while True:
                with ExitStack() as held:
                    pool = held.enter_context(connections(self._settings))
                    asked = time.monotonic()
                    held.enter_context(pool.slots(self._settings.max_concurrency, call.path))
                    wait = _turn(call, asked)
                    if not wait:
                        try:
                            return self._attempt(call, pool.client, held), held.pop_all()
                        except OVHCloudError as error:
                            wait = _next_attempt(call, error)
                if self._over.wait(min(wait, threading.TIMEOUT_MAX)):
                    raise call.given_up()

    def _attempt(self, call: Call, client: "httpx.Client", held: ExitStack) -> "httpx.Response":
        request = _request(call, client)
        is_ours = self._settings.http_client is None  # what another's transport does with a timeout is not known
        if is_ours and call.watch.left(time.monotonic()) > COARSE_SECONDS:
            request.extensions["timeout"]["read"] = _SecondsLeft(call.watch)
        with _translating(call):
            response = client.send(request, stream=True, follow_redirects=False)
        held.callback(response.close)
        if not _answered(call, response):
            self.read(call, response)
            raise call.refusal(time.time())
        return response

    def read(self, call: Call, response: "httpx.Response") -> None:
        with _translating(call):
            call.begin_body()
            alarm = _alarm(call, response)
            try:
                while (data := alarm.next()) is not None and call.received(data, time.monotonic()):
                    pass
            finally:
                alarm.end()


class AsyncClient:
    """Calls that are awaited; method by method the same as `Client`."""

    def __init__(self, settings: Settings, over: asyncio.Event | None = None) -> None:
        self._settings = settings
        self._over = over or asyncio.Event()

    async def chat(self, request: ChatRequest) -> Answer:
        """The answer to a chat completion."""
        call = await self._send(_chat.PATH, request.body)
        return _noticed(call, call.answer(time.monotonic(), request))

    async def embeddings(self, body: Mapping[str, Any], *, count: int) -> tuple[list[list[float]], int]:
        """So many vectors, and how many tokens they took."""
        call = await self._send(_embeddings.PATH, body)
        return _noticed(call, call.vectors(time.monotonic(), count=count))

    async def get(self, path: str) -> tuple[Any, str | None]:
        """The JSON at a path, and the day on which the service said it."""
        call = await self._send(path, {})
        return call.json(time.monotonic()), call.date()

    def stream_chat(self, request: ChatRequest) -> "AsyncChatStream":
        """The answer to a chat completion as it comes; leaving its block closes the connection."""
        return AsyncChatStream(self, StreamedCall(self._settings, _chat.PATH, request))

    async def _send(self, path: str, body: Mapping[str, Any]) -> Call:
        call = Call(self._settings, path, body)
        response, held = await self.open(call)
        async with held:
            await self.read(call, response)
        return call

    async def open(self, call: Call) -> "tuple[httpx.Response, AsyncExitStack]":
        """The head of a successful answer, and what is to be closed: its connection and its slot."""
        warn_of_model(str(call.model))
        with ExitStack() as left:
            left.callback(call.leave)
            while True:
                async with AsyncExitStack() as held:
                    pool = await held.enter_async_context(await async_connections(self._settings))
                    asked = time.monotonic()
                    await held.enter_async_context(pool.slots(self._settings.max_concurrency, call.path))
                    wait = _turn(call, asked)
                    if not wait:
                        try:
                            return await self._attempt(call, pool.client, held), held.pop_all()
                        except OVHCloudError as error:
                            wait = _next_attempt(call, error)
                if await _set_within(self._over, wait):
                    raise call.given_up()

    async def _attempt(self, call: Call, client: "httpx.AsyncClient", held: AsyncExitStack) -> "httpx.Response":
        with _translating(call):
            async with _until(call.watch):
                response = await client.send(_request(call, client), stream=True, follow_redirects=False)
        held.push_async_callback(response.aclose)
        if not _answered(call, response):
            await self.read(call, response)
            raise call.refusal(time.time())
        return response

    async def read(self, call: Call, response: "httpx.Response") -> None:
        with _translating(call):
            call.begin_body()
            chunks = response.aiter_bytes()
            while (data := await _next(chunks, call.watch)) is not None and call.received(data, time.monotonic()):
                pass


class ChatStream:
    """A stream, to be entered and iterated once: its deltas, in order.

    Attributes:
        reply: what has been said so far.
    """

    _alarm: Alarm
    _held: ExitStack

    def __init__(self, client: Client, call: StreamedCall) -> None:
        self.reply = call.reply
        self._client = client
        self._call = call

    def __enter__(self) -> Self:
        response, held = self._client.open(self._call)
        with held:
            with _translating(self._call):
                self._call.begin_body()
            if not self._call.is_stream():
                self._client.read(self._call, response)
                raise self._call.not_a_stream(time.monotonic())
            self._alarm = _alarm(self._call, response)
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is GeneratorExit:  # perhaps in the garbage collection, where no lock may be waited for
            self._alarm.end(self._held.close)
        else:
            self._alarm.end()
            self._held.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delta:
        self._call.resume(time.monotonic())
        while (delta := self._call.next_delta()) is None:
            if self._call.is_over:
                raise StopIteration
            data = None
            with _translating(self._call):
                data = self._alarm.next()
            self._call.feed(data, time.monotonic())
        self._call.pause(time.monotonic())
        return delta

    def answer(self) -> Answer:
        """The whole answer, once the deltas have ended."""
        return _noticed(self._call, self._call.whole())


class AsyncChatStream:
    """The same as `ChatStream`, for `async with` and `async for`."""

    _chunks: AsyncIterator[bytes]
    _held: AsyncExitStack

    def __init__(self, client: AsyncClient, call: StreamedCall) -> None:
        self.reply = call.reply
        self._client = client
        self._call = call

    async def __aenter__(self) -> Self:
        response, held = await self._client.open(self._call)
        async with held:
            with _translating(self._call):
                self._call.begin_body()
            if not self._call.is_stream():
                await self._client.read(self._call, response)
                raise self._call.not_a_stream(time.monotonic())
            self._chunks = response.aiter_bytes()
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        self._call.resume(time.monotonic())
        while (delta := self._call.next_delta()) is None:
            if self._call.is_over:
                raise StopAsyncIteration
            data = None
            with _translating(self._call):
                data = await _next(self._chunks, self._call.watch)
            self._call.feed(data, time.monotonic())
        self._call.pause(time.monotonic())
        return delta

    def answer(self) -> Answer:
        """The whole answer, once the deltas have ended."""
        return _noticed(self._call, self._call.whole())


def _noticed(call: Call, result: T) -> T:
    """What a call has brought, after the user was told what is to be noticed about it."""
    warn_of_answer(str(call.model), call.exchange().warning, result if isinstance(result, Answer) else None)
    return result


def _alarm(call: Call, response: "httpx.Response") -> Alarm:
    return Alarm(call.watch, response.iter_bytes(), cut=partial(_cut, response), clock=time.monotonic)


def _cut(response: "httpx.Response") -> None:
    """Wakes a thread that blocks in a read of this response."""
    if response.is_closed:  # so that its connection may be another call's by now
        return
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream else None
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not the TLS socket's own, which unmakes what is read


class _SecondsLeft:
    """The timeout of each blocking read of an answer's head: what is left when it begins, in whole seconds.

    A number would bound each byte anew, and nothing else can: who reads a head has no connection to cut. A socket
    takes whatever is an integer, and asks anew for what it is.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __index__(self) -> int:
        left = self._watch.left(time.monotonic())
        if left <= 0:
            raise TimeoutError
        return math.ceil(min(left, threading.TIMEOUT_MAX))


async def _next(chunks: AsyncIterator[bytes], watch: Watch) -> bytes | None:
    """The next piece, or None at the end; TimeoutError when the time is up."""
    with suppress(StopAsyncIteration):
        async with _until(watch):
            return await anext(chunks)
    return None


def _until(watch: Watch) -> asyncio.Timeout:
    left = watch.left(time.monotonic())
    return asyncio.timeout(None if left == math.inf else left)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set by then; the same as `wait` of an event of threads."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _request(call: Call, client: "httpx.Client | httpx.AsyncClient") -> "httpx.Request":
    now = time.monotonic()
    connect, read = call.connect_timeout(now), call.read_timeout(now)
    headers = {"User-Agent": USER_AGENT, **call.headers}
    return client.build_request(
        call.method, call.url, content=call.content or None, headers=headers, timeout=(connect, read, read, None)
    )


def _answered(call: Call, response: "httpx.Response") -> bool:
    """Takes the head of an answer, and bounds the reads of its body anew, which httpx looks up as the body begins."""
    now = time.monotonic()
    is_success = call.answered(response.status_code, response.headers)
    response.request.extensions.get("timeout", {})["read"] = call.read_timeout(now)
    held_back = call.observe(now, time.time())
    if held_back >= NOTABLE_SECONDS:
        log.warning(
            "The limit for %s is reached; for %.0f s requests wait, or fail if their max_wait is less",
            call.model,
            held_back,
        )
    return is_success


def _turn(call: Call, asked: float) -> float:
    now = time.monotonic()
    wait = call.turn(now, random.random(), queued=now - asked)  # noqa: S311 - jitter is no secret
    if wait >= NOTABLE_SECONDS:
        log.info("A request for %s waits %.0f s for the service's limit", call.model, wait)
    return wait


def _next_attempt(call: Call, error: OVHCloudError) -> float:
    wait = call.next_attempt(error, now=time.monotonic(), chance=random.random())  # noqa: S311 - as above
    level = logging.WARNING if wait >= NOTABLE_SECONDS else logging.INFO
    log.log(
        level, "A request for %s failed (%s); the next is in %.1f s", call.model or call.url, type(error).__name__, wait
    )
    return wait


@contextmanager
def _translating(call: Call) -> Iterator[None]:
    """Raises what went wrong in httpx as what it means for the call; works round `await` too."""
    try:
        yield
    except OVHCloudError as error:
        call.told(error)
        raise
    except Exception as error:  # httpx and httpx2 have no base in common; what is neither's is raised as it is
        ours = translated(error, call.settings.base_url, call.watch, time.monotonic())
        if ours is None:
            raise
        meant = call.lost(ours)
        if meant is not None:
            raise meant from error
