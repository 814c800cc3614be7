r"""Arguments of a tool call as they come; objects and lists that a model has encoded twice become such again.

Pure. Some models write `{"place": "{\"city\": \"Rome\"}"}` where the schema says that `place` is an object. That is
undone where the schema says object or array and nothing that a text could be, and left as it is anywhere else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(slots=True)
class _Container:
    """An object or array that is open."""

    schema: Schema
    is_object: bool
    key: str = ""
    expects_key: bool = False

    def schema_of_value(self, root: Schema) -> Schema:
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
        self._text = ""  # of the string that is being read
        self._in_string = False
        self._is_escaped = False
        self._is_held = False  # whether that string may have to be undone, so that it is not given out before its end

    def feed(self, piece: str) -> str:
        """What can be given out of the text so far, beside what was."""
        return "".join(self._character(letter) for letter in piece)

    def end(self) -> str:
        """What was held back, when the text has ended."""
        held, self._text = self._text if self._is_held else "", ""
        return held

    def _character(self, letter: str) -> str:
        if self._in_string:
            return self._in_text(letter)
        match letter:
            case '"':
                self._in_string, self._text = True, letter
                self._is_held = not self._expects_key and _is_structure(self._wanted())
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
        self._text += letter
        if self._is_escaped:
            self._is_escaped = False
        elif letter == "\\":
            self._is_escaped = True
        elif letter == '"':
            return self._string_ended(letter)
        return "" if self._is_held else letter

    def _string_ended(self, letter: str) -> str:
        text, self._text, self._in_string = self._text, "", False
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
    kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else ""
    if kind not in _types(schema):
        return text
    arguments = Arguments({**schema, **{name: root[name] for name in ("$defs", "definitions") if name in root}})
    return arguments.feed(inner) + arguments.end()


def _is_structure(schema: Schema) -> bool:
    """Whether a schema wants an object or a list, and no text."""
    types = _types(schema)
    return bool(types & {"object", "array"}) and "string" not in types and not types - {"object", "array", "null"}


def _types(schema: Schema) -> set[str]:
    """The types that a schema allows, as far as it says so."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return {str(one) for one in kind}
    if isinstance(kind, str):
        return {kind}
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options:
        found = [_types(option) if isinstance(option, Mapping) else set() for option in options]
        return set().union(*found) if all(found) else set()
    return {"object"} if "properties" in schema else set()


def _resolved(schema: Any, root: Schema) -> Schema:
    """A schema without a reference at its top, such as one to itself that could not be inlined."""
    match schema:
        case {"$ref": str(reference)}:
            home, _, name = reference.removeprefix("#/").partition("/")
            definitions = root.get(home)
            found = definitions.get(name) if isinstance(definitions, Mapping) else None
            return found if isinstance(found, Mapping) and "$ref" not in found else {}
        case Mapping():
            return schema
        case _:
            return {}


def _decoded(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return ""
