r"""Corrects what open models do to the arguments of tool calls, in the text as it streams.

Pure. Some models write `{"place": "{\"city\": \"Rome\"}"}` where the schema says that `place` is an object; that is
undone only where the schema wants an object or array and does not also allow a string. Some engines send the whole
arguments once more at the end.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ovhcloud_ai_endpoints._chat.schema import definition
from ovhcloud_ai_endpoints._surrogates import EscapeJoiner, SurrogateJoiner, well_formed_json

Schema = Mapping[str, Any]
BEGINNINGS = frozenset("{[n\\")  # of the JSON of an object, an array or null, perhaps as an escape
KINDS: Mapping[str, type] = {"object": dict, "array": list, "null": type(None)}
MOST_OPTIONS = 64  # of one value, options within options included
DEEPEST_ARGUMENTS = 100  # levels; deeper text is not arguments, and JSON parsers fail on it

_OUTSIDE = re.compile(r'["{}\[\]:,]')
_INSIDE = re.compile(r'["\\]')
_NOT_BLANK = re.compile(r"\S")


@dataclass(slots=True)
class _Container:
    """An object or array that is still open."""

    schema: Schema
    is_object: bool
    key: str = ""
    expects_key: bool = False

    def schema_of_value(self, root: Schema) -> Schema:
        if self.schema.keys() & {"patternProperties", "prefixItems"}:
            return {}  # which subschema applies is not worked out, so nothing is undone
        if self.is_object:
            properties = self.schema.get("properties")
            found = properties.get(self.key) if isinstance(properties, Mapping) else None
            if found is None:
                found = self.schema.get("additionalProperties")
        else:
            found = self.schema.get("items")
        return _resolved(found, root)


class Arguments:
    """Reads the text of one call's arguments, piece by piece.

    Args:
        schema: the schema of the tool's parameters; without it nothing is undone.
        root: the schema that its references point into, if it is a part of another.

    Attributes:
        is_closed: whether the object or array that they are has ended.
        is_too_deep: whether they are nested too deeply; what follows is dropped, and the call is invalid.
    """

    def __init__(self, schema: Schema | None = None, root: Schema | None = None) -> None:
        self.is_closed = False
        self._schema: Schema = schema or {}
        self._root = self._schema if root is None else root
        self._surrogates, self._escapes = SurrogateJoiner(), EscapeJoiner()
        self._open: list[_Container] = []
        self._raw: list[str] = []  # as it came, until it was closed
        self._after: list[str] = []  # what came after that
        self._text: list[str] = []  # of the string being read, if it is a key or held back
        self._in_string = False
        self._is_escaped = False
        self._is_held = False  # whether that string may be double-encoded, and so is held back until its end
        self.is_too_deep = False

    def feed(self, piece: str) -> str:
        """The part of the text so far that can be passed on and has not been yet."""
        return self._read(self._escapes.feed(self._surrogates.feed(piece)))

    def end(self) -> str:
        """The text that was held back, once the arguments have ended."""
        found = self._read(self._escapes.feed(self._surrogates.end()) + self._escapes.end())
        held = "".join(self._text) if self._is_held else ""
        self._text.clear()
        return found + held + self._trailing()

    def is_repetition(self, piece: str) -> bool:
        """Whether a piece is the whole of the arguments once more."""
        return bool(piece) and self.is_closed and piece.strip() == self._whole()

    def _whole(self) -> str:
        self._raw[:] = ["".join(self._raw).strip()]
        return self._raw[0]

    def _trailing(self) -> str:
        """What came after the arguments, unless it is the same once more."""
        after, whole = "".join(self._after), self._whole() if self._after else ""
        self._after.clear()
        at = 0
        while whole and (found := _NOT_BLANK.search(after, at)) and after.startswith(whole, found.start()):
            at = found.start() + len(whole)
        return after if _NOT_BLANK.search(after, at) else ""

    def _read(self, piece: str) -> str:
        found: list[str] = []
        at = 0
        while at < len(piece) and not self.is_closed and not self.is_too_deep:
            start = at
            match = (_INSIDE if self._in_string else _OUTSIDE).search(piece, at)
            if self._is_escaped:
                self._is_escaped, at = False, at + 1
                found.append(self._passed(piece[start:at]))
            elif match is None:
                at = len(piece)
                found.append(self._passed(piece[start:]))
            else:
                at = match.end()
                found.append(self._passed(piece[start : match.start()]) + self._mark(match[0]))
        self._raw.append(piece[:at])
        if self.is_closed and at < len(piece):
            self._after.append(piece[at:])
        return "".join(found)

    def _passed(self, text: str) -> str:
        """A text without marks: it is passed on, unless the string that it is part of is held back."""
        if not self._in_string:
            return text
        if self._is_held or self._expects_key:
            self._text.append(text)
        return "" if self._is_held else text

    def _mark(self, mark: str) -> str:
        if self._in_string and mark == "\\":
            self._is_escaped = True
            return self._passed(mark)
        if self._in_string:
            return self._string_ended(mark)
        match mark:
            case '"':
                self._is_held = not self._expects_key and _is_structure(_types(self._wanted(), self._root))
                self._in_string = True
                self._text.clear()
                return self._passed(mark)
            case "{" | "[" if len(self._open) == DEEPEST_ARGUMENTS:
                self.is_too_deep = True
                return ""
            case "{" | "[":
                self._open.append(_Container(self._wanted(), mark == "{", expects_key=mark == "{"))
            case "}" | "]" if self._open:
                self._open.pop()
                self.is_closed = not self._open
            case "," if self._open:
                self._open[-1].expects_key = self._open[-1].is_object
            case ":" if self._open:
                self._open[-1].expects_key = False
            case _:
                pass
        return mark

    def _string_ended(self, mark: str) -> str:
        self._text.append(mark)
        text, self._in_string = "".join(self._text), False
        self._text.clear()
        if self._expects_key:
            self._open[-1].key = _decoded(text)
            return mark
        if not self._is_held:
            return mark
        self._is_held = False
        return undone(text, self._wanted(), self._root)

    @property
    def _expects_key(self) -> bool:
        return bool(self._open) and self._open[-1].expects_key

    def _wanted(self) -> Schema:
        """The schema of the value that begins here."""
        return self._open[-1].schema_of_value(self._root) if self._open else _resolved(self._schema, self._root)


def undone(text: str, schema: Schema, root: Schema) -> str:
    """The value encoded in a JSON string, if the schema wants its type; else the string itself."""
    if text[1:].lstrip()[:1] not in BEGINNINGS:
        return text
    inner = well_formed_json(_decoded(text))
    try:
        value = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return text
    kind = next((name for name, type_ in KINDS.items() if isinstance(value, type_)), "")
    if kind not in _types(schema, root):
        return text
    arguments = Arguments(_option(schema, kind, root), root)
    return arguments.feed(inner) + arguments.end()


def _option(schema: Schema, kind: str, root: Schema) -> Schema:
    """The option of a schema that has this type; the schema itself if it has no such options."""
    schema = _resolved(schema, root)
    options = schema.get("anyOf") or schema.get("oneOf") or []
    found = (_resolved(option, root) for option in options if kind in _types(option, root))
    return schema if "type" in schema else next(found, schema)


def _is_structure(types: set[str]) -> bool:
    """Whether these types include an object or array, and nothing else but null."""
    return bool(types & {"object", "array"}) and not types - {"object", "array", "null"}


def _types(schema: Schema, root: Schema) -> set[str]:
    """The types that a schema allows; empty if it leaves any of them open, or has too many options to tell."""
    types: set[str] = set()
    waiting: list[Any] = [schema]
    for _ in range(MOST_OPTIONS):
        option = _resolved(waiting.pop(), root)
        kind, options = option.get("type"), option.get("anyOf") or option.get("oneOf")
        if option.keys() & {"allOf", "not", "if", "enum", "const"}:
            return set()
        if isinstance(kind, list):
            types |= {str(one) for one in kind}
        elif isinstance(kind, str):
            types.add(kind)
        elif isinstance(options, list) and options:
            waiting += options
        else:
            return set()
        if not waiting:
            return types
    return set()


def _resolved(schema: Any, root: Schema) -> Schema:
    """The target of a `$ref` at the top of a schema; empty if that is another reference."""
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" not in schema:
        return schema
    found = definition(root, str(schema["$ref"])) or {}
    return {} if "$ref" in found else found


def _decoded(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return ""
