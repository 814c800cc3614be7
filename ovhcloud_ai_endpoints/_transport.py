"""The shared HTTP transport: `Client` and `AsyncClient`.

The only file that sleeps or asks the time. What to send, when to try again and what an answer means is
`_call.Call`'s to say; the two clients do it, and differ in `await`.
"""

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from platform import python_version
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ovhcloud_ai_endpoints import _chat, _embeddings
from ovhcloud_ai_endpoints._answer import Answer
from ovhcloud_ai_endpoints._call import Call, StreamedCall
from ovhcloud_ai_endpoints._connections import async_connections, connections
from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    OVHCloudError,
)
from ovhcloud_ai_endpoints._notices import warn_of_answer, warn_of_model
from ovhcloud_ai_endpoints._settings import Settings
from ovhcloud_ai_endpoints._stream import Delta
from ovhcloud_ai_endpoints._version import __version__
from ovhcloud_ai_endpoints._wire import ChatRequest

if TYPE_CHECKING:
    import httpx

NOTABLE_SECONDS = 5.0  # a wait that people wonder about, so that it is logged as a warning
CLOCK_SECONDS = 0.1  # how exact the timeouts of a system are
PARKED_SECONDS = 0.2  # how soon an alarm sees that a slow reader reads again
HTTPX = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
USER_AGENT = f"ovhcloud-ai-endpoints/{__version__} python/{python_version()}"

log = logging.getLogger("ovhcloud_ai_endpoints")

T = TypeVar("T")


class Client:
    """Calls that block. Cheap to make: the connections belong to the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

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

    @contextmanager
    def stream_chat(self, request: ChatRequest) -> Iterator["ChatStream"]:
        """The answer to a chat completion as it comes; leaving the block closes the connection."""
        pool = connections(self._settings)
        with pool.slots(self._settings.max_concurrency, _chat.PATH):
            call = StreamedCall(self._settings, _chat.PATH, request, time.monotonic())
            warn_of_model(str(call.model))
            response = self._open(call, pool.client)
            try:
                with _translating(call):
                    call.begin_body()
                if not call.is_stream():
                    self._read(call, response)
                    raise call.not_a_stream(time.monotonic())
                yield ChatStream(call, response)
            finally:
                response.close()

    def _send(self, path: str, body: Mapping[str, Any]) -> Call:
        pool = connections(self._settings)
        with pool.slots(self._settings.max_concurrency, path):
            call = Call(self._settings, path, body, time.monotonic())
            warn_of_model(str(call.model))
            self._read(call, self._open(call, pool.client))
        return call

    def _open(self, call: Call, client: "httpx.Client") -> "httpx.Response":
        while True:
            try:
                headers = call.attempt()
                with _translating(call):
                    response = client.send(_request(call, client, headers), stream=True, follow_redirects=False)
                if _answered(call, response):
                    return response
                self._read(call, response)
                raise call.refusal(time.time())
            except OVHCloudError as error:
                wait = _next_attempt(call, error)
            time.sleep(wait)

    def _read(self, call: Call, response: "httpx.Response") -> None:
        try:
            with _translating(call), _Alarm(call, response) as alarm:
                call.begin_body()
                chunks = response.iter_bytes()
                while (data := alarm.next(chunks)) is not None and call.received(data, time.monotonic()):
                    pass
        finally:
            response.close()


class AsyncClient:
    """Calls that are awaited; method by method the same as `Client`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

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

    @asynccontextmanager
    async def stream_chat(self, request: ChatRequest) -> AsyncIterator["AsyncChatStream"]:
        """The answer to a chat completion as it comes; leaving the block closes the connection."""
        pool = await async_connections(self._settings)
        async with pool.slots(self._settings.max_concurrency, _chat.PATH):
            call = StreamedCall(self._settings, _chat.PATH, request, time.monotonic())
            warn_of_model(str(call.model))
            response = await self._open(call, pool.client)
            try:
                with _translating(call):
                    call.begin_body()
                if not call.is_stream():
                    await self._read(call, response)
                    raise call.not_a_stream(time.monotonic())
                yield AsyncChatStream(call, response)
            finally:
                await response.aclose()

    async def _send(self, path: str, body: Mapping[str, Any]) -> Call:
        pool = await async_connections(self._settings)
        async with pool.slots(self._settings.max_concurrency, path):
            call = Call(self._settings, path, body, time.monotonic())
            warn_of_model(str(call.model))
            await self._read(call, await self._open(call, pool.client))
        return call

    async def _open(self, call: Call, client: "httpx.AsyncClient") -> "httpx.Response":
        while True:
            try:
                headers = call.attempt()
                with _translating(call):
                    response = await client.send(_request(call, client, headers), stream=True, follow_redirects=False)
                if _answered(call, response):
                    return response
                await self._read(call, response)
                raise call.refusal(time.time())
            except OVHCloudError as error:
                wait = _next_attempt(call, error)
            await asyncio.sleep(wait)

    async def _read(self, call: Call, response: "httpx.Response") -> None:
        try:
            with _translating(call):
                call.begin_body()
                chunks = response.aiter_bytes()
                while (data := await _next(chunks, call)) is not None and call.received(data, time.monotonic()):
                    pass
        finally:
            await response.aclose()


