import copy
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from ovhcloud_ai_endpoints._catalogue.models import model
from ovhcloud_ai_endpoints._chat.histories import MISTRAL_ID, fitting
from ovhcloud_ai_endpoints._chat.parts import audio_part, image_part
from ovhcloud_ai_endpoints._wire import WireMessage

USER: WireMessage = {"role": "user", "content": "hi"}
SYSTEM: WireMessage = {"role": "system", "content": "a"}


def called(*ids: str, content: str = "") -> WireMessage:
    calls: Any = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
    return {"role": "assistant", "content": content, "reasoning": "hm", "tool_calls": calls}


def result(id_: str) -> WireMessage:
    return {"role": "tool", "content": f"of {id_}", "tool_call_id": id_}


def fit(name: str, *messages: WireMessage) -> list[WireMessage]:
    before = copy.deepcopy(messages)
    found = fitting(messages, model(name))
    assert messages == before
    return found


@pytest.mark.parametrize("name", ["gpt-oss-120b", "Qwen3.6-27B", "new-model"])
def test_several_system_messages_become_the_first(name: str) -> None:
    image: WireMessage = {"role": "system", "content": [image_part(url="u")]}

    assert fit(name, SYSTEM, USER, image) == [
        {"role": "system", "content": [{"type": "text", "text": "a"}, image_part(url="u")]},
        USER,
    ]
    assert fit(name, SYSTEM, SYSTEM) == [{"role": "system", "content": "a\n\na"}]


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("gpt-oss-120b", ["user", "system"]),
        ("Qwen3.6-27B", ["system", "user"]),
        ("Qwen3.5-9B", ["system", "user"]),
        ("qwen@latest", ["system", "user"]),
    ],
)
def test_late_system_message_is_the_first_where_it_must_be(name: str, roles: list[str]) -> None:
    assert [message["role"] for message in fit(name, USER, SYSTEM)] == roles


@pytest.mark.parametrize("name", ["Mistral-Small-3.2-24B-Instruct-2506", "mistral@latest"])
def test_ids_of_other_models_are_rewritten_for_mistral(name: str) -> None:
    found = fit(name, USER, called("chatcmpl-tool-1", "abcDEF123"), result("chatcmpl-tool-1"), result("abcDEF123"))

    first, second = (call["id"] for call in found[1]["tool_calls"])
    assert MISTRAL_ID.fullmatch(first)
    assert second == "abcDEF123"
    assert [message["tool_call_id"] for message in found[2:]] == [first, second]
    assert fit(name, called("chatcmpl-tool-1"))[1]["tool_calls"][0]["id"] == first


def test_ids_are_left_alone_for_others() -> None:
    messages = [USER, called("chatcmpl-tool-1"), result("chatcmpl-tool-1")]

    assert fit("Qwen3.6-27B", *messages) == messages


@pytest.mark.parametrize("name", ["Meta-Llama-3_3-70B-Instruct", "llama@biggest"])
def test_calls_are_one_by_one_for_llama(name: str) -> None:
    found = fit(name, USER, called("a", "b", content="see"), result("b"), result("a"), USER)

    assert [message["role"] for message in found] == ["user", "assistant", "tool", "assistant", "tool", "user"]
    assert [message["tool_calls"][0]["id"] for message in found if "tool_calls" in message] == ["a", "b"]
    assert [message["tool_call_id"] for message in found if "tool_call_id" in message] == ["a", "b"]
    assert [message["content"] for message in found] == ["hi", "see", "of a", "", "of b", "hi"]
    assert [message.get("reasoning") for message in found if "tool_calls" in message] == ["hm", None]


def test_calls_without_reasoning_are_one_by_one_too() -> None:
    both = called("a", "b")
    del both["reasoning"]

    assert [message.get("tool_call_id") for message in fit("llama@biggest", both)] == [None, "a", None, "b"]


def test_ids_may_come_again_in_a_later_round_for_llama() -> None:
    first = [called("t0", "t1"), {**result("t0"), "content": "1a"}, {**result("t1"), "content": "1b"}]
    second = [called("t0"), {**result("t0"), "content": "2a"}, called("t0", "t0"), result("t0"), result("t0")]
    messages: Any = [*first, USER, *second]

    found = fit("Meta-Llama-3_3-70B-Instruct", *messages)

    assert [message["content"] for message in found if message["role"] == "tool"] == [
        "1a",
        "1b",
        "2a",
        "of t0",
        "of t0",
    ]
    assert all(after["role"] == "tool" for before, after in pairwise(found) if "tool_calls" in before)


EVERY_FAMILY = pytest.mark.parametrize(
    "name", ["gpt-oss-120b", "Qwen3.6-27B", "Mistral-Nemo-Instruct-2407", "Meta-Llama-3_3-70B-Instruct", "new-model"]
)


