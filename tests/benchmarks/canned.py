"""A server of precomputed answers in a process of its own, so that it is the clients that are timed.

The first part of a request's path says how it answers: at once (/now), after a while (/late, /soon), with an HTTP chunk
for each event of a stream (/pieces), or with one event in each packet, 1 ms apart, that holds the time at which it was
sent (/paced). Vectors are short under /narrow.
"""

import asyncio
import base64
import json
import multiprocessing
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

MODEL = "gpt-oss-120b"
TEXT = "Hello there, how are you?"
DELTAS = 20_000
WORDS = ("Le ", "modèle ", "écrit ", "one ", "token ", "after ", "the other, ", "and ", "so on.\n")
TOOL_DELTAS = 5_000
TOOL = "store"
PACED = 1_500
PACE = 0.001  # seconds
LATENCY = {b"late": 0.3, b"soon": 0.05}  # seconds
WIDTH = 1024
NARROW = 8  # under /narrow
VECTORS = 64  # different ones

EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def deltas() -> Iterator[str]:
    return (WORDS[at % len(WORDS)] for at in range(DELTAS))


def rows() -> list[dict[str, Any]]:
    """The argument of the tool call."""
    return [{"id": at, "name": f"row {at}", "tags": ["a", "b"], "price": at / 4} for at in range(TOOL_DELTAS // 20)]


def vector(at: int) -> "array[float]":
    """The vector of the text that ends in this number."""
    return array(
        "f", (((at % VECTORS + 1) * (place + 1) * 7919 % 20011 - 10005) / 10007 / 32 for place in range(WIDTH))
    )


def _event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}
    return b"data: " + json.dumps(value | more, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _usage(read: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _ending(finish_reason: str, written: int) -> bytes:
    usage = _event({}, choices=[], usage=_usage(9, written))
    return _event({}, finish_reason) + usage + b"data: [DONE]\n\n"


def _chunked(data: bytes, size: int = 16_384) -> bytes:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _text_stream(*, is_in_pieces: bool = False) -> bytes:
    events = [_event({"role": "assistant"}), *(_event({"content": word}) for word in deltas())]
    if is_in_pieces:
        pieces = (b"%x\r\n%b\r\n" % (len(event), event) for event in events)
        return EVENT_STREAM + b"".join(pieces) + _chunked(_ending("stop", DELTAS))
    return EVENT_STREAM + _chunked(b"".join(events) + _ending("stop", DELTAS))


def _tool_stream() -> bytes:
    arguments = json.dumps({"rows": rows()})
    size = -(-len(arguments) // TOOL_DELTAS)
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
    events = [_event({"role": "assistant", "content": None, "tool_calls": [call]})]
    events += (_event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces)
    return EVENT_STREAM + _chunked(b"".join(events) + _ending("tool_calls", len(pieces)))


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _answer() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    return _whole(json.dumps(body | {"usage": _usage(5, 7)}).encode())


class Embeddings:
    """The answers to requests for vectors, in both encodings."""

    def __init__(self) -> None:
        self.vectors = [vector(at) for at in range(VECTORS)]
        self._floats = [json.dumps(found.tolist()).encode() for found in self.vectors]
        self._base64 = [b'"%b"' % base64.b64encode(found.tobytes()) for found in self.vectors]
        self._narrow = [b'"%b"' % base64.b64encode(found[:NARROW].tobytes()) for found in self.vectors]
        self._kept: dict[tuple[bool, bool, tuple[int, ...]], bytes] = {}

    def answer(self, request: dict[str, Any], *, is_narrow: bool) -> bytes:
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        places = tuple(int(text.rpartition(" ")[2]) % VECTORS for text in texts)
        is_base64 = request.get("encoding_format") == "base64"
        kind = (is_base64, is_narrow, places)
        if kind not in self._kept:
            forms = self._narrow if is_narrow else self._base64 if is_base64 else self._floats
            items = (
                b'{"object":"embedding","index":%d,"embedding":%b}' % (index, forms[place])
                for index, place in enumerate(places)
            )
            usage = json.dumps({"prompt_tokens": 5 * len(places), "total_tokens": 5 * len(places)}).encode()
            body = b'{"object":"list","model":"bge-m3","data":[%b],"usage":%b}' % (b",".join(items), usage)
            self._kept[kind] = _whole(body)
        return self._kept[kind]


class Answers:
    """What the server says."""

    def __init__(self) -> None:
        models = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1}]}
        self.models, self.chat, self.tool_stream = _whole(json.dumps(models).encode()), _answer(), _tool_stream()
        self.text_stream, self.text_stream_in_pieces = _text_stream(), _text_stream(is_in_pieces=True)
        self.embeddings = Embeddings()


class Canned(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            body, self._received = self._received[end + 4 : end + 4 + length], self._received[end + 4 + length :]
            self._respond(head.split(b" ", 2)[1], body)

    def _respond(self, path: bytes, body: bytes) -> None:
        loop, way, answers = asyncio.get_running_loop(), path.split(b"/")[1], self._answers
        if path.endswith(b"/models"):
            answer = answers.models
        elif path.endswith(b"/embeddings"):
            answer = answers.embeddings.answer(json.loads(body), is_narrow=way == b"narrow")
        elif b'"stream":true' not in body.replace(b": ", b":"):
            answer = answers.chat
        elif way == b"paced":
            self._pacing = loop.create_task(self._paced())
            return
        elif b'"tools"' in body:
            answer = answers.tool_stream
        else:
            answer = answers.text_stream_in_pieces if way == b"pieces" else answers.text_stream
        if way in LATENCY:
            loop.call_later(LATENCY[way], self._transport.write, answer)
        else:
            self._transport.write(answer)

    async def _paced(self) -> None:
        self._transport.write(EVENT_STREAM)
        began = time.monotonic()
        for at in range(PACED):
            await asyncio.sleep(began + at * PACE - time.monotonic())
            event = _event({"content": f"{time.monotonic():.6f} "})
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._transport.write(_chunked(_ending("stop", PACED)))


def _serve(pipe: Connection) -> None:
    async def main() -> None:
        answers = Answers()
        server = await asyncio.get_running_loop().create_server(lambda: Canned(answers), "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def canned_server() -> Iterator[str]:
    """The URL of a server, to which the way of answering and a path are to be added."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()
