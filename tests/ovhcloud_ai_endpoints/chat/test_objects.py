import time

import pytest

from ovhcloud_ai_endpoints._catalogue.models import Model, bundled_models, model
from ovhcloud_ai_endpoints._chat.objects import best_method, read_json, texts_with_object


@pytest.mark.parametrize(
    "facts", [facts for facts in bundled_models() if facts.kind == "chat"], ids=lambda facts: facts.id
)
def test_each_chat_model_is_asked_in_a_way_that_it_is_known_for(facts: Model) -> None:
    assert getattr(facts, {"json_schema": "structured_output", "function_calling": "tool_calling"}[best_method(facts)])


def test_ways_that_the_catalogue_has_no_model_for() -> None:
    assert best_method(model("unknown")) == "json_schema"
    assert best_method(Model(id="m", kind="chat", tool_calling=True)) == "function_calling"
    with pytest.raises(
        ValueError, match=r"^Qwen3Guard-Gen-8B answers with text only\. Models that give objects: Qwen3\.8-27B, "
    ):
        best_method(model("Qwen3Guard-Gen-8B"))


@pytest.mark.parametrize(
    ("content", "arguments", "reasoning", "texts"),
    [
        ("", (), "", []),
        ("{}", ('{"a": 1}',), "{}", ["{}", '{"a": 1}']),
        ("see [1, {}] ok", (), "", ["see [1, {}] ok", "[1, {}]"]),
        ("```\n1\n``` ```json 2 ```", (), "", ["```\n1\n``` ```json 2 ```", "2", "1"]),
        (" ", ("", '{"a": 1}'), "{}", ['{"a": 1}']),
        ("see ```json\n{}\n``` ok", (), "", ["see ```json\n{}\n``` ok", "{}"]),
        ("", (), "so {} it is", ["so {} it is"]),
        ("", (), " {} ", ["{}"]),
        ("no", (), "{}", ["no"]),
        ("} {", (), "", ["} {"]),
        ('{"a": {}} ok', (), "", ['{"a": {}} ok', '{"a": {}}']),
        ("see {1} and {2}", (), "", ["see {1} and {2}", "{1} and {2}"]),
        ("see {1}", (), "", ["see {1}", "{1}"]),
        ("see {}", (), "", ["see {}"]),
    ],
)
def test_likeliest_text_comes_first(content: str, arguments: tuple[str, ...], reasoning: str, texts: list[str]) -> None:
    assert list(texts_with_object(content, arguments, reasoning)) == texts


def test_arguments_come_first_where_a_tool_was_asked_for() -> None:
    assert list(texts_with_object("{}", ('{"a": 1}',), is_call=True)) == ['{"a": 1}', "{}"]


def test_nothing_is_searched_for_in_what_was_cut() -> None:
    assert list(texts_with_object('see {"a": 1} but', ('{"a"',), "{}", is_cut=True)) == ['see {"a": 1} but', '{"a"']
    assert list(texts_with_object("", (), "{}", is_cut=True)) == []


def test_empty_arguments_of_what_was_cut_are_none() -> None:
    assert list(texts_with_object("", (" {} ", '{"a": 1}'), is_cut=True)) == ['{"a": 1}']
    assert list(texts_with_object("", ("{}",))) == ["{}"]


def test_object_is_read_with_line_ends_in_its_strings() -> None:
    assert read_json('{"a": "b\nc"}') == {"a": "b\nc"}
    with pytest.raises(ValueError, match=r"^it is nested too deeply$"):
        read_json("[" * 100_000)


def test_fence_without_an_end_takes_no_time() -> None:
    started = time.perf_counter()
    list(texts_with_object("```json" + "\n" * 200_000))

    assert time.perf_counter() - started < 1
