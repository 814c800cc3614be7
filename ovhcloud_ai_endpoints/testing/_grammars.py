"""What an engine that makes grammars of schemas refuses: vLLM 0.32 with xgrammar, and with no other to fall back on.

Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

REFUSAL = "The provided JSON schema contains features not supported by xgrammar."
TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
NO_SCHEMAS = frozenset({"const", "enum", "default", "examples", "required", "type"})
OF_ARRAYS = frozenset({"uniqueItems", "contains", "minContains", "maxContains"})
# fmt: off
KNOWN_FORMATS = frozenset({
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "relative-json-pointer",
    "time", "uri", "uri-reference", "uri-template", "uuid",
})
# fmt: on


def refused_by_grammar(schema: Mapping[str, Any]) -> str | None:
    """What the engine says of a schema that it makes no grammar of; None if it makes one."""
    for node in _nodes(schema):
        types = _types(node)
        if unknown := types - TYPES:
            return f'Failed to transform json schema into a grammar: Unsupported type "{min(unknown)}"'
        if _is_beyond_grammars(node, types):
            return REFUSAL
    return None


def _is_beyond_grammars(node: Mapping[str, Any], types: frozenset[str]) -> bool:
    has_names = isinstance(node.get("patternProperties"), Mapping)
    return (
        (bool(types & {"integer", "number"}) and "multipleOf" in node)
        or ("array" in types and not OF_ARRAYS.isdisjoint(node))
        or ("string" in types and "format" in node and node["format"] not in KNOWN_FORMATS)
        or ("string" in types and _is_shaped_and_bounded(node))
        or ("object" in types and has_names and ("properties" in node or len(node["patternProperties"]) > 1))
        or (
            "object" in types
            and "propertyNames" in node
            and (has_names or "properties" in node or _is_shaped_and_bounded(node["propertyNames"]))
        )
        or (isinstance(node.get("allOf"), list) and len(node["allOf"]) > 1)
    )


def _is_shaped_and_bounded(node: Any) -> bool:
    return isinstance(node, Mapping) and bool(
        {"pattern", "format"} & set(node) and {"minLength", "maxLength"} & set(node)
    )


def _types(node: Mapping[str, Any]) -> frozenset[str]:
    kind = node.get("type")
    return frozenset(one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str))


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """All schemas in a schema; a property that has the name of a keyword is none."""
    if isinstance(node, list):
        for inner in node:
            yield from _nodes(inner)
    elif isinstance(node, Mapping):
        yield node
        for name, inner in node.items():
            if name in NAMED and isinstance(inner, Mapping):
                for one in inner.values():
                    yield from _nodes(one)
            elif name not in NO_SCHEMAS:
                yield from _nodes(inner)
