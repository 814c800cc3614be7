"""The local AI Endpoints as a server: asyncio streams and h11, in a thread of its own."""

import asyncio
import json
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import h11

from ovhcloud_ai_endpoints._catalogue import model
from ovhcloud_ai_endpoints._embeddings import capacity
from ovhcloud_ai_endpoints._http import BASE_URL_VARIABLE, KEY_VARIABLES, limits
from ovhcloud_ai_endpoints.testing import _completions
from ovhcloud_ai_endpoints.testing._answers import answer
from ovhcloud_ai_endpoints.testing._faults import FAULTS, fault_named, hits
from ovhcloud_ai_endpoints.testing._gateway import CATALOGUE, Gateway
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import (
    CUT,
    EVENT_STREAM,
    RESET,
    Hold,
    Pause,
    Said,
    Scripted,
    Step,
    content_of,
    event,
    tool_call,
)

API_KEY = "local-key"
HOLD_SECONDS = 0.005  # between two checks of whether an answer may be sent
STATUS_OF_REFUSED_TEMPLATE = 400  # a guess: only what a stream does was seen


class LocalEndpoints:
    """A local AI Endpoints that runs while its `with` block does.

    Args:
        port: the port on 127.0.0.1; 0 picks a free one.
        api_keys: the valid keys; any other is refused with 403.
        requests_per_minute: limit for each key and model, as a fixed window.
        anonymous_requests_per_minute: the same without a key.
        strict: whether unknown top-level fields are refused, as the service does.

    Attributes:
        requests: the requests received, in order.
        refusals: the gateway's refusals, in order: path, status and body of each.
        hung_up: number of answers that the client did not wait for.
        failures: names of the faults that were played, in order.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_keys: Iterable[str] = (API_KEY,),
        requests_per_minute: int = 400,
        anonymous_requests_per_minute: int = 2,
        strict: bool = True,
    ) -> None:
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        self.hung_up = 0
        self.failures: list[str] = []
        self._random: tuple[float, random.Random, list[str]] | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._port = port
        self._keys = list(api_keys)
        self._gateway = Gateway(
            frozenset(self._keys), requests_per_minute, anonymous_requests_per_minute, is_strict=strict
        )
        self._replies: deque[Said | Scripted] = deque()
        self._connections = 0
        self._ready = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def api_key(self) -> str:
        """A key that is valid."""
        return self._keys[0]

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that make an app use this server if it sets neither key nor base URL."""
        return {BASE_URL_VARIABLE: self.base_url, KEY_VARIABLES[0]: self.api_key}

    def reply(
        self,
        text: str | None = None,
        *,
        reasoning: str | None = None,
        tool_calls: Sequence[tuple[str, Any] | tuple[str, Any, str]] = (),
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        events: Sequence[Any] | None = None,
        raw: Sequence[Step] | None = None,
        pause: float = 0.0,
        until: Callable[[], bool] | None = None,
        times: int = 1,
    ) -> None:
        """Sets the next answer, or the next `times` answers; several calls queue up.

        A request that the gateway refuses is still refused, and uses up no answer. What a model says waits for the next
        chat request; embedding requests before it don't use it up.

        Args:
            text: with `reasoning`, `tool_calls`, `finish_reason`, `usage`: what the model says, whole or as a stream.
            tool_calls: (name, arguments) or (name, arguments, id); arguments as a dict or as raw text.
            status: with `headers`, `body`: any other answer; the body as an object for JSON, as text or as bytes.
            events: a stream's events: dicts, texts such as "[DONE]", raw bytes, `Pause`, `CUT`, `RESET`.
            raw: everything on the connection, status line included: bytes, `Pause`, `CUT`, `RESET`.
            pause: seconds of silence before anything is sent.
            until: called repeatedly; nothing is sent before it returns true.
        """
        headers = dict(headers or {})
        hold = Hold(pause, until)
        scripted: Said | Scripted
        if raw is not None:
            scripted = Scripted(list(raw), status=None, hold=hold)
        elif events is not None:
            steps = [event(one) for one in events]
            scripted = Scripted(steps, status, is_stream=True, headers={**EVENT_STREAM, **headers}, hold=hold)
        elif body is not None or status != 200:
            content, kind = content_of(body, status)
            scripted = Scripted([content], status, headers={"Content-Type": kind, **headers}, hold=hold)
        else:
            calls = tuple(tool_call(place, *call) for place, call in enumerate(tool_calls))
            scripted = Said(text, reasoning, calls, finish_reason, usage, headers, hold)
        self._replies.extend([scripted] * times)

    def fail(self, fault: str, *, times: int = 1) -> None:
        """Plays a fault of `FAULTS`, by its name, to the next `times` requests that it can hit.

        Raises:
            ValueError: there is no such fault, or no server can play it, because none is reached.
        """
        reply = fault_named(fault).reply
        if reply is None:
            raise ValueError(f"A running server can't play {fault!r}; to refuse connections, use LocalEndpoints.down()")
        self.reply(**reply, times=times)
        for place in range(len(self._replies) - times, len(self._replies)):
            self._replies[place] = replace(self._replies[place], fault=fault)

    def fail_at_random(self, share: float, *, faults: Iterable[str] | None = None, seed: int = 0) -> None:
        """Plays random faults to a share of all requests, each one that can hit its kind, until `reset`.

        Args:
            share: from 0 to 1.
            faults: names to choose from; by default all. Several are a silence that only an app's own timeouts end.
            seed: the same seed gives the same faults again.

        Raises:
            ValueError: the share is out of range, or there is no such fault.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1; got {share!r}")
        names = [name for name in (FAULTS if faults is None else faults) if fault_named(name)]
        self._random = (share, random.Random(seed), names)  # noqa: S311 - repeatable, not secret

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuses connections within a `with` block, as if the service were down; open ones are closed."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        try:
            yield
        finally:
            listener = socket.create_server(("127.0.0.1", self._port))
            asyncio.run_coroutine_threadsafe(self._listen(listener), self._loop).result()

    @property
    def unplayed(self) -> int:
        """How many scripted answers are still to come."""
        return len(self._replies)

    def reset(self) -> None:
        """Forgets received requests and unplayed answers, and ends `fail_at_random`.

        Also makes this process forget what it has learned of this server: its limits, and the size of requests.
        """
        self.requests.clear()
        self._replies.clear()
        self.refusals.clear()
        self.failures.clear()
        self.hung_up = 0
        self._random = None
        limits.forget(self.base_url)
        capacity.forget(self.base_url)

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="local-ai-endpoints", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        limits.forget(self.base_url)  # the next server may have the same port
        capacity.forget(self.base_url)

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen(listener))
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0))  # lets the transports close
            self._loop.close()

    async def _listen(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._open.add(writer)
        # asyncio does this only for sockets that it made; without it each answer waits 40 ms for an acknowledgement.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self._answer, self._connections, reader, writer)
        try:
            await connection.run()
        except _HungUpError:
            self.hung_up += 1
        except (ConnectionError, asyncio.CancelledError):
            pass  # cancelled only when the server stops, which asyncio's streams would print as an error
        finally:
            self._open.discard(writer)
            connection.close()

    def _answer(self, request: Request) -> Scripted:
        """What to send to a request: a refusal, the next scripted answer, or what the rules say."""
        self.requests.append(request)
        refusal, headers = self._gateway.admit(request, time.monotonic())
        if refusal is not None:
            self.refusals.append(f"{request.path} {refusal.status} {refusal.body.decode()}")
            headers = {"Content-Type": refusal.content_type, **headers, **refusal.headers}
            return Scripted([refusal.body], refusal.status, headers=headers)
        if self._random is not None:
            self._fail_perhaps(request, *self._random)
        scripted = self._scripted(request)
        if isinstance(scripted, Said):
            scripted = _spoken(request, scripted)
        if scripted.status == 429:
            return scripted  # it has its own headers about the limit
        return replace(scripted, headers={**headers, **scripted.headers})

    def _fail_perhaps(self, request: Request, share: float, chance: random.Random, names: list[str]) -> None:
        possible = [name for name in names if hits(FAULTS[name], request.path, request.body)]
        if possible and chance.random() < share:
            self.fail(chance.choice(possible))
            self._replies.rotate()  # it comes first

    def _scripted(self, request: Request) -> Said | Scripted:
        """The next scripted answer for this request; what a model says waits for the next chat request."""
        is_chat = request.path.startswith("/v1/chat/completions")
        for place, scripted in enumerate(self._replies):
            is_said = scripted.is_scripted if isinstance(scripted, Said) else scripted.is_stream
            can_hit = scripted.fault is None or hits(FAULTS[scripted.fault], request.path, request.body)
            if can_hit and (is_chat or not is_said):
                del self._replies[place]
                self.failures += [scripted.fault] if scripted.fault else []
                return scripted
        return Said()


class _Connection:
    """One client's connection: request after request."""

    def __init__(
        self,
        answer: Callable[[Request], Scripted],
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._answer = answer
        self._number = number
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._ahead: asyncio.Task[bytes] | None = None

    async def run(self) -> None:
        while (request := await self._request()) is not None:
            if not await self._send(self._answer(request)):
                return
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    def close(self) -> None:
        if self._ahead:
            self._ahead.cancel()
        self._writer.close()

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                received = self._http.next_event()
            except h11.RemoteProtocolError:
                return None
            match received:
                case h11.NEED_DATA:
                    self._http.receive_data(await self._read())
                case h11.Request():
                    head = received
                case h11.Data():
                    body += received.data
                case h11.EndOfMessage() if head is not None:
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
                    return Request(head.method.decode(), head.target.decode(), headers, bytes(body), self._number)
                case _:
                    return None

    async def _read(self) -> bytes:
        if self._ahead:
            ahead, self._ahead = self._ahead, None
            return await ahead
        return await self._reader.read(65536)

    async def _send(self, answer: Scripted) -> bool:
        """Sends an answer; False if the connection is over."""
        if answer.hold.seconds:
            await self._pause(answer.hold.seconds)
        while answer.hold.until and not answer.hold.until():
            await self._pause(HOLD_SECONDS)
        if answer.status is not None:
            await self._write(self._http.send(_head(answer.status, answer)))
        for step in answer.steps:
            if isinstance(step, bytes):
                await self._write(step if answer.status is None else self._http.send(h11.Data(data=step)))
            elif not await self._step(step):
                return False
        if answer.status is None:
            return False
        await self._write(self._http.send(h11.EndOfMessage()))
        return True

    async def _step(self, step: Step) -> bool:
        if isinstance(step, Pause):
            await self._pause(step.seconds)
            return True
        if step is RESET:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        elif step is not CUT:
            raise TypeError(f"A step must be bytes, Pause, CUT or RESET; got {step!r}")
        return False

    async def _write(self, data: bytes | None) -> None:
        if self._writer.is_closing():
            raise _HungUpError
        try:
            self._writer.write(data or b"")
            await self._writer.drain()
        except ConnectionError as error:
            raise _HungUpError from error

    async def _pause(self, seconds: float) -> None:
        """Silence, unless the client hangs up."""
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._reader.read(65536))
        done, _ = await asyncio.wait({self._ahead}, timeout=seconds)
        if done and (self._ahead.exception() or not self._ahead.result()):
            raise _HungUpError