class ChatStream:
    """The deltas of one stream, in order, to be iterated once.

    Attributes:
        reply: what has been said so far.
    """

    def __init__(self, call: StreamedCall, response: "httpx.Response") -> None:
        self.reply = call.reply
        self._call = call
        self._response = response

    def answer(self) -> Answer:
        """The whole answer, once the deltas have ended."""
        return _noticed(self._call, self._call.whole())

    def __iter__(self) -> Iterator[Delta]:
        chunks = self._response.iter_bytes()
        with _translating(self._call), _Alarm(self._call, self._response) as alarm:
            while (data := alarm.next(chunks)) is not None:
                for delta in self._call.deltas(data, time.monotonic()):
                    given = time.monotonic()
                    yield delta
                    self._call.watch.pause(time.monotonic() - given)
        yield from self._call.last_deltas()


class AsyncChatStream:
    """The same as `ChatStream`, for `async for`."""

    def __init__(self, call: StreamedCall, response: "httpx.Response") -> None:
        self.reply = call.reply
        self._call = call
        self._response = response

    def answer(self) -> Answer:
        """The whole answer, once the deltas have ended."""
        return _noticed(self._call, self._call.whole())

    async def __aiter__(self) -> AsyncIterator[Delta]:
        chunks = self._response.aiter_bytes()
        with _translating(self._call):
            while (data := await _next(chunks, self._call)) is not None:
                for delta in self._call.deltas(data, time.monotonic()):
                    given = time.monotonic()
                    yield delta
                    self._call.watch.pause(time.monotonic() - given)
        for delta in self._call.last_deltas():
            yield delta


def _noticed(call: Call, result: T) -> T:
    """What a call has brought, after the user was told what is to be noticed about it."""
    warn_of_answer(str(call.model), call.exchange().warning, result if isinstance(result, Answer) else None)
    return result