def said(messages: list[WireMessage], role: str) -> list[Any]:
    return [message["content"] for message in messages if message["role"] == role]


@EVERY_FAMILY
def test_results_are_in_the_order_of_their_calls(name: str) -> None:
    found = fit(name, USER, called("slow00001", "fast00001"), result("fast00001"), result("slow00001"))

    assert said(found, "tool") == ["of slow00001", "of fast00001"]


@EVERY_FAMILY
def test_result_that_is_late_stands_behind_its_call(name: str) -> None:
    found = fit(name, USER, called("a"), called("b"), USER, result("a"), result("b"))

    assert [message["role"] for message in found] == ["user", "assistant", "tool", "assistant", "tool", "user"]
    assert said(found, "tool") == ["of a", "of b"]


@EVERY_FAMILY
def test_call_without_a_result_gets_one_that_says_so(name: str) -> None:
    found = fit(name, USER, called("a", "b"), result("b"), USER)

    assert said(found, "tool") == ["This call was interrupted; it has no result.", "of b"]
    assert found[-1] == USER


@EVERY_FAMILY
def test_result_without_a_call_becomes_a_text_of_the_user(name: str) -> None:
    found = fit(name, USER, {"role": "assistant", "content": "so"}, {**result("a"), "name": "weather"})

    assert [message["role"] for message in found] == ["user", "assistant", "user"]
    assert found[-1]["content"] == "Result of weather, whose call is not part of this conversation:\nof a"


def test_second_result_of_a_call_and_one_before_its_call_have_no_call() -> None:
    found = fit("gpt-oss-120b", result("a"), called("a"), result("a"), {**result("a"), "content": "again"})

    assert [message["role"] for message in found] == ["user", "assistant", "tool", "user"]
    assert said(found, "tool") == ["of a"]
    assert found[-1]["content"].endswith("\nagain")


def test_result_before_its_call_is_taken_if_there_is_no_other() -> None:
    found = fit("gpt-oss-120b", USER, result("a"), called("a"), USER)

    assert [message["role"] for message in found] == ["user", "assistant", "tool", "user"]
    assert said(found, "tool") == ["of a"]


def test_results_that_name_no_call_are_taken_in_turn() -> None:
    unnamed: Any = [{"role": "tool", "content": text, "tool_call_id": ""} for text in ("1", "2", "3")]

    found = fit("gpt-oss-120b", called("a", "b"), *unnamed[:2], called("c"), unnamed[2])

    assert [(message["tool_call_id"], message["content"]) for message in found if message["role"] == "tool"] == [
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
    ]


