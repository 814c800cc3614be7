"""Leaves out of a schema what engines make no grammar of, and refuse.

Pure. Seen with vLLM 0.32 and xgrammar: the whole request ends with status 400, for types as common as `set[str]`,
`HttpUrl` and `Path`.
"""

from collections.abc import Mapping
from typing import Any

from ovhcloud_ai_endpoints._chat.schema import NAMED

NOT_FOLLOWED = frozenset({"multipleOf", "uniqueItems", "contains", "minContains", "maxContains"})
BOUNDS = frozenset({"minLength", "maxLength"})
VALUES = frozenset({"const", "enum", "default", "examples"})  # may look like schemas, and are none
# fmt: off
FORMATS = frozenset({
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "relative-json-pointer",
    "time", "uri", "uri-reference", "uri-template", "uuid",
})
# fmt: on


def for_grammar(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema, somewhat looser, for objects that are validated when they arrive. The input is not modified."""
    found: dict[str, Any] = _looser(schema)
    return found


def _looser(node: Any) -> Any:
    if isinstance(node, list):
        return [_looser(inner) for inner in node]
    if not isinstance(node, Mapping):
        return node
    left_out = set(NOT_FOLLOWED)
    if node.get("format") not in FORMATS:
        left_out.add("format")
    if {"pattern", "format"} & (node.keys() - left_out):
        left_out |= BOUNDS
    return {name: _value(name, value) for name, value in node.items() if name not in left_out}


def _value(name: str, value: Any) -> Any:
    if name in VALUES:
        return value
    if name in NAMED and isinstance(value, Mapping):
        return {key: _looser(inner) for key, inner in value.items()}
    return _looser(value)
