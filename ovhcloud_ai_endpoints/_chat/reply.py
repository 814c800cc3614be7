"""Assembles one streamed answer as it arrives.

Pure: bytes in, `Delta`s and a `Message` out. The state of a stream lives in its `Reply`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._chat.answer import (
    Asked,
    new_tool_call_id,
    optional_text,
    read_arguments,
    read_content,
    read_logprobs,
    read_reasoning,
    read_text,
    read_usage,
)
from ovhcloud_ai_endpoints._chat.control_tokens import Mended
from ovhcloud_ai_endpoints._chat.thinking import ThinkTags
from ovhcloud_ai_endpoints._chat.tool_arguments import Arguments
from ovhcloud_ai_endpoints._chat.tool_names import OfferedNames
from ovhcloud_ai_endpoints._errors import InvalidResponseError, StreamInterruptedError
from ovhcloud_ai_endpoints._http import Decoder, event_error, invalid_response
from ovhcloud_ai_endpoints._notices import warn_of_empty_answer
from ovhcloud_ai_endpoints._surrogates import Halves
from ovhcloud_ai_endpoints._values import Answer, Delta, Exchange, Message, ToolCall, ToolCallDelta
from ovhcloud_ai_endpoints._wire import Event, Usage


class _Said:
    """One field of an answer, as the model meant it: with whole letters, and control tokens in one piece."""

    def __init__(self, request: Asked) -> None:
        self._halves, self._mended = Halves(), Mended(is_needed=request.has_broken_tokens)

    def feed(self, piece: str) -> str:
        return self._mended.feed(self._halves.feed(piece))

    def end(self) -> str:
        return self._mended.feed(self._halves.end()) + self._mended.end()


@dataclass(slots=True)
class _GrowingToolCall:
    id: str
    said: _Said
    index: int | None = None
    raw_name: str = ""  # as it came
    name: str = ""
    is_named: bool = False  # whether the name is in a delta
    is_begun: bool = False  # whether a piece of its arguments has arrived
    reader: Arguments = field(default_factory=Arguments)
    is_clear: bool = False  # whether the arguments can't be the `null` that some models send for none
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return _joined(self.pieces)

    def add(self, text: str) -> str:
        """Adds to the arguments, and returns what can be sent of them; `null` is held back."""
        if text:
            self.pieces.append(text)
        if self.is_clear:
            return text
        self.is_clear = not "null".startswith(self.arguments.strip())
        return self.arguments if self.is_clear else ""

    def is_complete(self) -> bool:
        return bool(self.arguments) and ToolCall(self.id, self.name, self.arguments).parsed() is not None


class Reply:
    """A chat stream as it arrives.

    Args:
        request: the request that the stream answers.

    Attributes:
        events: number of events so far, not counting pings.
        id: the answer's id; None until an event has one.
        model: the model as served; None until an event names it.
        usage: the latest token counts; None until an event has some.
    """

    def __init__(self, request: Asked) -> None:
        self.events = 0
        self.id: str | None = None
        self.usage: Usage | None = None
        self._decoder = Decoder()
        self._request = request
        self.model: str | None = None
        self._system_fingerprint: str | None = None
        self._names = OfferedNames(request.tool_schemas, request.tool_names)
        self._tags = ThinkTags()
        self._said = {name: _Said(request) for name in ("text", "reasoning", "refusal")}
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._tool_calls: list[_GrowingToolCall] = []
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._logprobs: list[Any] = []
        self._finish_reason: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether `[DONE]` has arrived."""
        return self._decoder.done

    @property
    def is_complete(self) -> bool:
        """Whether the model has finished, even if the stream's own end is missing."""
        return self._decoder.done or self._finish_reason is not None

    @property
    def message(self) -> Message:
        return Message(
            text=_joined(self._text),
            reasoning=_joined(self._reasoning),
            refusal=_joined(self._refusal),
            tool_calls=tuple(
                ToolCall(tool_call.id, tool_call.name, tool_call.arguments)
                for tool_call in self._tool_calls[: self._kept]
            ),
            finish_reason=self._finish_reason,
            logprobs={"content": self._logprobs} if self._logprobs else None,
        )

    def result(self, exchange: Exchange) -> Answer:
        """The answer as far as it has arrived."""
        return Answer(
            messages=(self.message,),
            id=self.id,
            model=self.model or self._request.model,
            system_fingerprint=self._system_fingerprint,
            usage=self.usage,
            exchange=exchange,
        )

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Yields the delta of each event in these bytes; exhaust it before the next call.

        Raises:
            OVHCloudError: the stream holds an error, or an event that can't be read.
        """
        for event in self._decoder.feed(data):
            yield self._add(event)

    def end(self) -> Iterator[Delta]:
        """Yields what is left when the bytes have ended: an event without its blank line, and what was held back.

        Raises:
            StreamInterruptedError: the answer isn't complete.
            InvalidResponseError: the stream ended properly, but held no answer.
        """
        for event in self._decoder.end():
            yield self._add(event)
        yield self._held_back()
        if not self.is_complete:
            raise self.interrupted("The stream ended before the answer did")
        if self._finish_reason is None and not (self._text or self._reasoning or self._refusal or self._tool_calls):
            raise InvalidResponseError(
                "The stream held no answer. Some models send nothing when there is more than one system message."
            )
        warn_of_empty_answer(self._request.model, self.result(Exchange()))

    def interrupted(self, problem: str) -> StreamInterruptedError:
        """The error for a stream that broke off, with the partial answer in `.partial`."""
        self._held_back()
        message = self.message
        error = StreamInterruptedError(
            f"{problem}. {len(message.text)} characters of text had arrived; they are in this error's .partial. "
            "Ask again, or continue from there."
        )
        error.partial = message
        return error

    def _add(self, event: Event) -> Delta:
        if event.get("error") or ("choices" not in event and "message" in event):
            raise event_error(event, body=json.dumps(event).encode(), model=self._request.model)
        try:
            return self._read(event)
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            raise invalid_response("An event of the stream has an unknown shape", json.dumps(event).encode()) from error

    def _read(self, event: Event) -> Delta:
        self.events += 1
        self.id = self.id or optional_text(event.get("id"))
        self.model = optional_text(event.get("model")) or self.model
        self._system_fingerprint = optional_text(event.get("system_fingerprint")) or self._system_fingerprint
        self.usage = read_usage(event.get("usage")) or self.usage  # some servers send a running total in each event
        choice = next((choice for choice in event.get("choices") or [] if choice.get("index") in {None, 0, "0"}), None)
        if choice is None:
            return Delta()
        self._finish_reason = optional_text(choice.get("finish_reason")) or self._finish_reason
        fields = choice.get("delta") or choice.get("message") or {}
        text = self._said["text"].feed(read_content(fields.get("content")))
        reasoning = self._said["reasoning"].feed(read_reasoning(fields))
        if reasoning:
            text = self._tags.off() + text
        else:
            text, reasoning = self._tags.feed(text)
        refusal = self._said["refusal"].feed(read_text(fields.get("refusal")))
        logprobs = read_logprobs(choice.get("logprobs"))
        self._keep(text, reasoning, refusal)
        if logprobs:
            self._logprobs += logprobs["content"]
        tool_calls = [self._tool_call(piece) for piece in fields.get("tool_calls") or []]
        kept = tuple(tool_call for tool_call in tool_calls if self._kept is None or tool_call.index < self._kept)
        return Delta(text, reasoning, refusal, kept, logprobs, self.id)

    def _held_back(self) -> Delta:
        """The delta of what was held back until the end of the stream."""
        text, reasoning = self._tags.feed(self._said["text"].end())
        more_text, more_reasoning = self._tags.end()
        text, reasoning = text + more_text, reasoning + more_reasoning + self._said["reasoning"].end()
        refusal = self._said["refusal"].end()
        self._keep(text, reasoning, refusal)
        pieces = []
        for place, tool_call in enumerate(self._tool_calls[: self._kept]):
            unsent = tool_call.add(tool_call.reader.feed(tool_call.said.end()) + tool_call.reader.end())
            name = None if tool_call.is_named else tool_call.name
            tool_call.is_named = True
            if unsent or name:
                pieces.append(ToolCallDelta(place, None, name, unsent))
        return Delta(text, reasoning, refusal, tuple(pieces), answer_id=self.id)

    def _keep(self, text: str, reasoning: str, refusal: str) -> None:
        for pieces, piece in ((self._text, text), (self._reasoning, reasoning), (self._refusal, refusal)):
            if piece:
                pieces.append(piece)

    @property
    def _kept(self) -> int | None:
        return 1 if self._request.one_call else None

    def _tool_call(self, piece: Mapping[str, Any]) -> ToolCallDelta:
        function = piece.get("function") or {}
        id_, index, name = read_text(piece.get("id")), piece.get("index"), read_text(function.get("name"))
        arguments = read_arguments(function.get("arguments"))
        place = self._place(id_, index, name, arguments)
        new = place is None
        if place is None:
            place = len(self._tool_calls)
            is_free = id_ and id_ not in self._by_id
            self._tool_calls.append(
                _GrowingToolCall(id_ if is_free else new_tool_call_id(), _Said(self._request), index)
            )
        tool_call = self._tool_calls[place]
        if id_:
            self._by_id[id_] = place
        if index is not None:
            self._by_index[index] = place
        named = self._named(tool_call, name, is_whole=bool(arguments))
        if arguments:
            tool_call.is_begun = True
        return ToolCallDelta(
            place,
            tool_call.id if new else None,
            named,
            tool_call.add(tool_call.reader.feed(tool_call.said.feed(arguments))),
        )

    def _named(self, tool_call: _GrowingToolCall, piece: str, *, is_whole: bool) -> str | None:
        """Adds a piece to the name of a call; returns the name once, when it is known to be whole."""
        if piece and self._continues(tool_call, piece):
            tool_call.raw_name += piece
            tool_call.name = tool_call.name if tool_call.is_named else self._names.called(tool_call.raw_name)
        if tool_call.is_named or not tool_call.name:
            return None
        if not is_whole and self._names.may_grow(tool_call.raw_name):
            return None
        tool_call.is_named = True
        if not tool_call.is_begun:
            tool_call.reader = Arguments(self._request.tool_schemas.get(tool_call.name))
        return tool_call.name

    def _continues(self, tool_call: _GrowingToolCall, name: str) -> bool:
        raw = tool_call.raw_name
        return not raw or (not tool_call.is_begun and raw != name and self._names.continues(raw, name))

    def _place(self, id_: str, index: int | None, name: str, arguments: str) -> int | None:
        """Which call a piece belongs to: by its id, then its index, then the last one; None if it begins a new one."""
        if id_ in self._by_id:
            place = self._by_id[id_]
            if name and index is not None and self._tool_calls[place].index not in {None, index}:
                return self._by_index.get(index)  # two calls share the id
            return place
        place = len(self._tool_calls) - 1 if index is None else self._by_index.get(index, -1)
        if place < 0:
            return None
        tool_call = self._tool_calls[place]
        if not name or not tool_call.name or self._continues(tool_call, name):
            return place
        is_other = self._names.called(name) != tool_call.name
        if is_other or (id_ and not arguments and not tool_call.arguments):
            return None
        if index is not None and not id_ and tool_call.reader.repeats(arguments):
            return place
        return None if tool_call.is_complete() and (id_ or arguments) else place


def _joined(pieces: list[str]) -> str:
    """Joins the pieces into one text, in place, so that asking again costs nothing."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""
