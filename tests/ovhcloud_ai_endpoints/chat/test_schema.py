import copy
import json
from enum import Enum
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ovhcloud_ai_endpoints._chat.schema import readable


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where somebody lives."""

    city: str
    title: str = Field(description="Mr or Mrs")


class Person(BaseModel):
    """A person."""

    home: Address = Field(description="the first home")
    work: Address | None = None
    colour: Colour | None = None
    age: Optional[int] = Field(default=None, description="in years", ge=0)  # noqa: UP045 - as people write it
    kind: Literal["a"] | None = None
    tags: list[Address] = []
    either: int | str | None = None


class Node(BaseModel):
    """A tree."""

    name: str
    children: list["Node"] = []


def references(schema: Any) -> list[str]:
    return [line.split('"')[3] for line in json.dumps(schema, indent=1).splitlines() if '"$ref"' in line]


def test_references_are_inlined() -> None:
    schema = readable(Person.model_json_schema())

    assert references(schema) == []
    assert "$defs" not in schema
    assert schema["properties"]["tags"]["items"]["properties"]["city"] == {"type": "string"}


def test_description_beside_a_reference_is_kept() -> None:
    assert readable(Person.model_json_schema())["properties"]["home"]["description"] == "the first home"


def test_titles_are_dropped_but_not_the_property_of_that_name() -> None:
    schema = readable(Person.model_json_schema())

    assert "title" not in schema
    assert schema["properties"]["home"]["properties"]["title"] == {"type": "string", "description": "Mr or Mrs"}
    assert "title" in schema["properties"]["home"]["required"]


def test_value_or_null_is_one_type() -> None:
    properties = readable(Person.model_json_schema())["properties"]

    assert properties["age"] == {"type": ["integer", "null"], "minimum": 0, "default": None, "description": "in years"}
    assert properties["work"]["type"] == ["object", "null"]
    assert properties["work"]["properties"]["city"] == {"type": "string"}
    assert properties["colour"] == {"enum": ["red", "blue", None], "type": ["string", "null"], "default": None}
    assert properties["kind"] == {"enum": ["a", None], "type": ["string", "null"], "default": None}
    assert [option["type"] for option in properties["either"]["anyOf"]] == ["integer", "string", "null"]


def test_reference_to_itself_stays_one() -> None:
    schema = readable(Node.model_json_schema())

    assert schema["properties"]["name"] == {"type": "string"}
    assert set(references(schema)) == {"#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["name"] == {"type": "string"}


def test_schema_that_would_explode_keeps_its_references() -> None:
    definitions: dict[str, Any] = {"d0": {"type": "string", "title": "T"}}
    for level in range(1, 20):
        inner = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"type": "object", "properties": {"a": inner, "b": inner}}
    schema = {"$defs": definitions, "type": "object", "properties": {"x": {"$ref": "#/$defs/d19"}}}

    found = readable(schema)

    assert len(json.dumps(found)) < 2 * len(json.dumps(schema))
    assert found["properties"]["x"] == {"$ref": "#/$defs/d19"}
    assert found["$defs"]["d0"] == {"type": "string"}


@pytest.mark.parametrize("reference", ["https://example.com/a.json", "#/$defs/missing", "#", "#/properties/a", 7])
def test_other_references_are_left_alone(reference: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": reference}}}

    assert readable(schema) == schema


def test_what_stands_beside_a_reference_and_restricts_it_stays() -> None:
    schema = {
        "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
        "properties": {"x": {"$ref": "#/$defs/A", "properties": {"b": {"type": "string"}}, "required": ["b"]}},
    }

    found = readable(schema)["properties"]["x"]

    assert found["allOf"] == [schema["$defs"]["A"]]
    assert found["required"] == ["b"]


def test_value_or_null_stays_where_the_value_has_options_of_its_own() -> None:
    option = {"type": "object", "oneOf": [{"type": "object"}]}
    schema = {"anyOf": [option, {"type": "null"}]}

    assert readable(schema) == schema


def test_discriminator_that_refers_to_what_was_inlined_is_left_out() -> None:
    schema = {"$defs": {"A": {"type": "object"}}, "discriminator": {"mapping": {"a": "#/$defs/A"}, "propertyName": "t"}}

    assert readable(schema) == {}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    "reference",
    [
        "#/definitions/A/properties/x",
        "#/$defs/p~1q",
        "#/$defs/t~0u",
        "#/$defs/a%20b",
        "#/properties/b",
        "#/properties/c/anyOf/1",
        "#/properties/d/items",
    ],
)
def test_any_local_pointer_is_inlined(reference: str) -> None:
    properties = {"b": TEXT, "c": {"anyOf": [{"type": "integer"}, TEXT]}, "d": {"type": "array", "items": TEXT}}
    schema = {
        "properties": {**properties, "a": {"$ref": reference, "description": "beside"}},
        "definitions": {"A": {"properties": {"x": TEXT}}},
        "$defs": {"p/q": TEXT, "t~u": TEXT, "a b": TEXT},
    }

    assert readable(schema) == {"properties": {**properties, "a": {**TEXT, "description": "beside"}}}


@pytest.mark.parametrize(
    "reference",
    ["#/properties/c/anyOf/7", "#/properties/c/anyOf/x", "#/type/x", "#/required/0", "#name", "#/properties/none"],
)
def test_pointer_to_no_schema_is_left_alone(reference: str) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": reference}, "c": {"anyOf": [TEXT, {"type": "null"}, {"type": "integer"}]}},
        "required": ["a"],
    }

    assert readable(schema) == schema


def test_recursion_through_any_pointer_stays_one() -> None:
    node = {"type": "object", "title": "T", "properties": {"next": {"$ref": "#/properties/node"}}}
    plain = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node_2"}}}

    found = readable({"properties": {"node": node, "x": {"$ref": "#/$defs/node"}}, "$defs": {"node": TEXT}})

    assert found == {
        "properties": {"node": {**plain, "properties": {"next": plain}}, "x": TEXT},
        "$defs": {"node_2": plain},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a"], "properties": {"a": {"$ref": "#/required/" + "9" * 5000}}},
        {"$defs": None, "properties": {"a": {"items": {"$ref": "#/properties/a"}}}},
        {"$defs": [], "properties": {"a": {"$ref": "#/$defs/b"}}},
    ],
)
def test_odd_schemas_go_through(schema: dict[str, Any]) -> None:
    json.dumps(readable(schema))


def test_large_definition_is_not_copied_many_times() -> None:
    values = [f"value {number}" for number in range(600)]
    properties = {f"p{number}": {"$ref": "#/$defs/E"} for number in range(900)}
    schema = {"$defs": {"E": {"enum": values}}, "properties": properties}

    assert len(json.dumps(readable(schema))) < 2 * len(json.dumps(schema))


def test_recursion_through_the_root_stays_one() -> None:
    schema = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}

    assert readable(schema) == schema


def test_recursion_through_an_escaped_name_stays_one() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/a~1b"}}}
    schema = {"properties": {"x": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": node}}

    assert readable(schema) == {"properties": {"x": node}, "$defs": {"a/b": node}}


@pytest.mark.parametrize("key", ["properties", "items", "anyOf"])
def test_schema_that_is_nested_too_deeply_stays_as_it_is(key: str) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        schema = {key: {"x": schema} if key == "properties" else [schema] if key == "anyOf" else schema}

    assert readable(schema) == schema


def test_what_refers_to_itself_stays_beside_what_is_referred_into() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/Node"}}}
    other = {"A": {"properties": {"x": {"type": "string"}}}}
    into = [{"$ref": "#/definitions/A/properties/x"}]
    schema = {
        "properties": {"a": {"$ref": "#/$defs/Node"}, "b": {"enum": into}},
        "$defs": {"Node": node},
        "definitions": other,
    }

    assert readable(schema) == {**schema, "properties": {"a": node, "b": {"enum": into}}}


def test_single_option_is_what_it_is() -> None:
    schema = {
        "$defs": {"A": {"type": "object"}},
        "properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "d"}},
    }

    assert readable(schema) == {"properties": {"a": {"type": "object", "description": "d"}}}


def test_reference_beside_a_restriction_is_one_of_all() -> None:
    own = {"required": ["b"]}
    schema = {
        "definitions": {"A": {"type": "object"}},
        "properties": {"x": {"$ref": "#/definitions/A", "allOf": [own], "minProperties": 1}},
    }

    assert readable(schema) == {"properties": {"x": {"allOf": [{"type": "object"}, own], "minProperties": 1}}}


@pytest.mark.parametrize(
    "beside", [{}, {"description": "d"}, dict.fromkeys(["description", "default", "examples", "deprecated"], 1)]
)
def test_what_restricts_nothing_stands_beside_what_was_inlined(beside: dict[str, Any]) -> None:
    schema = {"$defs": {"A": {"type": "object"}}, "properties": {"x": {"$ref": "#/$defs/A", **beside}}}

    assert readable(schema) == {"properties": {"x": {"type": "object", **beside}}}


@pytest.mark.parametrize(
    "options", [[{"type": "string"}, {"type": "null"}], [{"type": "null"}, {"type": "string"}]], ids=["last", "first"]
)
def test_null_may_be_the_first_or_the_last_option(options: list[Any]) -> None:
    assert readable({"anyOf": options, "description": "d"}) == {"type": ["string", "null"], "description": "d"}


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "null"}, {"type": "null"}]},
        {"anyOf": [{"type": "null", "x": 1}, {"type": "string"}]},
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "minLength": 2},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"allOf": [{"minLength": 1}], "minLength": 2},
    ],
)
def test_options_that_can_not_be_one_type_stay(schema: dict[str, Any]) -> None:
    assert readable(schema) == schema


def test_single_option_may_have_options_of_its_own() -> None:
    inner = {"allOf": [{"minLength": 1}, {"maxLength": 9}]}

    assert readable({"allOf": [inner], "description": "d"}) == {**inner, "description": "d"}


def test_lists_of_schemas_are_read_too() -> None:
    schema = {
        "$defs": {"A": {"type": "object"}},
        "items": [{"$ref": "#/$defs/A"}, {"title": "t"}],
        "not": {"$ref": "#/$defs/A"},
    }

    assert readable(schema) == {"items": [{"type": "object"}, {}], "not": {"type": "object"}}


def test_name_of_a_definition_may_hold_what_it_likes() -> None:
    node = {"properties": {"next": {"$ref": "#/definitions/Node[int]"}}}
    schema = {"definitions": {"Node[int]": node}, "properties": {"a": {"$ref": "#/definitions/Node[int]"}}}

    assert readable(schema) == {"definitions": {"Node[int]": node}, "properties": {"a": node}}


def test_values_that_look_like_schemas_are_left_alone() -> None:
    schema = {
        "type": "object",
        "default": {"title": "x", "anyOf": 1},
        "enum": [{"title": "x"}],
        "const": {"title": "y"},
    }

    assert readable(schema) == schema


@pytest.mark.parametrize("kind", [Person, Node, Address])
def test_what_was_given_stays(kind: type[BaseModel]) -> None:
    schema = kind.model_json_schema()
    before = copy.deepcopy(schema)

    readable(schema)

    assert schema == before


KEYS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "$ref", "$defs", "title", "enum", "const", "required", "allOf", "x"]
) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)
REFERENCES = st.sampled_from(["#/$defs/a", "#/$defs/b", "#/$defs/", "#", ""])


@given(st.dictionaries(KEYS, JSON, max_size=5), st.dictionaries(st.sampled_from("ab"), JSON), REFERENCES)
def test_any_schema_goes_through(schema: dict[str, Any], definitions: dict[str, Any], reference: str) -> None:
    whole = {**schema, "$defs": definitions, "items": {**schema, "$ref": reference}}
    before = copy.deepcopy(whole)

    found = readable(whole)

    json.dumps(found)
    assert whole == before