class _HungUpError(Exception):
    """The client closed its connection before the answer had ended."""


def _what_is_said(said: Said, name: str) -> dict[str, Any]:
    """What the rules say, with the ids of tool calls in the form of the model's family."""
    calls = said.tool_calls
    if model(name).family == "mistral":
        calls = tuple((f"tool{place:05}", *call[1:]) for place, call in enumerate(calls))
    return {"text": said.text, "reasoning": said.reasoning, "tool_calls": calls}


def _head(status: int, answer: Scripted) -> h11.Response:
    steps = answer.steps
    framing = {"Transfer-Encoding": "chunked"}
    if isinstance(steps, list) and len(steps) == 1 and isinstance(steps[0], bytes):
        framing = {"Content-Length": str(len(steps[0]))}
    date = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}
    return h11.Response(status_code=status, headers=list({**date, **answer.headers, **framing}.items()))


def _spoken(request: Request, said: Said) -> Scripted:
    """What the rules or a script say, in the requested form."""
    as_json = {"Content-Type": "application/json", **said.headers}
    if request.path.startswith("/v1/models"):
        return Scripted([json.dumps(_completions.models()).encode()], 200, headers=as_json)
    if request.path == CATALOGUE:
        return Scripted([json.dumps(_completions.catalogue()).encode()], 200, headers=as_json)
    asked = request.json
    if request.path.startswith("/v1/embeddings"):
        return Scripted([json.dumps(_completions.embeddings(asked)).encode()], 200, headers=as_json, hold=said.hold)
    thinks = model(asked["model"]).reasoning and asked.get("reasoning_effort") != "none"
    said = said if said.is_scripted else replace(said, **_what_is_said(answer(asked, thinks=thinks), asked["model"]))
    if asked.get("stream"):
        return Scripted(_completions.events(asked, said), 200, headers={**EVENT_STREAM, **said.headers}, hold=said.hold)
    if _completions.has_empty_stream(asked):
        body: dict[str, Any] = {"error": {"message": "System message must be at the beginning."}}
        return Scripted([json.dumps(body).encode()], STATUS_OF_REFUSED_TEMPLATE, headers=as_json)
    body = _completions.completion(asked, said)
    return Scripted([json.dumps(body, ensure_ascii=False).encode()], 200, headers=as_json, hold=said.hold)
