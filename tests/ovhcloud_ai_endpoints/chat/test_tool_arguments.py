import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints._chat.tool_arguments import MOST_OPTIONS, Arguments

PLACE = {"type": "object", "properties": {"city": {"type": "string"}, "near": {"$ref": "#/$defs/Place"}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "place": PLACE,
        "maybe": {"type": ["object", "null"]},
        "tags": {"type": "array", "items": {"type": "object"}},
        "options": {"anyOf": [{"type": "array"}, {"type": "null"}]},
        "text": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "object"}, {"type": "string"}]},
        "anything": {},
    },
    "additionalProperties": {"type": "array"},
    "$defs": {"Place": PLACE, "Node": {"type": "object", "properties": {"name": {"type": "string"}}}},
}
ROME = {"city": "Rome"}


def read(text: str, schema: dict[str, Any] = SCHEMA, size: int = 1) -> str:
    arguments = Arguments(schema)
    pieces = [arguments.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join(pieces) + arguments.end()


@pytest.mark.parametrize("size", [1, 3, 999])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("place", ROME),
        ("place", {"city": 'a "quoted" \\ one\n'}),
        ("maybe", ROME),
        ("tags", [ROME]),
        ("options", [1, "x"]),
        ("more", [1]),
        ("maybe", None),
        ("next", {"name": "a"}),
    ],
)
def test_what_is_encoded_twice_is_undone(name: str, value: Any, size: int) -> None:
    text = json.dumps({"text": "before", name: json.dumps(value), "anything": 1})

    assert json.loads(read(text, size=size)) == {"text": "before", name: value, "anything": 1}


def test_it_is_undone_at_any_depth() -> None:
    inner = json.dumps({"city": "Rome", "near": json.dumps({"city": "Ostia"})})

    assert json.loads(read(json.dumps({"place": inner}))) == {"place": {"city": "Rome", "near": {"city": "Ostia"}}}
    assert json.loads(read(json.dumps({"tags": [json.dumps(ROME), ROME]}))) == {"tags": [ROME, ROME]}


def test_it_is_undone_behind_what_has_ended() -> None:
    wanted = {"place": {"city": "Rome"}, "tags": [{"a": [1]}], "maybe": ROME, "": [2], "more": [1]}
    written = {**wanted, "maybe": json.dumps(ROME), "": "[2]", "more": "[1]"}

    assert json.loads(read(json.dumps(written))) == wanted
    assert json.loads(read(json.dumps({"": "[2]"}))) == {"": [2]}


@pytest.mark.parametrize("name", ["anyOf", "oneOf"])
def test_it_is_undone_within_the_option_that_it_is(name: str) -> None:
    options = [{"type": "array", "items": {"type": "object"}}, {"$ref": "#/$defs/Node"}, {"type": "null"}]
    node = {"type": "object", "properties": {"next": {"type": "object"}}}
    schema = {"properties": {"a": {name: options}}, "$defs": {"Node": node}}

    for value, twice in (({"next": {"x": 1}}, {"next": '{"x": 1}'}), ([{"x": 1}], ['{"x": 1}'])):
        assert json.loads(read(json.dumps({"a": json.dumps(twice)}), schema)) == {"a": value}


def test_type_counts_before_options() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "object"}}, "anyOf": [{"type": "object"}]}

    found = read(json.dumps({"a": json.dumps({"b": "{}"})}), {"properties": {"a": inner}})

    assert json.loads(found) == {"a": {"b": {}}}


@pytest.mark.parametrize(("count", "found"), [(MOST_OPTIONS - 1, {"a": {}}), (MOST_OPTIONS, {"a": "{}"})])
@pytest.mark.parametrize("nested", [True, False])
def test_so_many_options_are_looked_into(count: int, found: Any, nested: bool) -> None:
    schema: dict[str, Any] = {"type": "object"}
    if nested:
        for _ in range(count):
            schema = {"anyOf": [schema]}
    else:
        schema = {"anyOf": [schema] * count}

    assert json.loads(read('{"a": "{}"}', {"properties": {"a": schema}})) == found


def test_options_that_lead_back_to_themselves_end() -> None:
    schema = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 8}}, "properties": {"a": {"$ref": "#/$defs/A"}}}

    assert read('{"a": "{}"}', schema) == '{"a": "{}"}'


@pytest.mark.parametrize(
    "text",
    ['{"place": "{\\"city\\": \\"a\\nb\\"}"}', '{"place": "{\\"city\\":\n\\"a\\\\nb\\"}"}'],
    ids=["inner", "outer"],
)
def test_line_ends_may_be_written_as_they_are(text: str) -> None:
    assert json.loads(read(text), strict=False) == {"place": {"city": "a\nb"}}


