"""Answers that are late in every way that there is. Each ends well, a few seconds after the time is up."""

from collections.abc import Callable
from typing import Any

from ovhcloud_ai_endpoints.testing import Pause

ANSWER = b'{"choices":[{"index":0,"message":{"content":"late"},"finish_reason":"stop"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"late"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def dripping(data: bytes, *, pieces: int) -> list[Any]:
    """The same bytes in so many pieces, a tenth of a second apart."""
    size = -(-len(data) // pieces)
    return [one for at in range(0, len(data), size) for one in (Pause(0.1), data[at : at + size])]


def answered(kind: str) -> tuple[bytes, bytes]:
    """Head and body of a good answer."""
    body, media_type = (EVENT, b"text/event-stream") if kind == "stream" else (ANSWER, b"application/json")
    return HEAD % (media_type, len(body)), body


LATE: dict[str, Callable[[bytes, bytes], list[Any]]] = {
    "head that drips": lambda head, body: [*dripping(head, pieces=30), body],
    "body that drips": lambda head, body: [head, *dripping(body, pieces=30)],
    "endless interim answers": lambda head, body: [*[b"HTTP/1.1 100 Continue\r\n\r\n", Pause(0.1)] * 30, head, body],
    "silence before the head": lambda head, body: [Pause(3), head, body],
    "silence before the body": lambda head, body: [head, Pause(3), body],
}
