"""Leaves out of a schema what engines make no grammar of, and refuse.

Pure. Seen with vLLM 0.32 and xgrammar: the whole request ends with status 400, for types as common as `set[str]`,
`HttpUrl` and `Path`.
"""

from collections.abc import Mapping
from typing import Any

from ovhcloud_ai_endpoints._chat.schema import LISTED, NAMED, NESTED

NOT_FOLLOWED = frozenset({"multipleOf", "uniqueItems", "contains", "minContains", "maxContains"})
BOUNDS = frozenset({"minLength", "maxLength"})
# fmt: off
FORMATS = frozenset({
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "relative-json-pointer",
    "time", "uri", "uri-reference", "uri-template", "uuid",
})
# fmt: on


def for_grammar(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema, somewhat looser, for objects that are validated when they arrive. The input is not modified."""
    left_out = set(NOT_FOLLOWED)
    if isinstance(schema.get("format"), str) and schema["format"] not in FORMATS:
        left_out.add("format")
    if {"pattern", "format"} & (schema.keys() - left_out):
        left_out |= BOUNDS
    if {"properties", "patternProperties"} & schema.keys():
        left_out.add("propertyNames")
    return {name: _value(name, value) for name, value in schema.items() if name not in left_out}


def _value(name: str, value: Any) -> Any:
    match value:
        case Mapping() if name in NAMED:
            return {key: _inner(one) for key, one in value.items()}
        case list() if name in LISTED or name in NESTED:
            return [_inner(one) for one in value]
        case Mapping() if name in NESTED:
            return for_grammar(value)
        case _:
            return value


def _inner(schema: Any) -> Any:
    return for_grammar(schema) if isinstance(schema, Mapping) else schema  # else it is true or false
