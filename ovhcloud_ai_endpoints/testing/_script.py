"""Scripted answers: what the local AI Endpoints sends instead of what its rules would say."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Pause:
    """Silence for this many seconds."""

    seconds: float


class _End:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


RESET: Final = _End("RESET")  # the connection is reset (TCP RST)
CUT: Final = _End("CUT")  # the connection is closed before the answer has ended

Step = bytes | Pause | _End


@dataclass(frozen=True)
class Hold:
    """What to wait for before sending anything."""

    seconds: float = 0.0
    until: Callable[[], bool] | None = None


EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


@dataclass(frozen=True)
class Said:
    """What the model says, sent whole or as a stream, as requested."""

    text: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: Hold = field(default_factory=Hold)
    fault: str | None = None

    @property
    def is_scripted(self) -> bool:
        """Whether it has anything to say, and not only headers or a delay."""
        return self.text is not None or self.reasoning is not None or bool(self.tool_calls)


@dataclass(frozen=True)
class Scripted:
    """What to send: the steps of a body or, without a status, those of the whole connection."""

    steps: Iterable[Step]
    status: int | None = 200
    fault: str | None = None
    is_stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: Hold = field(default_factory=Hold)


def event(value: Any) -> Step:
    """One event of a stream: an object or string becomes its data; bytes and other steps stay as they are.

    A comment follows the data, because it keeps events apart that arrive in one read.
    """
    if isinstance(value, bytes | Pause | _End):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n:\n\n".encode()


def content_of(body: Any, status: int) -> tuple[bytes, str]:
    """A body as bytes, and its type."""
    match body:
        case None:
            return json.dumps({"message": f"scripted status {status}"}).encode(), "application/json"
        case bytes():
            return body, "application/octet-stream"
        case str():
            return body.encode(), "text/plain; charset=utf-8"
        case _:
            return json.dumps(body, ensure_ascii=False).encode(), "application/json"


def tool_call(place: int, name: str, arguments: Any, id_: str | None = None) -> tuple[str, str, str]:
    """Id, name and arguments as text."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return id_ or f"chatcmpl-tool-{place:04x}", name, text
