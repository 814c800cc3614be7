"""The local AI Endpoints as a server: asyncio streams and h11, in a thread of its own."""

import asyncio
import json
import os
import random
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.request import getproxies

from ovhcloud_ai_endpoints._embeddings import capacity
from ovhcloud_ai_endpoints._http import BASE_URL_VARIABLE, KEY_VARIABLES, limits
from ovhcloud_ai_endpoints._notices import frames_to_the_caller
from ovhcloud_ai_endpoints.testing._batches import BatchMode
from ovhcloud_ai_endpoints.testing._connection import Connection, HungUpError
from ovhcloud_ai_endpoints.testing._endpoints import ENDPOINTS
from ovhcloud_ai_endpoints.testing._faults import FAULTS, fault_named, hits
from ovhcloud_ai_endpoints.testing._gateway import Gateway
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import CHAT, Asked, Said, Scripted, Step, Vectors, scripted

API_KEY = "local-key"
HIGHEST_PORT = 65_535
STEPS_TO_SERVE = 4  # of the loop, from a socket that was accepted to the coroutine that serves it
END_SECONDS = 10.0  # that functions of a script may still take when the server stops
Unscripted = Literal["rules", "error"]
BATCH_MODE = ("/v1/files", "/v1/batches")


class LocalEndpoints:
    """A local AI Endpoints that runs while its `with` block does.

    Args:
        port: the port on 127.0.0.1; 0 picks a free one.
        api_keys: the valid keys; any other is refused with 403.
        requests_per_minute: limit for each key and model, as a fixed window.
        anonymous_requests_per_minute: the same without a key.
        strict: whether unknown top-level fields are refused, as the service does.
        batch_seconds: how long a batch job takes, however large it is.
        unscripted: what answers a chat that no script answers: a few "rules"; or an "error", which the end of the block
            raises.

    Attributes:
        requests: the requests received, in order.
        refusals: the gateway's refusals, in order: path, status and body of each.
        hung_up: number of answers that the client did not wait for.
        failures: names of the faults that were played, in order.
        problems: what went wrong in the server itself, in order; the end of the `with` block raises the first.
        batches: batch mode: the lines that it answered, and how its next jobs end.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_keys: Iterable[str] = (API_KEY,),
        requests_per_minute: int = 400,
        anonymous_requests_per_minute: int = 2,
        strict: bool = True,
        batch_seconds: float = 0.03,
        unscripted: Unscripted = "rules",
    ) -> None:
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        self.hung_up = 0
        self.failures: list[str] = []
        self.problems: list[BaseException] = []
        self._misplayed: list[str] = []
        self._has_raised = False
        if not 0 <= port <= HIGHEST_PORT:
            raise ValueError(f"port must be from 0 to {HIGHEST_PORT}; got {port}")
        if unscripted not in get_args(Unscripted):
            raise ValueError(f"unscripted must be one of {', '.join(get_args(Unscripted))}; got {unscripted!r}")
        self._unscripted = unscripted
        self.batches = BatchMode(batch_seconds, self._answer_line)
        self._random: tuple[float, random.Random, list[str]] | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._port = port
        self._keys = list(api_keys)
        self._gateway = Gateway(
            frozenset(self._keys),
            requests_per_minute,
            anonymous_requests_per_minute,
            accepts=ENDPOINTS,
            is_strict=strict,
        )
        self._replies: deque[Said | Scripted | Asked] = deque()
        self._connections = 0
        self._ready = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url} requests={len(self.requests)} unplayed={len(self._replies)}>"

    @property
    def api_key(self) -> str:
        """A key that is valid."""
        return self._keys[0]

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that make an app use this server if it sets neither key nor base URL.

        Where the environment names a proxy, they exempt this machine from it.
        """
        found = {BASE_URL_VARIABLE: self.base_url, KEY_VARIABLES[0]: self.api_key}
        proxies = getproxies()
        if proxies.keys() & {"http", "all"}:
            found["no_proxy"] = ",".join(filter(None, (proxies.get("no"), "127.0.0.1")))
        return found

    def reply(
        self,
        text: str | Callable[[Request], str | Mapping[str, Any]] | None = None,
        *,
        reasoning: str | None = None,
        tool_calls: Sequence[tuple[str, Any] | tuple[str, Any, str]] = (),
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | None = None,
        vectors: Vectors | None = None,
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
                Or a function that takes the request, and returns a text or a dict of the other arguments; until it
                returns, nothing else is answered.
            tool_calls: (name, arguments) or (name, arguments, id); arguments as a dict or as raw text.
            vectors: of the next embedding request: one for each text, or a function of a text.
            status: with `headers`, `body`: any other answer; the body as an object for JSON, as text or as bytes.
            events: a stream's events: dicts, texts such as "[DONE]", raw bytes, `Pause`, `CUT`, `RESET`.
            raw: everything on the connection, status line included: bytes, `Pause`, `CUT`, `RESET`.
            pause: seconds of silence before anything is sent.
            until: called repeatedly; nothing is sent before it returns true.

        Raises:
            TypeError: arguments don't go together, or one has a wrong type.
            ValueError: a number is out of range.
        """
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be positive; got {times!r}")
        answer = scripted(
            text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            finish_reason=finish_reason,
            usage=usage,
            vectors=vectors,
            status=status,
            headers=headers,
            body=body,
            events=events,
            raw=raw,
            pause=pause,
            until=until,
        )
        self._replies.extend([replace(answer, place=_caller())] * times)

    def check(self) -> None:
        """Checks that all went as scripted.

        Raises:
            AssertionError: the gateway has refused requests, or scripted answers were not played.
            BaseException: what went wrong in the server itself.
        """
        if self.problems:
            self._has_raised = True  # which the end of the `with` block need not do again
            raise self.problems[0]
        found = [f"the gateway refused {'; '.join(self.refusals)}"] if self.refusals else []
        hint = ". If the test expects a refusal, it ends with refusals.clear()" if self.refusals else ""
        if any(" 403 " in refusal for refusal in self.refusals):
            hint += f". The key that this server takes is {self.api_key!r}; for another, give api_keys="
        found += [f"not played: {', '.join(map(str, self._replies))}"] if self._replies else []
        found += self._misplayed
        if not found:
            return
        if not self.requests:
            raise AssertionError(
                f"No request came; {'. Also '.join(found)}. A model that was built before the server started, as at "
                "import, keeps its URL: build it in the test"
            )
        requests = "1 request" if len(self.requests) == 1 else f"{len(self.requests)} requests"
        raise AssertionError(f"After {requests}: {'. Also '.join(found)}{hint}")

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
            asyncio.run_coroutine_threadsafe(self._listen(self._listener()), self._loop).result()

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
        self.problems.clear()
        self._misplayed.clear()
        self.batches.reset()
        self.hung_up = 0
        self._random = None
        limits.forget(self.base_url)
        capacity.forget(self.base_url)

    def __enter__(self) -> Self:
        self.problems.clear()
        self._has_raised = False
        listener = self._listener()
        self._port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="local-ai-endpoints", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def _listener(self) -> socket.socket:
        try:
            return socket.create_server(("127.0.0.1", self._port))
        except OSError as error:
            why = os.strerror(error.errno or 0)
            problem = f"port {self._port} of 127.0.0.1 can't be used: {why}; leave it out for any free one"
            raise OSError(error.errno, problem) from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError("A function given to reply() has not returned, so the local AI Endpoints can't stop")
        limits.forget(self.base_url)  # the next server may have the same port
        capacity.forget(self.base_url)
        if self.problems and kind is None and not self._has_raised:
            raise self.problems[0]

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen(listener))
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._stop_listening())
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0))  # lets the transports close
            self._loop.close()

    async def _listen(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def _stop_listening(self) -> None:
        """Closes the listener once all that was accepted is served, since asyncio would lose those sockets."""
        for listener in self._server.sockets:
            with suppress(NotImplementedError):  # on Windows
                self._loop.remove_reader(listener.fileno())
        for _ in range(STEPS_TO_SERVE):
            await asyncio.sleep(0)
        self._server.close()

    async def _stop(self) -> None:
        await self._stop_listening()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._open.add(writer)
        # asyncio does this only for sockets that it made; without it each answer waits 40 ms for an acknowledgement.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self._answer, self._failed, self._connections, reader, writer)
        try:
            await connection.run()
        except HungUpError:
            self.hung_up += 1
        except (ConnectionError, asyncio.CancelledError):
            pass  # cancelled only when the server stops, which asyncio's streams would print as an error
        except Exception as problem:  # noqa: BLE001 - such as h11's, about an odd script
            self.problems.append(problem)
        finally:
            self._open.discard(writer)
            connection.close()

    def _answer(self, request: Request) -> Scripted:
        """What to send to a request: a refusal, the next scripted answer, or what the rules say."""
        self.requests.append(request)
        try:
            return self._answered(request)
        except BaseException as problem:  # noqa: BLE001 - pytest.fail's too: the test must see it, whatever it is
            return self._failed(problem)

    def _failed(self, problem: BaseException) -> Scripted:
        """The answer if a script raises: not tried again, and without its text, which may read like a refusal."""
        self.problems.append(problem)
        is_ours = isinstance(problem, UnscriptedError)
        if not is_ours:
            _cut_our_frames(problem)
        message = str(problem) if is_ours else f"A script raised {type(problem).__name__}{_raised_at(problem)}"
        body = json.dumps({"message": message})
        return Scripted([body.encode()], 400, headers={"Content-Type": "application/json"})

    def _answered(self, request: Request) -> Scripted:
        headers: dict[str, str] = {}
        is_batch_mode = request.path.startswith(BATCH_MODE)
        if is_batch_mode:
            refusal = self._gateway.admit_to_batches(request)
        else:
            refusal, headers = self._gateway.admit(request, time.monotonic())
        if refusal is not None:
            self.refusals.append(f"{request.path} {refusal.status} {refusal.body.decode()}")
            headers = {"Content-Type": refusal.content_type, **headers, **refusal.headers}
            return Scripted([refusal.body], refusal.status, headers=headers)
        if self._random is not None:
            self._fail_perhaps(request, *self._random)
        if is_batch_mode:
            return self.batches.answer(request, time.monotonic())
        answer = self._next(request)
        if isinstance(answer, Said):
            answer = ENDPOINTS[request.path.partition("?")[0]].answer(request, answer)
        if answer.status == 429:
            return answer  # it has its own headers about the limit
        return replace(answer, headers={**headers, **answer.headers})

    def _answer_line(self, request: Request) -> tuple[int, Any]:
        """Status and JSON that answer a line of a batch."""
        if (refusal := self._gateway.check(request)) is not None:
            return refusal.status, _json_or_text(refusal.body)
        answer = self._next(request)
        if isinstance(answer, Said):
            answer = ENDPOINTS[request.path].answer(request, answer)
        body = b"".join(step for step in answer.steps if isinstance(step, bytes))
        return answer.status or 500, _json_or_text(body)

    def _fail_perhaps(self, request: Request, share: float, chance: random.Random, names: list[str]) -> None:
        possible = [name for name in names if hits(FAULTS[name], request.path, request.body)]
        if possible and chance.random() < share:
            self.fail(chance.choice(possible))
            self._replies.rotate()  # it comes first

    def _next(self, request: Request) -> Said | Scripted:
        """The next scripted answer for this request; what is for chats or embeddings waits for one.

        Raises:
            UnscriptedError: there is none for a chat, and the rules must not answer.
        """
        path = request.path.partition("?")[0]
        for place, answer in enumerate(self._replies):
            can_hit = answer.fault is None or hits(FAULTS[answer.fault], request.path, request.body)
            if can_hit and answer.endpoint in {None, path}:
                del self._replies[place]
                self.failures += [answer.fault] if answer.fault else []
                found = answer.answer(request) if isinstance(answer, Asked) else answer
                if isinstance(found, Scripted) and found.is_stream and not found.fault and not _streams(request):
                    self._misplayed.append(f"reply(events=...) was sent to a call that does not stream{answer.place}")
                return self._scripted(found, request)
        return self._scripted(Said(), request)

    def _scripted(self, found: Said | Scripted, request: Request) -> Said | Scripted:
        """An answer; an error if it leaves to the rules what they must not say."""
        is_left_to_rules = isinstance(found, Said) and not found.is_scripted and found.fault is None
        if is_left_to_rules and self._unscripted == "error" and request.path.partition("?")[0] == CHAT:
            raise UnscriptedError(request, self._replies)
        return found


class UnscriptedError(AssertionError):
    """A chat for which no script had an answer."""

    def __init__(self, request: Request, waiting: Iterable[Said | Scripted | Asked]) -> None:
        asked = request.json["messages"][-1]
        faults = [answer.fault for answer in waiting if answer.fault is not None]
        others = [f"{fault!r}, which waits for {_awaited(fault)}" for fault in faults]
        still = f". Still waiting: {'; '.join(others)}" if others else ""
        super().__init__(
            f"No answer was scripted for the chat that ends with {asked!r:.300}; add server.reply(...){still}"
        )


def _awaited(fault: str) -> str:
    body = json.dumps({"stream": True}).encode()
    return "a stream" if hits(FAULTS[fault], CHAT, body) else "another kind of request"


def _streams(request: Request) -> bool:
    return request.json.get("stream") is True


def _caller() -> str:
    """Where a script is written: file and line, as the end of a sentence."""
    frame = sys._getframe(frames_to_the_caller() - 1)  # noqa: SLF001 - as that function itself
    return f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"


def _cut_our_frames(problem: BaseException) -> None:
    """Lets a traceback begin where the script does, if it gets there."""
    traceback = problem.__traceback__
    while traceback and Path(traceback.tb_frame.f_code.co_filename).parent == Path(__file__).parent:
        traceback = traceback.tb_next
    if traceback:
        problem.__traceback__ = traceback


def _raised_at(problem: BaseException) -> str:
    """File and line of the script that raised, and where all of the error is."""
    traceback = problem.__traceback__
    place = f" ({Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno})" if traceback else ""
    return f"{place}; the server's problems have the error"


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
