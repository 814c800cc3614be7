"""Scripted answers: what the local AI Endpoints sends instead of what its rules would say."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ovhcloud_ai_endpoints.testing import _script_arguments as _checks
from ovhcloud_ai_endpoints.testing._requests import Request


@dataclass(frozen=True)
class Pause:
    """Silence for this many seconds."""

    seconds: float

    def __post_init__(self) -> None:
        if not isinstance(self.seconds, int | float):
            raise TypeError(f"Pause takes a number of seconds; got {self.seconds!r}")
        if not self.seconds >= 0:
            raise ValueError(f"Pause must not be negative; got {self.seconds!r}")


class _End:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


RESET: Final = _End("RESET")  # the connection is reset (TCP RST)
CUT: Final = _End("CUT")  # the connection is closed before the answer has ended

Step = bytes | Pause | _End
STEPS = (bytes, Pause, _End)
Vectors = Sequence[Sequence[float]] | Callable[[str], Sequence[float]]  # of the texts, in their order or by a function
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"

# Arguments of `reply`, by what they describe.
KINDS = {
    **dict.fromkeys(("text", "reasoning", "tool_calls", "finish_reason", "usage"), "what a model says"),
    **dict.fromkeys(("body", "status"), "any other answer"),
    **{name: name for name in ("vectors", "events", "raw")},
}
ANSWER = (KINDS.keys() | {"headers"}) - {"vectors"}  # what a function may answer a chat with


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
    vectors: Vectors | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: Hold = field(default_factory=Hold)
    fault: str | None = None
    place: str = ""

    @property
    def is_scripted(self) -> bool:
        """Whether it has anything to say, and not only headers or a delay."""
        return self.text is not None or self.reasoning is not None or bool(self.tool_calls)

    @property
    def endpoint(self) -> str | None:
        """The endpoint whose next request it waits for; None if any request will do."""
        if self.vectors is not None:
            return EMBEDDINGS
        is_of_chat = self.is_scripted or self.finish_reason is not None or self.usage is not None
        return CHAT if is_of_chat else None

    def __str__(self) -> str:
        said = self.text if self.text is not None else [call[1] for call in self.tool_calls] or self.vectors
        return f"{self.fault or said!r:.60}{self.place}"


@dataclass(frozen=True)
class Scripted:
    """What to send: the steps of a body or, without a status, those of the whole connection."""

    steps: Iterable[Step]
    status: int | None = 200
    fault: str | None = None
    is_stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: Hold = field(default_factory=Hold)
    place: str = ""

    @property
    def endpoint(self) -> str | None:
        """The endpoint whose next request it waits for; None if any request will do."""
        return CHAT if self.is_stream else None

    def __str__(self) -> str:
        return f"{self.fault or ('a stream' if self.is_stream else f'status {self.status}')}{self.place}"


@dataclass(frozen=True)
class Asked:
    """An answer to the next chat, which a function makes of the request."""

    function: Callable[[Request], str | Mapping[str, Any]]
    hold: Hold
    fault: str | None = None
    endpoint: str | None = CHAT
    place: str = ""

    def answer(self, request: Request) -> Said | Scripted:
        """What the function has answered, in the form of a script.

        Raises:
            TypeError: it is neither a text nor arguments of `reply`.
        """
        found = self.function(request)
        if not isinstance(found, str | Mapping):
            raise TypeError(f"The function of reply() must return a text or a dict of its arguments; got {found!r}")
        arguments = {"text": found} if isinstance(found, str) else dict(found)
        if odd := arguments.keys() - ANSWER:
            raise TypeError(f"The function of reply() may return {', '.join(sorted(ANSWER))}; got {', '.join(odd)}")
        answer = scripted(**arguments)
        if isinstance(answer, Asked):
            raise TypeError("The function of reply() must not return another function")
        return replace(answer, hold=self.hold)

    def __str__(self) -> str:
        return f"a function, {getattr(self.function, '__name__', self.function)}{self.place}"


def scripted(
    text: str | Callable[[Request], str | Mapping[str, Any]] | None = None,
    *,
    reasoning: str | None = None,
    tool_calls: Sequence[Any] = (),
    finish_reason: str | None = None,
    usage: Mapping[str, Any] | None = None,
    vectors: "Vectors | None" = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    events: Sequence[Any] | None = None,
    raw: Sequence[Step] | None = None,
    pause: float = 0.0,
    until: Callable[[], bool] | None = None,
) -> Said | Scripted | Asked:
    """The answer that arguments of `LocalEndpoints.reply` describe.

    Raises:
        TypeError: they don't go together, or one has a wrong type.
        ValueError: a number is out of range.
    """
    tool_calls = tool_calls or ()
    values: dict[str, Any] = {
        "text": text,
        "reasoning": reasoning,
        "tool_calls": tool_calls,
        "finish_reason": finish_reason,
    }
    values |= {"usage": usage, "vectors": vectors, "body": body, "events": events, "raw": raw}
    given = [name for name, value in values.items() if value is not None and (name != "tool_calls" or value)]
    given += ["status"] if status != 200 and events is None else []
    if headers is not None:
        _checks.check_headers(headers)
    if raw is not None and headers:
        raise TypeError("reply() takes raw and headers in different answers: raw has all that is sent")
    _checks.check_pause(pause)
    if len({KINDS[name] for name in given}) > 1:
        raise TypeError(f"reply() takes {' and '.join(given)} in different answers, not in one")
    if callable(text):
        if given != ["text"]:
            raise TypeError(
                f"reply() takes a function alone, and all else from what it returns; got {', '.join(given)}"
            )
        _checks.check_function(text)
        return Asked(text, Hold(pause, until))
    for name in ("text", "reasoning", "finish_reason"):
        _checks.check_text(name, values[name])
    _checks.check_finish_reason(finish_reason)
    if not isinstance(status, int):
        raise TypeError(f"status must be an int; got {status!r}")
    if not 200 <= status <= 599 or status in {204, 304}:
        raise ValueError(f"status must be one with a body, from 200 to 599; got {status!r}")
    if until is not None and not callable(until):
        raise TypeError(f"until must be a function; got {until!r}")
    if usage is not None:
        _checks.check_usage(usage)
    if vectors is not None and not callable(vectors):
        vectors = _checks.checked_vectors(vectors)
    hold, headers = Hold(pause, until), {name: str(value) for name, value in (headers or {}).items()}
    if raw is not None:
        return Scripted(_checks.checked_steps("raw", raw, STEPS), status=None, hold=hold)
    if events is not None:
        steps = [event(one) for one in _checks.checked_steps("events", events, STEPS)]
        return Scripted(steps, status, is_stream=True, headers={**EVENT_STREAM, **headers}, hold=hold)
    if body is not None or status != 200:
        content, kind = content_of(body, status)
        return Scripted([content], status, headers={"Content-Type": kind, **headers}, hold=hold)
    is_one = isinstance(tool_calls, tuple) and any(isinstance(part, str) for part in tool_calls)
    if is_one or isinstance(tool_calls, str | Mapping):
        raise TypeError(f"tool_calls must be a list, as [(name, arguments)]; got {tool_calls!r:.200}")
    calls = tuple(_checked_call(place, call) for place, call in enumerate(tool_calls))
    return Said(text, reasoning, calls, finish_reason, usage, vectors, headers, hold)


def _checked_call(place: int, call: Any) -> tuple[str, str, str]:
    is_call = isinstance(call, tuple | list) and len(call) in {2, 3}
    if not (is_call and all(isinstance(part, str | None) for part in call[2:]) and isinstance(call[0], str)):
        raise TypeError(f"tool_calls are tuples: (name, arguments) or (name, arguments, id); got {call!r}")
    _checks.check_json("the arguments in tool_calls", call[1])
    return tool_call(place, *call)


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