def test_calls_of_one_message_have_ids_of_their_own() -> None:
    found = fit("Mistral-Nemo-Instruct-2407", USER, called("a", "a"), result("a"), {**result("a"), "content": "second"})

    ids = [call["id"] for call in found[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [message["tool_call_id"] for message in found[2:]] == ids
    assert said(found, "tool") == ["of a", "second"]


IMAGE = image_part(url="data:image/png;base64,AAAA")
SOUND = audio_part(data="AAAA", mime_type="audio/wav")


def with_parts(*parts: Any, id_: str = "call00001") -> WireMessage:
    return {"role": "tool", "content": list(parts), "tool_call_id": id_}


@pytest.mark.parametrize(
    ("name", "part", "shown"),
    [
        ("gpt-oss-120b", IMAGE, "[image (image/png, 3 bytes): can't be shown to the model]"),
        ("Qwen3.6-27B", SOUND, "[sound (wav, 3 bytes): can't be shown to the model]"),
        ("Qwen3.6-27B", image_part(url="https://h/x.png"), "[image (https://h/x.png): can't be shown to the model]"),
        (
            "Qwen3.6-27B",
            image_part(url="data:image/png;base64,!"),
            "[image (image/png): can't be shown to the model]",
        ),
        ("Qwen3.6-27B", IMAGE, [IMAGE]),
        ("new-model", SOUND, [SOUND]),
    ],
)
def test_what_a_model_can_not_read_in_a_result_is_a_note(name: str, part: Any, shown: Any) -> None:
    assert fit(name, called("call00001"), with_parts(part))[-1]["content"] == shown


def test_user_sends_what_the_model_can_not_read_and_the_service_decides() -> None:
    message: WireMessage = {"role": "user", "content": [IMAGE]}

    assert fit("gpt-oss-120b", message) == [message]


def test_oldest_images_of_results_go_when_there_are_too_many() -> None:
    user: WireMessage = {"role": "user", "content": [IMAGE, IMAGE]}
    turns = [message for at in range(5) for message in (called(f"{at}"), with_parts(IMAGE, id_=f"{at}"))]

    found = fit("Qwen3.6-27B", user, *turns)

    assert [isinstance(content, list) for content in said(found, "tool")] == [False, False, True, True, True]
    assert found[0] == user


def test_image_of_a_result_moves_behind_the_results_for_mistral() -> None:
    text: Any = {"type": "text", "text": "see"}
    calls = called("call00001", "call00002")

    found = fit("Mistral-Small-3.2-24B-Instruct-2506", USER, calls, with_parts(text, IMAGE), result("call00002"), USER)

    assert said(found, "tool") == ["see\n[image 1: in the next message]", "of call00002"]
    assert found[-1]["content"] == [
        {"type": "text", "text": "Images from the results above:"},
        IMAGE,
        {"type": "text", "text": "hi"},
    ]


def test_only_results_keep_their_names_for_mistral() -> None:
    named: Any = [{**message, "name": "n"} for message in (SYSTEM, USER, called("call00001"), result("call00001"))]

    assert [message.get("name") for message in fit("mistral@latest", *named)] == [None, None, None, "n"]
    assert [message.get("name") for message in fit("Qwen3.6-27B", *named)] == ["n", "n", "n", "n"]


def test_user_begins_for_mistral() -> None:
    found = fit("mistral@latest", SYSTEM, called("call00001"))

    assert [message["role"] for message in found] == ["system", "user", "assistant", "tool"]
    assert found[1]["content"] == "[Start of the conversation]"
    assert fit("mistral@latest", SYSTEM) == [SYSTEM]


def test_neighbours_of_one_role_are_one_message_for_mistral() -> None:
    texts: Any = [{"role": "assistant", "content": text, "reasoning": text} for text in ("a", "", "b")]

    found = fit("mistral@latest", USER, {"role": "user", "content": [IMAGE]}, *texts, called("call00001"), USER)

    assert [message["role"] for message in found] == ["user", "assistant", "tool", "user"]
    assert found[0]["content"] == [{"type": "text", "text": "hi"}, IMAGE]
    assert found[1]["content"] == "a\n\nb"
    assert found[1]["reasoning"] == "a\n\nb\n\nhm"
    assert len(found[1]["tool_calls"]) == 1


def test_new_ids_for_mistral_are_no_other_calls() -> None:
    found = fit("mistral@latest", USER, called("a", "ca978112c"), result("a"), result("ca978112c"))

    ids = [call["id"] for call in found[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert said(found, "tool") == ["of a", "of ca978112c"]


@pytest.mark.parametrize("name", ["mistral@latest", "Qwen3.6-27B", "llama@latest"])
def test_effort_is_linear(name: str) -> None:
    many = [called(*["a"] * 3000), *[result("a")] * 3000, *[{**result("x"), "content": "y" * 2000}] * 3000]

    assert len(fit(name, USER, *many)) > 3000


ids = st.sampled_from(["a", "b", "abcDEF123", ""])
texts = st.text(min_size=1, max_size=3)
messages = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": text, "name": "n"}, texts),
        st.builds(lambda: {"role": "user", "content": [IMAGE]}),
        st.builds(lambda text: {"role": "system", "content": text}, texts),
        st.builds(lambda text: {"role": "assistant", "content": text}, texts),
        st.builds(lambda names: called(*names), st.lists(ids.filter(bool), min_size=1, max_size=3)),
        st.builds(lambda id_, text: {**result(id_), "name": "f", "content": text}, ids, texts),
        st.builds(lambda id_: with_parts(IMAGE, id_=id_), ids),
    ),
    max_size=9,
)


@given(messages, st.sampled_from([TokenizerVersion.v3, TokenizerVersion.v11]))
def test_mistral_common_accepts_every_history(history: list[Any], version: TokenizerVersion) -> None:
    """The oracle is Mistral's own package, which engines use in place of a template."""
    found: list[Any] = fit("Mistral-Small-3.2-24B-Instruct-2506", *history, USER)

    for message in found:
        message.pop("reasoning", None)
        if version is TokenizerVersion.v3 and "tool_calls" in message:
            message["content"] = (
                ""  # it takes no text beside calls, which the service's template is not known to refuse
            )
    request = ChatCompletionRequest.from_openai(found, model="m")
    get_validator(version, ValidationMode.serving).validate_request(request)
    assert all(one["role"] != other["role"] or one["role"] == "tool" for one, other in pairwise(found))


@EVERY_FAMILY
@given(messages)
def test_no_text_is_lost(name: str, history: list[Any]) -> None:
    sent = json.dumps(fit(name, *history))

    assert all(
        json.dumps(message["content"])[1:-1] in sent for message in history if isinstance(message["content"], str)
    )
