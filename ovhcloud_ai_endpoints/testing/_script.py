"""Scripted answers: what the local AI Endpoints sends instead of what its rules would say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Pause:
    """Silence, for so many seconds."""

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
class Said:
    """What the model says, which goes out whole or as a stream, as it was asked for."""

    text: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Reply:
    """One scripted answer; `said`, or else a status with a body, or raw steps."""

    said: Said | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    steps: Sequence[Step] | None = None  # of the body if there is a status line, else of the whole connection
    is_raw: bool = False
    pause: float = 0.0


def reply(
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
) -> Reply:
    """One scripted answer, from the arguments of `LocalEndpoints.reply`."""
    headers = dict(headers or {})
    if raw is not None:
        return Reply(steps=list(raw), is_raw=True, pause=pause)
    if events is not None:
        headers.setdefault("Content-Type", "text/event-stream; charset=utf-8")
        return Reply(status=status, headers=headers, steps=[_event(event) for event in events], pause=pause)
    if body is not None or status != 200:
        content, kind = _body(body, status)
        headers.setdefault("Content-Type", kind)
        return Reply(status=status, headers=headers, body=content, pause=pause)
    calls = tuple(_call(place, *call) for place, call in enumerate(tool_calls))
    return Reply(said=Said(text, reasoning, calls, finish_reason, usage), headers=headers, pause=pause)


def _event(event: Any) -> Step:
    if isinstance(event, bytes | Pause | _End):
        return event
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def _body(body: Any, status: int) -> tuple[bytes, str]:
    match body:
        case None:
            return json.dumps({"message": f"scripted status {status}"}).encode(), "application/json"
        case bytes():
            return body, "application/octet-stream"
        case str():
            return body.encode(), "text/plain; charset=utf-8"
        case _:
            return json.dumps(body, ensure_ascii=False).encode(), "application/json"


def _call(place: int, name: str, arguments: Any, id_: str | None = None) -> tuple[str, str, str]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return id_ or f"chatcmpl-tool-{place:04x}", name, text
