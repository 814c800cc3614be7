"""Assembles the tool calls of one streamed answer.

Pure. Engines disagree about pieces of a call: ids once, always or anew in each; indexes missing or equal; names in two
pieces; the whole arguments once more at the end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._chat.answer import Asked, new_tool_call_id, read_arguments, read_text
from ovhcloud_ai_endpoints._chat.control_tokens import TokenRestorer
from ovhcloud_ai_endpoints._chat.tool_arguments import Arguments
from ovhcloud_ai_endpoints._chat.tool_names import OfferedNames
from ovhcloud_ai_endpoints._values import ToolCall, ToolCallDelta


@dataclass(slots=True)
class _GrowingCall:
    id: str
    said_id: str  # as it came, which other calls may share
    restorer: TokenRestorer
    index: int | None = None
    raw_name: str = ""  # as it came
    name: str = ""
    is_named: bool = False  # whether the name is in a delta
    is_begun: bool = False  # whether a piece of its arguments has arrived
    reader: Arguments = field(default_factory=Arguments)
    is_sendable: bool = False  # whether the arguments can't be the bare `null` that some models send for none
    start: str = ""  # of the arguments, without blanks before it, until they are sendable
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return joined(self.pieces)

    def add(self, text: str) -> str:
        """Adds to the arguments, and returns what can be sent of them; `null` is held back."""
        if text:
            self.pieces.append(text)
        if self.is_sendable:
            return text
        start = (self.start + text).lstrip()
        said = start.rstrip()
        self.start = said + start[len(said) :][:1]
        self.is_sendable = not "null".startswith(said)
        return self.arguments if self.is_sendable else ""

    def is_complete(self) -> bool:
        return self.reader.is_closed or self.start.rstrip() == "null"


class StreamedCalls:
    """The tool calls of a stream as they arrive.

    Args:
        request: the request that the stream answers.
    """

    def __init__(self, request: Asked) -> None:
        self._request = request
        self._names = OfferedNames(request.tool_schemas, request.tool_names)
        self._most = 1 if request.one_call else None
        self._calls: list[_GrowingCall] = []
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they have arrived."""
        return tuple(ToolCall(call.id, call.name, call.arguments) for call in self._calls[: self._most])

    def add(self, pieces: Any) -> Iterator[ToolCallDelta]:
        """The deltas of the pieces of one event.

        Raises:
            AttributeError, TypeError: they are not shaped like pieces of calls.
        """
        deltas: dict[int, ToolCallDelta] = {}
        for piece in pieces or ():
            delta = self._delta(piece)
            before = deltas.get(delta.index)
            deltas[delta.index] = delta if before is None else _added(before, delta)
        for place, delta in deltas.items():
            if self._most is None or place < self._most:
                yield delta

    def end(self) -> Iterator[ToolCallDelta]:
        """The deltas of what was held back until the end of the stream."""
        for place, call in enumerate(self._calls[: self._most]):
            unsent = call.add(call.reader.feed(call.restorer.end()) + call.reader.end())
            name = None if call.is_named else call.name
            call.is_named = True
            if unsent or name:
                yield ToolCallDelta(place, None, name, unsent)

    def _delta(self, piece: Mapping[str, Any]) -> ToolCallDelta:
        function = piece.get("function") or {}
        id_, index, name = read_text(piece.get("id")), piece.get("index"), read_text(function.get("name"))
        arguments = read_arguments(function.get("arguments"))
        place = self._place(id_, index, name, arguments)
        is_new = place is None
        if place is None:
            place = len(self._calls)
            own_id = id_ if id_ and id_ not in self._by_id else new_tool_call_id()
            restorer = TokenRestorer(is_needed=self._request.has_neutralized_tokens)
            self._calls.append(_GrowingCall(own_id, id_, restorer, index))
        call = self._calls[place]
        if id_:
            self._by_id[id_] = place
        if index is not None:
            self._by_index[index] = place
        named = self._named(call, name, is_whole=bool(arguments))
        call.is_begun = call.is_begun or bool(arguments)
        unsent = call.add(call.reader.feed(call.restorer.feed(arguments)))
        return ToolCallDelta(place, call.id if is_new else None, named, unsent)

    def _named(self, call: _GrowingCall, piece: str, *, is_whole: bool) -> str | None:
        """Adds a piece to the name of a call; returns the name once, when it is known to be whole."""
        if piece and self._continues(call, piece):
            call.raw_name += piece
            call.name = call.name if call.is_named else self._names.called(call.raw_name)
        if call.is_named or not call.name:
            return None
        if not is_whole and self._names.may_grow(call.raw_name):
            return None
        call.is_named = True
        if not call.is_begun:
            call.reader = Arguments(self._request.tool_schemas.get(call.name))
        return call.name

    def _continues(self, call: _GrowingCall, name: str) -> bool:
        raw = call.raw_name
        return not raw or (not call.is_begun and raw != name and self._names.continues(raw, name))

    def _place(self, id_: str, index: int | None, name: str, arguments: str) -> int | None:
        """Which call a piece belongs to: by its id, then its index, then the last one; None if it begins a new one."""
        by_index = self._by_index.get(index) if index is not None else None
        if id_ in self._by_id:
            return self._place_by_id(id_, by_index, index, name, arguments)
        place = len(self._calls) - 1 if index is None else by_index
        if place is None:  # a new index; without name and id it can only go on with the call before
            return None if name or id_ or not self._calls else len(self._calls) - 1
        if place < 0:
            return None
        call = self._calls[place]
        if not name or not call.name or self._continues(call, name):
            return place
        is_other = self._names.called(name) != call.name
        if is_other or (id_ and not arguments and not call.arguments):
            return None
        if index is not None and not id_ and call.reader.is_repetition(arguments):
            return place
        return None if call.is_complete() and (id_ or arguments) else place

    def _place_by_id(self, id_: str, by_index: int | None, index: int | None, name: str, arguments: str) -> int | None:
        """Which call a piece belongs to whose id is known; calls that share it differ in index or name."""
        place = self._by_id[id_]
        if by_index is not None and self._calls[by_index].said_id == id_:
            place = by_index
        call = self._calls[place]
        if not name or self._continues(call, name):
            return place
        if self._names.called(name) != call.name:
            return None
        if by_index is None and index is not None and call.index not in {None, index} and call.is_begun:
            return None
        is_again = call.reader.is_closed and arguments and not call.reader.is_repetition(arguments)
        return None if is_again else place


def _added(before: ToolCallDelta, delta: ToolCallDelta) -> ToolCallDelta:
    """Two deltas of one call as one."""
    name, id_ = before.name or delta.name, before.id or delta.id
    return ToolCallDelta(before.index, id_, name, before.arguments + delta.arguments)


def joined(pieces: list[str]) -> str:
    """Joins the pieces into one text, in place, so that asking again costs nothing."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""
