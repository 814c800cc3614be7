"""What the engine refuses, beside what the local AI Endpoints refuses: where they differ, there is a reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from engines import Engine

from ovhcloud_ai_endpoints.testing import LocalEndpoints

USER = {"role": "user", "content": "Say hello."}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "x"}


def said(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


def called(**function: Any) -> dict[str, Any]:
    """A call in a history, with something odd about it."""
    return said(
        USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {**CALL["function"], **function}}]}, RESULT
    )


def format_(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}


def of_object(**properties: Any) -> dict[str, Any]:
    return format_({"type": "object", "properties": properties})


BOTH_TAKE: dict[str, dict[str, Any]] = {
    "nothing else": {},
    "tools": {"tools": [TOOL]},
    "a tool without parameters": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "two tools of one name": {"tools": [TOOL, TOOL]},
    "a choice of no tool": {"tool_choice": "none"},
    "a strict tool": {"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]},
    "tools and an object": {"tools": [TOOL], "response_format": {"type": "json_object"}},
    "no effort": {"reasoning_effort": "none"},
    "an empty content": said({"role": "user", "content": ""}),
    "no parts": said({"role": "user", "content": []}),
    "a developer's message": said({"role": "developer", "content": "x"}, USER),
    "a system's message alone": said({"role": "system", "content": "x"}),
    "a name": said({**USER, "name": "bob"}),
    "an assistant's turn last": said(USER, {"role": "assistant", "content": "x"}),
    "an assistant's turn without content": said(USER, {"role": "assistant"}, USER),
    "no calls": said(USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER),
    "a call and its result": said(USER, {"role": "assistant", "tool_calls": [CALL]}, RESULT),
    "thoughts": said(USER, {"role": "assistant", "content": "x", "reasoning": "y"}, USER),
    "thoughts by their old name": said(USER, {"role": "assistant", "content": "x", "reasoning_content": "y"}, USER),
    "two answers": {"n": 2},
    "no stops": {"stop": []},
    "four stops": {"stop": ["1", "2", "3", "4"]},
    "a negative seed": {"seed": -1},
    "text": {"response_format": {"type": "text"}},
    "any object": {"response_format": {"type": "json_object"}},
    "any schema": format_({}),
    "a length": of_object(a={"type": "string", "minLength": 3}),
    "a date": of_object(a={"type": "string", "format": "date-time"}),
    "a least number": of_object(a={"type": "integer", "minimum": 3}),
    "NUL": said({"role": "user", "content": "a\0b"}),
}
BOTH_REFUSE: dict[str, dict[str, Any]] = {
    "an unknown model": {"model": "nothing"},
    "options of a stream without one": {"stream_options": {"include_usage": True}},
    "log probabilities that were not asked for": {"top_logprobs": 1},
    "too many log probabilities": {"logprobs": True, "top_logprobs": 25},
    "no tools": {"tools": []},
    "a choice without tools": {"tool_choice": "auto"},
    "a required call without tools": {"tool_choice": "required"},
    "a choice of an unknown tool": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
    "an odd choice": {"tools": [TOOL], "tool_choice": "any"},
    "no messages": said(),
    "null as a content": said({"role": "user", "content": None}),
    "null as a result": said(USER, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": None}),
    "arguments that are no text": called(arguments={"a": "b"}),
    "a call without an id": said(USER, {"role": "assistant", "tool_calls": [{**CALL, "id": None}]}, RESULT),
    "an unknown part": said({"role": "user", "content": [{"type": "z"}]}),
    "a part that is a text": said({"role": "user", "content": ["a"]}),
    "a part of Responses": said({"role": "user", "content": [{"type": "input_text", "text": "a"}]}),
    "an image's URL that is no object": said({"role": "user", "content": [{"type": "image_url", "image_url": "a"}]}),
    "a file": said({"role": "user", "content": [{"type": "file", "file": {"file_data": "a"}}]}),
    "no answers": {"n": 0},
    "two answers without chance": {"n": 2, "temperature": 0},
    "heat": {"temperature": 3},
    "cold": {"temperature": -1},
    "no share of tokens": {"top_p": 0},
    "too large a share": {"top_p": 1.5},
    "no tokens": {"max_tokens": 0},
    "more tokens than the window": {"max_tokens": 5_000_000},
    "an empty stop": {"stop": ""},
    "five stops": {"stop": ["1", "2", "3", "4", "5"]},
    "a seed that is a text": {"seed": "x"},
    "a seed of 64 bits": {"seed": 2**63},
    "too large a penalty": {"presence_penalty": 3},
    "an unknown format": {"response_format": {"type": "z"}},
    "no schema": {"response_format": {"type": "json_schema"}},
    "a schema without a name": {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
    "an unknown type": format_({"type": "z"}),
    "a set": format_({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
    "a multiple": of_object(a={"type": "integer", "multipleOf": 3}),
    "something contained": format_({"type": "array", "contains": {"type": "integer"}}),
    "all of several": of_object(a={"allOf": [{"type": "string"}, {"maxLength": 3}]}),
}
GATEWAY = "the gateway in front of the service refuses it, as documented or seen"
TEMPLATE = "templates of some families refuse it, so that the local server does for all"
ONLY_LOCAL_REFUSES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"foo": 1}, GATEWAY),
    "a field of engines": ({"top_k": 5}, GATEWAY),
    "fields of OpenAI": ({"user": "u", "store": False, "metadata": {}, "logit_bias": {"5": 1}}, GATEWAY),
    "one call at a time": ({"tools": [TOOL], "parallel_tool_calls": False}, GATEWAY),
    "five log probabilities": ({"logprobs": True, "top_logprobs": 5}, GATEWAY),
    "both names of max_tokens": ({"max_tokens": 5, "max_completion_tokens": 5}, GATEWAY),
    "the effort that is the default": ({"reasoning_effort": "xhigh"}, GATEWAY),
    "no model": ({"model": None}, "the engine serves one model; the service has many"),
    "a name with a blank": (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "OpenAI documents the form",
    ),
    "a tool without a type": ({"tools": [{"function": FUNCTION}]}, "OpenAI documents the field as required"),
    "no content": (said({"role": "user"}), "OpenAI documents the field as required"),
    "an unknown role": (said({"role": "alien", "content": "x"}), "the gateway is taken to know the roles"),
    "an unknown field of a message": (said({**USER, "foo": 1}), "the gateway is taken to be strict here, too"),
    "a second system message": (
        said({"role": "system", "content": "a"}, USER, {"role": "system", "content": "b"}),
        TEMPLATE,
    ),
    "a result without an id": (said(USER, {"role": "tool", "content": "x"}), TEMPLATE),
    "a result without a call": (said(USER, RESULT), TEMPLATE),
    "arguments that are no JSON": (called(arguments="{a"), TEMPLATE),
    "arguments that are a list": (called(arguments="[1]"), TEMPLATE),
    "no arguments": (called(arguments=""), TEMPLATE),
}
ONLY_ENGINE_REFUSES: dict[str, tuple[dict[str, Any], str]] = {
    "an image": (
        said({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}),
        "the local model sees images",
    ),
    "more properties than there are": (
        format_({"type": "object", "minProperties": 2, "additionalProperties": False}),
        "no object fits; the local server makes no grammar",
    ),
}
VECTORS_BOTH_TAKE: dict[str, dict[str, Any]] = {
    "a text": {"input": "a"},
    "texts": {"input": ["a", "b"]},
    "blanks": {"input": ["   "]},
    "dimensions": {"input": ["a"], "dimensions": 32},
    "base64": {"input": ["a"], "encoding_format": "base64"},
    "a user": {"input": ["a"], "user": "u"},
}
VECTORS_BOTH_REFUSE: dict[str, dict[str, Any]] = {
    "no input": {},
    "null": {"input": None},
    "no texts": {"input": []},
    "an empty text": {"input": [""]},
    "texts and numbers": {"input": ["a", 1]},
    "no dimensions": {"input": ["a"], "dimensions": 0},
    "too many dimensions": {"input": ["a"], "dimensions": 100_000},
    "an unknown format": {"input": ["a"], "encoding_format": "z"},
    "a text that is too long": {"input": ["a b " * 40_000]},
    "an unknown model": {"input": ["a"], "model": "nothing"},
}
VECTORS_ONLY_LOCAL_REFUSES: dict[str, tuple[dict[str, Any], str]] = {
    "tokens": ({"input": [1, 2, 3]}, "not documented for the service"),
    "26 texts": ({"input": ["a"] * 26}, "the catalogue allows 25"),
    "an unknown field": ({"input": ["a"], "foo": 1}, GATEWAY),
}
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


class Both:
    """Asks the engine and the local server the same."""

    def __init__(self, engine: Engine, server: LocalEndpoints) -> None:
        self._engine, self._server = engine, server

    def chat(self, body: dict[str, Any]) -> tuple[bool, bool]:
        """Whether each of them takes a chat."""
        asked = {"messages": [USER], "max_tokens": 6, **body}
        return self._asked("/chat/completions", "Qwen3.5-9B", asked)

    def embed(self, body: dict[str, Any]) -> tuple[bool, bool]:
        return self._asked("/embeddings", "Qwen3-Embedding-8B", body)

    def _asked(self, path: str, model: str, body: dict[str, Any]) -> tuple[bool, bool]:
        of_engine = self._engine.post(f"/v1{path}", **body)
        headers = {"Authorization": f"Bearer {self._server.api_key}"}
        url = self._server.base_url + path
        of_server = httpx.post(url, headers=headers, json={"model": model, **body}, trust_env=False)
        assert {of_engine.status_code, of_server.status_code} <= {200, 400, 404, 422}
        return of_engine.status_code == 200, of_server.status_code == 200


@pytest.fixture
def both(qwen3: Engine, server: LocalEndpoints) -> Both:
    return Both(qwen3, server)


@pytest.fixture
def vectors(qwen3_embedding: Engine, server: LocalEndpoints) -> Both:
    return Both(qwen3_embedding, server)


@pytest.mark.parametrize("name", BOTH_TAKE)
def test_both_take(both: Both, name: str) -> None:
    assert both.chat(BOTH_TAKE[name]) == (True, True)


@pytest.mark.parametrize("name", BOTH_REFUSE)
def test_both_refuse(both: Both, name: str) -> None:
    assert both.chat(BOTH_REFUSE[name]) == (False, False)


@pytest.mark.parametrize("name", ONLY_LOCAL_REFUSES)
def test_only_the_local_server_refuses(both: Both, name: str) -> None:
    assert both.chat(ONLY_LOCAL_REFUSES[name][0]) == (True, False)


@pytest.mark.parametrize("name", ONLY_ENGINE_REFUSES)
def test_only_the_engine_refuses(both: Both, name: str) -> None:
    assert both.chat(ONLY_ENGINE_REFUSES[name][0]) == (False, True)


@pytest.mark.parametrize("name", VECTORS_BOTH_TAKE)
def test_both_embed(vectors: Both, name: str) -> None:
    assert vectors.embed(VECTORS_BOTH_TAKE[name]) == (True, True)


@pytest.mark.parametrize("name", VECTORS_BOTH_REFUSE)
def test_both_refuse_to_embed(vectors: Both, name: str) -> None:
    assert vectors.embed(VECTORS_BOTH_REFUSE[name]) == (False, False)


@pytest.mark.parametrize("name", VECTORS_ONLY_LOCAL_REFUSES)
def test_only_the_local_server_refuses_to_embed(vectors: Both, name: str) -> None:
    assert vectors.embed(VECTORS_ONLY_LOCAL_REFUSES[name][0]) == (True, False)


def rows() -> Iterator[str]:
    """The differences, as the page has them."""
    for name, (_, why) in (ONLY_LOCAL_REFUSES | VECTORS_ONLY_LOCAL_REFUSES).items():
        yield f"| {name} | the local server | {why} |"
    for name, (_, why) in ONLY_ENGINE_REFUSES.items():
        yield f"| {name} | the engine | {why} |"


def test_page_lists_the_differences() -> None:
    table = PAGE.read_text("utf-8").partition("| request | refused by | reason |")[2].partition("\n\n")[0]

    assert table.splitlines()[2:] == list(rows())