@pytest.mark.parametrize("name", ["text", "anything", "either"])
def test_what_is_left_alone_is_not_held_back(name: str) -> None:
    text = f'{{"{name}": "{{'

    assert Arguments(SCHEMA).feed(text) == text


def test_the_whole_may_be_encoded_twice() -> None:
    assert json.loads(read(json.dumps(json.dumps({"place": ROME})))) == {"place": ROME}


@pytest.mark.parametrize(
    "value",
    [
        {"text": '{"city": "Rome"}'},
        {"either": '{"city": "Rome"}'},
        {"anything": '{"city": "Rome"}'},
        {"place": "Rome"},
        {"place": '["Rome"]'},
        {"place": '{"city": '},
        {"tags": '{"a": 1}'},
        {"place": {"place": "{}"}},
    ],
)
def test_anything_else_is_left_as_it_is(value: Any) -> None:
    text = json.dumps(value, indent=2)

    assert read(text) == text


@pytest.mark.parametrize(
    "schema",
    [
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": {"type": "object"}},
        {"properties": {"a": {"allOf": [{"type": "string"}], "anyOf": [{"type": "object"}]}}},
        {"properties": {"a": {"type": "object", "enum": ["{}"]}}},
        {"properties": {"a": {"type": "object", "const": "{}"}}},
        {"properties": {"a": {"type": "object", "not": {"type": "string"}}}},
        {"properties": {"a": {"type": "object", "if": {}}}},
        {"properties": {"a": {"anyOf": [{"type": "object"}, {}]}}},
        {"properties": {"a": {"anyOf": 5}}},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A", "type": "object"}}},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        {"properties": {"a": {"prefixItems": [{"type": "string"}], "items": {"type": "object"}}}},
    ],
)
def test_what_may_be_a_text_on_purpose_is_left_alone(schema: Any) -> None:
    for text in ('{"a": "{}"}', '{"a": ["{}"]}'):
        assert read(text, schema) == text


def test_long_text_takes_no_more_than_its_length() -> None:
    arguments, started = Arguments(SCHEMA), time.perf_counter()
    arguments.feed(json.dumps({"text": "x" * 400_000}))

    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}, {"properties": 5}, {"$ref": "#/$defs/a"}])
def test_schema_may_say_nothing(schema: Any) -> None:
    text = '{"a": "{}", "b": ["[]"]}'

    assert read(text, schema) == text


@pytest.mark.parametrize("text", ['{"place": "{\\"city\\": \\"Ro', '{"pla', '{"text": "a'])
def test_what_is_cut_is_neither_lost_nor_doubled(text: str) -> None:
    assert read(text) == text


def _written(values: list[str]) -> str:
    """An array, or an object with one key after the other, of JSON texts."""
    names = list(SCHEMA["properties"])
    inside = ", ".join(f'"{name}": {value}' for name, value in zip(names, values, strict=False))
    return f"[{', '.join(values)}]" if len(values) == 1 else f"{{{inside}}}"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(SCHEMA["properties"])), inner),
    max_leaves=8,
)


@given(VALUES, st.integers(1, 7))
def test_pieces_give_what_the_whole_gives(value: Any, size: int) -> None:
    text = json.dumps(value)

    assert read(text, size=size) == read(text, size=len(text))
    json.loads(read(text, size=size))


@given(st.text(alphabet='{}[]":,\\ab ', max_size=40), st.integers(1, 5))
def test_any_text_goes_through(text: str, size: int) -> None:
    assert read(text, size=size) == read(text, size=max(1, len(text)))


@given(
    st.recursive(st.just('"{}"') | st.just("1"), lambda inner: st.lists(inner, max_size=3).map(_written), max_leaves=6)
)
def test_what_was_json_is_json(text: str) -> None:
    json.loads(read(text))


def test_any_local_pointer_says_what_is_undone() -> None:
    address = {"type": "object", "properties": {"lines": {"type": "array", "items": {"$ref": "#/properties/billing"}}}}
    schema = {"type": "object", "properties": {"billing": address, "shipping": {"$ref": "#/properties/billing"}}}

    inner = json.dumps({"lines": json.dumps([{"lines": []}])})

    assert json.loads(read(json.dumps({"shipping": inner}), schema)) == {"shipping": {"lines": [{"lines": []}]}}


def test_reference_to_the_root_says_what_is_undone() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}}}

    inner = json.dumps({"child": json.dumps({"child": {}})})

    assert json.loads(read(json.dumps({"child": inner}), schema)) == {"child": {"child": {"child": {}}}}