class _Alarm:
    """Cuts a blocking stream's connection when its watch runs out while it is being read.

    A thread, because a blocking read can be bounded only when the body begins, and that bound starts anew with each
    byte, also with those of pings.
    """

    def __init__(self, call: Call, response: "httpx.Response") -> None:
        self._watch = call.watch
        self._response = response
        self._deadline = call.watch.deadline
        self._wake = threading.Event()
        self._is_reading = False
        self._has_rung = False
        self._is_cancelled = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="ovhcloud-alarm", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_cancelled = True
        self._wake.set()

    def next(self, chunks: Iterator[bytes]) -> bytes | None:
        """The next piece, or None at the end; TimeoutError when the time is up."""
        if self._watch.deadline < self._deadline:
            self._wake.set()
        self._deadline = self._watch.deadline
        self._is_reading = True
        try:
            data = next(chunks, None)
        except Exception as error:
            if self._has_rung:
                raise TimeoutError from error
            raise
        finally:
            self._is_reading = False
        if data is None and self._has_rung:
            raise TimeoutError
        return data

    def _run(self) -> None:
        while not self._is_cancelled:
            is_reading = self._is_reading  # looked at first: who begins to read has moved the deadline before
            left = self._watch.left(time.monotonic())
            if left > 0:
                self._wake.wait(min(left, threading.TIMEOUT_MAX))
            elif is_reading:
                self._has_rung = True
                _cut(self._response)
                return
            else:
                self._wake.wait(PARKED_SECONDS)
            self._wake.clear()


async def _next(chunks: AsyncIterator[bytes], call: Call) -> bytes | None:
    """The next piece, or None at the end; TimeoutError when the time is up."""
    left = call.watch.left(time.monotonic())
    with suppress(StopAsyncIteration):
        async with asyncio.timeout(None if left == float("inf") else left):
            return await anext(chunks)
    return None


def _cut(response: "httpx.Response") -> None:
    """Wakes a thread that blocks in a read of this response."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream else None
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not the TLS socket's own, which waits for the peer


def _request(call: Call, client: "httpx.Client | httpx.AsyncClient", headers: dict[str, str]) -> "httpx.Request":
    now = time.monotonic()
    connect, read = call.connect_timeout(now), call.read_timeout(now)
    headers = {"User-Agent": USER_AGENT, **headers}
    return client.build_request(
        call.method, call.url, content=call.content or None, headers=headers, timeout=(connect, read, read, None)
    )


def _answered(call: Call, response: "httpx.Response") -> bool:
    """Takes the head of an answer, and bounds the reads of its body anew, which httpx looks up as the body begins."""
    is_success = call.answered(response.status_code, response.headers)
    response.request.extensions.get("timeout", {})["read"] = call.read_timeout(time.monotonic())
    return is_success


def _next_attempt(call: Call, error: OVHCloudError) -> float:
    wait = call.next_attempt(error, now=time.monotonic(), chance=random.random())  # noqa: S311 - jitter is no secret
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
        ours = _translated(error, call)
        if ours is None:
            raise
        meant = call.lost(ours)
        if meant is not None:
            raise meant from error


def _translated(error: Exception, call: Call) -> OVHCloudError | None:
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in HTTPX}
    timed_out = isinstance(error, TimeoutError) or names & {"ReadTimeout", "WriteTimeout"}
    if timed_out and call.watch.left(time.monotonic()) < CLOCK_SECONDS:  # else it was the system's, of a dead peer
        return call.watch.expired()
    if not names and not isinstance(error, OSError):  # httpx lets some of those of TLS through
        return None
    said, place = str(error) or type(error).__name__, call.settings.base_url
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return APIConnectionError(
            f"The certificate of {place} is not trusted: {said}. Behind a proxy that inspects TLS, "
            "set verify= or SSL_CERT_FILE to the file with its certificate authority."
        )
    if "DecodingError" in names:
        return InvalidResponseError(f"The answer's content encoding can't be undone: {said}.")
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return BadRequestError(f"The request can't be sent: {said}.")
    if "RemoteProtocolError" in names and not said.startswith(("Server disconnected", "peer closed")):
        return InvalidResponseError(f"{place} does not answer as an HTTP server should: {said}.")
    ours = (
        APITimeoutError(f"No connection to {place} in time; is a proxy needed (proxy=, HTTPS_PROXY)?")
        if "ConnectTimeout" in names
        else APIConnectionError(f"No answer from {place}: {said}. Are base_url, network and proxy right?")
    )
    ours.is_transient = True
    return ours
