"""The local server beside Mistral's own package, which engines use in place of a template."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from ovhcloud_ai_endpoints._catalogue import model
from ovhcloud_ai_endpoints.testing._schemas import Chat
from ovhcloud_ai_endpoints.testing._templates import refused_by_template

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def calls(ids: list[str]) -> dict[str, Any]:
    made = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
    return {"role": "assistant", "tool_calls": made}


def result(id_: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "r", "tool_call_id": id_, **more}


USER = {"role": "user", "content": "u"}
ids = st.sampled_from(["call00001", "call00002", "short"])
messages = st.lists(
    st.one_of(
        st.just(USER),
        st.just({"role": "user", "content": [IMAGE]}),
        st.just({"role": "system", "content": "s"}),
        st.just({"role": "assistant", "content": "a"}),
        st.builds(calls, st.lists(ids, min_size=1, max_size=2)),
        st.builds(result, ids),
        st.builds(lambda id_: result(id_, content=[IMAGE]), ids),
        st.builds(lambda id_: result(id_, name="a name"), ids),
    ),
    max_size=6,
)


def refused(history: list[dict[str, Any]], name: str = "Mistral-Small-3.2-24B-Instruct-2506") -> str | None:
    return refused_by_template(Chat.model_validate({"model": name, "messages": history}), model(name))


def refused_by_mistral_common(history: list[dict[str, Any]]) -> str | None:
    try:
        request = ChatCompletionRequest.from_openai(history, model="m")
        get_validator(TokenizerVersion.v11, ValidationMode.serving).validate_request(request)
    except MistralCommonException as error:
        return str(error)
    return None


@given(messages)
def test_what_mistral_common_refuses_is_refused(history: list[dict[str, Any]]) -> None:
    history = [USER, *history, USER]

    assert refused(history) or not refused_by_mistral_common(history)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([{**USER, "name": "ada"}], "name"),
        ([USER, USER], "must alternate"),
        ([{"role": "assistant", "content": "a"}, USER], "must alternate"),
        ([USER, {"role": "system", "content": "s"}], "must alternate"),
        ([USER, calls(["call00001"]), USER], "Not the same number"),
        ([USER, calls(["call00001"]), result("call00001", content=[IMAGE])], "content chunk types"),
        ([USER, calls(["call-1"]), result("call-1")], "length of 9"),
    ],
)
def test_what_a_template_of_mistral_refuses_is_refused(history: list[dict[str, Any]], words: str) -> None:
    assert words in str(refused(history))
    assert refused(history, "Qwen3.6-27B") is None


@pytest.mark.parametrize(
    "name", ["Qwen3.6-27B", "gpt-oss-120b", "Meta-Llama-3_3-70B-Instruct", "Mistral-Nemo-Instruct-2407"]
)
def test_result_without_a_call_is_refused_for_all(name: str) -> None:
    history = [USER, calls(["call00001"]), result("call00002")]

    assert refused(history, name) == "Unexpected tool call id call00002 in tool results"


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        ([USER, calls(["call00001"]), result("call00001"), result("call00001")], "in tool results"),
        ([USER, calls(["call00001", "call00001"]), result("call00001")], "in assistant message"),
    ],
)
def test_ids_that_come_twice_are_refused(history: list[dict[str, Any]], problem: str) -> None:
    assert refused_by_mistral_common(history)
    assert f"Duplicate tool call id call00001 {problem}" == refused(history)
