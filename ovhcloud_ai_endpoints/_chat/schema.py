"""Rewrites JSON schemas into a form that open models and the gateway can read.

Pure. Templates of open models print a tool's schema unchanged, or walk its `properties`, and never follow a `$ref`; the
model does not see what they leave out.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from urllib.parse import unquote

MAX_INLINED = 20_000  # keywords, values and lines that are copied in place of references
LONGEST_INDEX = 6  # digits of an index in a pointer
MAX_NODES = 2_000  # with references inlined; a larger schema keeps them, so that it can't explode
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
LISTED = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})

NESTED = frozenset(
    {
        "items",
        "additionalProperties",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)

ROOT = "#"
DEFINITIONS = ("$defs", "definitions")
BESIDE = frozenset({"description", "default", "title", "examples", "deprecated"})  # keywords that restrict nothing
COMBINING = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "$ref"})


def readable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema for a model to read: local references inlined, `X or null` as one type, no `title` keywords.

    A reference that leads back to itself stays, as do all references in a schema that would become too large. A schema
    that is nested too deeply stays as it is. The input is not modified.
    """
    for inlines in (True, False):
        try:
            return _Reading(schema, inlines=inlines).root()
        except (_TooLargeError, RecursionError):
            continue
    return dict(schema)


class _TooLargeError(Exception):
    pass


class _Reading:
    """Rewrites one schema."""

    def __init__(self, schema: Mapping[str, Any], *, inlines: bool = True) -> None:
        self._schema = schema
        self._inlines = inlines
        self._kept: dict[str, str] = {ROOT: ROOT}  # references that stay, and as what
        self._open: list[str] = [ROOT]
        self._nodes = 0
        self._inlined = 0  # about how much was copied in place of references

    def root(self) -> dict[str, Any]:
        if not self._inlines:
            return dict(self._node(self._schema))
        root = {name: value for name, value in self._schema.items() if name not in DEFINITIONS}
        found = dict(self._node(root))
        definitions: dict[str, dict[str, Any]] = {}
        done = {ROOT}
        while waiting := sorted(self._kept.keys() - done):
            for reference in waiting:
                done.add(reference)
                home, _, name = self._kept[reference].removeprefix("#/").partition("/")
                self._open.append(reference)
                definitions.setdefault(home, {})[_key(name)] = self._node(definition(self._schema, reference) or {})
                self._open.pop()
        if not _references(found | definitions) <= set(
            self._kept.values()
        ):  # some may stand where no schema is expected
            for home in DEFINITIONS:
                if isinstance(self._schema.get(home), Mapping):
                    definitions[home] = {**self._schema[home], **definitions.get(home, {})}
        return found | definitions

    def _kept_as(self, reference: str) -> str:
        """The reference to write instead: to a definition, since the place that it pointed to may be rewritten."""
        *path, name = reference.split("/")
        if path not in (["#", home] for home in DEFINITIONS):
            own = {*(self._schema.get("$defs") or ()), *(kept.rpartition("/")[2] for kept in self._kept.values())}
            plain = re.sub(r"\W", "_", name)
            name = next(one for number in count(1) if (one := plain if number == 1 else f"{plain}_{number}") not in own)
            reference = f"#/$defs/{name}"
        return reference

    def _node(self, node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        self._nodes += 1
        if self._inlines and self._nodes > MAX_NODES:
            raise _TooLargeError
        reference = str(node.get("$ref", ""))
        target = definition(self._schema, reference) if self._inlines else None
        if target is not None:
            if reference not in self._open:
                rest = {name: value for name, value in node.items() if name != "$ref"}
                self._open.append(reference)
                inlined = self._node(_restricted(target, rest))
                self._open.pop()
                return inlined
            if reference not in self._kept:
                self._kept[reference] = self._kept_as(reference)
            node = {**node, "$ref": self._kept[reference]}
        return _as_one_type(
            {name: self._value(name, value) for name, value in node.items() if not _says_nothing(name, value)}
        )

    def _value(self, name: str, value: Any) -> Any:
        if name in NAMED and isinstance(value, Mapping):
            return {key: self._node(inner) for key, inner in value.items()}
        if len(self._open) > 1:
            self._inlined += _weight(value)
            if self._inlines and self._inlined > MAX_INLINED:
                raise _TooLargeError
        if name in LISTED and isinstance(value, Sequence) and not isinstance(value, str):
            return [self._node(inner) for inner in value]
        if name in NESTED:
            return [self._node(inner) for inner in value] if isinstance(value, list) else self._node(value)
        return value


def _weight(value: Any) -> int:
    """How much a keyword adds to a schema: itself, its values, and the lines of its text."""
    return 1 + (len(value) if isinstance(value, list) else len(value) // 50 if isinstance(value, str) else 0)


def _restricted(target: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """The target of a reference, combined with the keywords beside the reference."""
    if set(rest) <= BESIDE:
        return {**target, **rest}
    all_of = rest.get("allOf")
    return {**rest, "allOf": [target, *(all_of if isinstance(all_of, list) else [])]}


def definition(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """What a local reference points to, by its JSON pointer (RFC 6901); None if that is no schema."""
    if not reference.startswith(ROOT) or (reference != ROOT and reference[1] != "/"):
        return None
    found: Any = schema
    for key in map(_key, reference.split("/")[1:]):
        if isinstance(found, list) and key.isdecimal() and len(key) < LONGEST_INDEX and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping):
            found = found.get(key)
        else:
            return None
    is_schema = isinstance(found, Mapping) and found.get("$ref") != reference
    return found if is_schema else None


def _key(token: str) -> str:
    """The key that a token of a JSON pointer stands for."""
    return unquote(token).replace("~1", "/").replace("~0", "~")


def _references(node: Any) -> set[str]:
    """All local references anywhere in a schema."""
    if isinstance(node, Mapping):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) and node["$ref"].startswith("#") else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


def _says_nothing(name: str, value: Any) -> bool:
    """Whether a keyword tells a model nothing: a title, as pydantic adds, or OpenAPI's `discriminator`."""
    return (name == "title" and isinstance(value, str)) or (name == "discriminator" and isinstance(value, Mapping))


def _as_one_type(node: dict[str, Any]) -> dict[str, Any]:
    """Unwraps a single option, and turns `X or null` into X with a nullable type, since templates skip options."""
    match node.get("allOf"):
        case [{} as only] if not set(only) & (set(node) - {"allOf", *BESIDE}):
            node = {**only, **{name: value for name, value in node.items() if name != "allOf"}}
    match node.get("anyOf"):
        case [{"type": str(kind)} as option, {"type": "null", **rest}] | [
            {"type": "null", **rest},
            {"type": str(kind)} as option,
        ] if not rest and kind != "null" and not set(option) & (COMBINING | (set(node) - {"anyOf", *BESIDE})):
            pass
        case _:
            return node
    others = {name: value for name, value in node.items() if name != "anyOf"}
    merged = {**option, **others, "type": [kind, "null"]}
    if isinstance(option.get("enum"), list) and None not in option["enum"]:
        merged["enum"] = [*option["enum"], None]
    if "const" in option:
        merged["enum"] = [merged.pop("const"), None]
    return merged
