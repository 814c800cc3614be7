import copy
import json
from itertools import pairwise
from typing import Any

import pytest

from ovhcloud_ai_endpoints._catalogue.models import model
from ovhcloud_ai_endpoints._chat.histories import MISTRAL_ID, fitting
from ovhcloud_ai_endpoints._chat.parts import image_part
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
    assert fit(name, called("chatcmpl-tool-1"))[0]["tool_calls"][0]["id"] == first
    assert fit(name, result("chatcmpl-tool-1"))[0]["tool_call_id"] == first


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

    assert [len(message["tool_calls"]) for message in fit("llama@biggest", both)] == [1, 1]


def test_calls_without_results_are_kept() -> None:
    found = fit("Meta-Llama-3_3-70B-Instruct", called("a", "b"), result("b"))

    assert json.dumps(found).count("tool_call_id") == 1
    assert [len(message.get("tool_calls", [])) for message in found] == [1, 1, 0]


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
