from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, HttpUrl, IPvAnyAddress, SecretStr

from ovhcloud_ai_endpoints._chat.grammar import for_grammar
from ovhcloud_ai_endpoints._chat.schema import readable
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


class Kinds(BaseModel):
    """Types that people use, of which engines would refuse some."""

    tags: set[str]
    frozen: frozenset[int]
    url: HttpUrl
    folder: Path
    secret: SecretStr
    raw: bytes
    price: Decimal
    step: Annotated[int, Field(multiple_of=5)]
    code: Annotated[str, Field(pattern="^[A-Z]+$", max_length=3)]
    by_code: dict[Annotated[str, Field(pattern="^a", max_length=3)], int]
    by_name: dict[Annotated[str, Field(max_length=3)], int]
    when: datetime
    span: timedelta
    id: UUID
    address: IPvAnyAddress
    either: int | str | None
    pair: tuple[int, str]
    kind: Literal["a", "b"]


def test_schema_of_common_types_is_followed() -> None:
    schema = readable(Kinds.model_json_schema())

    assert refused_by_grammar(schema) is not None
    assert refused_by_grammar(for_grammar(schema)) is None


def test_keyword_that_is_not_known_is_no_schema() -> None:
    schema = {"type": "object", "dependentRequired": {"format": ["a"]}, "x-meta": {"format": ["csv"], "multipleOf": 2}}

    assert for_grammar(schema) == schema
