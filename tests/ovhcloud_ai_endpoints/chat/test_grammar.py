from typing import Any

import pytest

from ovhcloud_ai_endpoints._chat.grammar import for_grammar
from ovhcloud_ai_endpoints.testing._grammars import refused_by_grammar

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # by xgrammar in vLLM 0.32; and what is sent
    "set": ({"type": "array", "items": {}, "uniqueItems": True}, {"type": "array", "items": {}}),
    "URL": (
        {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
        {"type": "string", "format": "uri"},
    ),
    "path": ({"type": "string", "format": "path"}, {"type": "string"}),
    "multiple": ({"type": "integer", "multipleOf": 3, "minimum": 1}, {"type": "integer", "minimum": 1}),
    "contained": ({"type": "array", "contains": {"const": 1}, "minContains": 2}, {"type": "array"}),
    "pattern with a length": ({"type": "string", "pattern": "a+", "maxLength": 3}, {"type": "string", "pattern": "a+"}),
}


def within(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"anyOf": [schema, {"type": "null"}]}}}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_grammar_can_follow_is_left_out_at_any_depth(name: str) -> None:
    asked, sent = REFUSED[name]

    assert refused_by_grammar(within(asked)) is not None
    assert for_grammar(within(asked)) == within(sent)
    assert refused_by_grammar(within(sent)) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 2},
        {"type": "string", "format": "date-time"},
        {"type": "object", "properties": {"uniqueItems": {"type": "boolean"}, "format": {"type": "string"}}},
        {"enum": [{"multipleOf": 3}], "default": {"format": "path"}},
    ],
)
def test_all_else_stays(schema: dict[str, Any]) -> None:
    assert for_grammar(schema) == schema


def test_schema_of_the_caller_is_left_as_it_is() -> None:
    schema = within(REFUSED["set"][0])
    for_grammar(schema)

    assert schema == within(REFUSED["set"][0])
