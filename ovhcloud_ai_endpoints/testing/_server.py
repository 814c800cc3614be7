"""The local AI Endpoints as a server: asyncio streams and h11, in a thread of its own."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import h11

from ovhcloud_ai_endpoints._models import model
from ovhcloud_ai_endpoints._settings import BASE_URL_VARIABLE, KEY_VARIABLES
from ovhcloud_ai_endpoints.testing import _completions
from ovhcloud_ai_endpoints.testing._answers import answer
from ovhcloud_ai_endpoints.testing._gateway import Gateway
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import CUT, RESET, Pause, Reply, Said, Step, reply

API_KEY = "local-key"
STATUS_OF_REFUSED_TEMPLATE = 400  # a guess: seen is only what a stream does


class LocalEndpoints:
    """A local AI Endpoints, from entering its block to leaving it.

    Args:
        port: the port on 127.0.0.1; 0 is any that is free.
        api_keys: the keys that are valid; any other is refused with 403.
        requests_per_minute: limit for each key and model, as a fixed window.
        anonymous_requests_per_minute: the same without a key.
        strict: whether unknown top-level fields are refused, as the service does.

    Attributes:
        requests: what was received, in order.
        hung_up: number of answers that the client did not wait for.
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
        self.hung_up = 0
        self._port = port
        self._keys = list(api_keys)
        self._gateway = Gateway(
            frozenset(self._keys), requests_per_minute, anonymous_requests_per_minute, is_strict=strict
        )
        self._replies: deque[Reply] = deque()
        self._connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local-ai-endpoints", daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def api_key(self) -> str:
        """A key that is valid."""
        return self._keys[0]

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables with which an app that names neither key nor URL uses this server."""
        return {BASE_URL_VARIABLE: self.base_url, KEY_VARIABLES[0]: self.api_key}

    @property
    def open_connections(self) -> int:
        return len(self._open)

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
        times: int = 1,
    ) -> None:
        """Sets the next answer, or the next `times` answers; several calls queue up.

        A request that the gateway refuses is refused all the same, and uses no script up.

        Args:
            text: with `reasoning`, `tool_calls`, `finish_reason`, `usage`: what the model says, whole or as a stream.
            tool_calls: (name, arguments) or (name, arguments, id); arguments as a dict or as raw text.
            status: with `headers`, `body`: any other answer; the body as an object for JSON, as text or as bytes.
            events: a stream's events: dicts, texts such as "[DONE]", raw bytes, `Pause`, `CUT`, `RESET`.
            raw: everything on the connection, status line included: bytes, `Pause`, `CUT`, `RESET`.
            pause: seconds of silence before anything is sent.
        """
        scripted = reply(
            text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            finish_reason=finish_reason,
            usage=usage,
            status=status,
            headers=headers,
            body=body,
            events=events,
            raw=raw,
            pause=pause,
        )
        self._replies.extend([scripted] * times)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self._port))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0))  # lets the transports close
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._open.add(writer)
        try:
            # Cancelled only when the server stops, which asyncio's streams would print as an error.
            with suppress(ConnectionError, asyncio.CancelledError):
                await _Connection(self, self._connections, reader, writer).run()
        finally:
            self._open.discard(writer)
            writer.close()

    def _next_reply(self) -> Reply | None:
        return self._replies.popleft() if self._replies else None


class _Connection:
    """One client's connection: request after request."""

    def __init__(
        self, server: LocalEndpoints, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._number = number
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._ahead: asyncio.Task[bytes] | None = None

    async def run(self) -> None:
        try:
            while (request := await self._request()) is not None:
                self._server.requests.append(request)
                if not await self._respond(request):
                    return
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except _HungUpError:
            self._server.hung_up += 1
        finally:
            if self._ahead:
                self._ahead.cancel()

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                return None
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._read())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
                return Request(head.method.decode(), head.target.decode(), headers, bytes(body), self._number)
            else:
                return None

    async def _read(self) -> bytes:
        if self._ahead:
            ahead, self._ahead = self._ahead, None
            return await ahead
        return await self._reader.read(65536)

    async def _respond(self, request: Request) -> bool:
        """Answers; False if the connection is over."""
        refusal, headers = self._server._gateway.admit(request, time.monotonic())  # noqa: SLF001 - its own connection
        if refusal is not None:
            headers = {"Content-Type": refusal.content_type, **headers, **refusal.headers}
            return await self._send(refusal.status, headers, [refusal.body])
        scripted = self._server._next_reply() or Reply()  # noqa: SLF001 - as above
        if scripted.pause:
            await self._pause(scripted.pause)
        headers = {**headers, **scripted.headers}
        if scripted.is_raw:
            return await self._steps(scripted.steps or ())
        if scripted.steps is not None:
            return await self._send(scripted.status, headers, scripted.steps)
        if scripted.body is not None:
            return await self._send(scripted.status, headers, [scripted.body])
        return await self._send(*_spoken(request, scripted.said, headers))

    async def _send(self, status: int, headers: Mapping[str, str], steps: Iterable[Step]) -> bool:
        whole = list(steps) if isinstance(steps, list) else None
        headers = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), **headers}
        if whole is not None and len(whole) == 1 and isinstance(whole[0], bytes):
            headers = {**headers, "Content-Length": str(len(whole[0]))}
        else:
            headers = {**headers, "Transfer-Encoding": "chunked"}
        await self._write(self._http.send(h11.Response(status_code=status, headers=list(headers.items()))))
        for step in steps if whole is None else whole:
            if isinstance(step, bytes):
                await self._write(self._http.send(h11.Data(data=step)))
            elif not await self._step(step):
                return False
        await self._write(self._http.send(h11.EndOfMessage()))
        return True

    async def _steps(self, steps: Iterable[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                await self._write(step)
            elif not await self._step(step):
                return False
        return False

    async def _step(self, step: Step) -> bool:
        if isinstance(step, Pause):
            await self._pause(step.seconds)
            return True
        if step is RESET:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        elif step is not CUT:
            raise TypeError(f"A script's steps are bytes, Pause, CUT and RESET, not {step!r}")
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


def _spoken(
    request: Request, said: Said | None, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], Iterable[Step]]:
    """Status, headers and body of what the rules or a script say."""
    as_json = {"Content-Type": "application/json", **headers}
    if request.path.startswith("/v1/models"):
        return 200, as_json, [json.dumps(_completions.models()).encode()]
    asked = request.json
    if request.path.startswith("/v1/embeddings"):
        return 200, as_json, [json.dumps(_completions.embeddings(asked)).encode()]
    thinks = model(asked["model"]).reasoning and asked.get("reasoning_effort") != "none"
    said = said or answer(asked, thinks=thinks)
    if asked.get("stream"):
        as_events = {"Content-Type": "text/event-stream; charset=utf-8", **headers}
        return 200, as_events, _completions.events(asked, said)
    if _completions.has_empty_stream(asked):
        body: dict[str, Any] = {"error": {"message": "System message must be at the beginning."}}
        return STATUS_OF_REFUSED_TEMPLATE, as_json, [json.dumps(body).encode()]
    return 200, as_json, [json.dumps(_completions.completion(asked, said), ensure_ascii=False).encode()]
