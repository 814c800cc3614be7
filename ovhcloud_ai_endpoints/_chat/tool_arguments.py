r"""Arguments of a tool call as they come; objects and lists that a model has encoded twice become such again.

Pure. Some models write `{"place": "{\"city\": \"Rome\"}"}` where the schema says that `place` is an object. That is
undone where the schema says object or array and nothing that a text could be, and left as it is anywhere else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ovhcloud_ai_endpoints._chat.schema import DEFINITIONS, definition

Schema = Mapping[str, Any]
KINDS: Mapping[str, type] = {"object": dict, "array": list, "null": type(None)}
DEEPEST = 8  # options within options


@dataclass(slots=True)
class _Container:
    """An object or array that is open."""

    schema: Schema
    is_object: bool
    key: str = ""
    expects_key: bool = False

    def schema_of_value(self, root: Schema) -> Schema:
        if self.schema.keys() & {"patternProperties", "prefixItems"}:
            return {}  # which one counts is not looked at, so that nothing is undone
        if self.is_object:
            properties = self.schema.get("properties")
            found = properties.get(self.key) if isinstance(properties, Mapping) else None
            if found is None:
                found = self.schema.get("additionalProperties")
        else:
            found = self.schema.get("items")
        return _resolved(found, root)


class Arguments:
    """The text of one call's arguments, piece by piece.

    Args:
        schema: of the tool's parameters.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self._root: Schema = schema or {}
        self._open: list[_Container] = []
        self._text: list[str] = []  # of the string that is being read, if it is a key or held back
        self._in_string = False
        self._is_escaped = False
        self._is_held = False  # whether that string may have to be undone, so that it is not given out before its end

    def feed(self, piece: str) -> str:
        """What can be given out of the text so far, beside what was."""
        return "".join(self._character(letter) for letter in piece)

    def end(self) -> str:
        """What was held back, when the text has ended."""
        held = "".join(self._text) if self._is_held else ""
        self._text.clear()
        return held

    def _character(self, letter: str) -> str:
        if self._in_string:
            return self._in_text(letter)
        match letter:
            case '"':
                self._in_string, self._text = True, [letter]
                self._is_held = not self._expects_key and _is_structure(_types(self._wanted(), self._root))
                return "" if self._is_held else letter
            case "{" | "[":
                self._open.append(_Container(self._wanted(), letter == "{", expects_key=letter == "{"))
            case "}" | "]" if self._open:
                self._open.pop()
            case "," if self._open:
                self._open[-1].expects_key = self._open[-1].is_object
            case ":" if self._open:
                self._open[-1].expects_key = False
            case _:
                pass
        return letter

    def _in_text(self, letter: str) -> str:
        if self._is_held or self._expects_key:
            self._text.append(letter)
        if self._is_escaped:
            self._is_escaped = False
        elif letter == "\\":
            self._is_escaped = True
        elif letter == '"':
            return self._string_ended(letter)
        return "" if self._is_held else letter

    def _string_ended(self, letter: str) -> str:
        text, self._in_string = "".join(self._text), False
        self._text.clear()
        if self._expects_key:
            self._open[-1].key = _decoded(text)
            return letter
        if not self._is_held:
            return letter
        self._is_held = False
        return undone(text, self._wanted(), self._root)

    @property
    def _expects_key(self) -> bool:
        return bool(self._open) and self._open[-1].expects_key

    def _wanted(self) -> Schema:
        """The schema of the value that begins here."""
        return self._open[-1].schema_of_value(self._root) if self._open else _resolved(self._root, self._root)


def undone(text: str, schema: Schema, root: Schema) -> str:
    """A JSON string, or the object or array that it holds if that is what the schema wants."""
    inner = _decoded(text)
    try:
        value = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return text
    kind = next((name for name, type_ in KINDS.items() if isinstance(value, type_)), "")
    if kind not in _types(schema, root):
        return text
    arguments = Arguments({**_option(schema, kind, root), **{name: root[name] for name in DEFINITIONS if name in root}})
    return arguments.feed(inner) + arguments.end()


def _option(schema: Schema, kind: str, root: Schema) -> Schema:
    """Of a schema with options the one that is of this type."""
    schema = _resolved(schema, root)
    options = schema.get("anyOf") or schema.get("oneOf") or []
    found = (_resolved(option, root) for option in options if kind in _types(option, root))
    return schema if "type" in schema else next(found, schema)


def _is_structure(types: set[str]) -> bool:
    """Whether these types are an object or a list, and no text."""
    return bool(types & {"object", "array"}) and not types - {"object", "array", "null"}


def _types(schema: Schema, root: Schema, depth: int = 0) -> set[str]:
    """The types that a schema allows; none if it does not say so of all of it."""
    schema = _resolved(schema, root)
    kind = schema.get("type")
    if schema.keys() & {"allOf", "not", "if", "enum", "const"}:
        return set()
    if isinstance(kind, list):
        return {str(one) for one in kind}
    if isinstance(kind, str):
        return {kind}
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options and depth < DEEPEST:
        found = [_types(option, root, depth + 1) if isinstance(option, Mapping) else set() for option in options]
        return set().union(*found) if all(found) else set()
    return set()


def _resolved(schema: Any, root: Schema) -> Schema:
    """A schema without a reference at its top, such as one to itself that could not be inlined."""
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
