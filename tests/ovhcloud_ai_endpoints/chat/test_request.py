import json
from datetime import date
from typing import Any

import pytest

from ovhcloud_ai_endpoints import PayloadTooLargeError
from ovhcloud_ai_endpoints._catalogue.models import LARGEST_REQUEST
from ovhcloud_ai_endpoints._chat.parts import audio_part, content_of, image_part
from ovhcloud_ai_endpoints._chat.request import chat_request, json_schema_format, with_schema
from ovhcloud_ai_endpoints._chat.tools import tool_call, tool_choice_for
from ovhcloud_ai_endpoints._wire import WireMessage

USER: WireMessage = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def body(*, stream: bool = False, stream_usage: bool = True, **parameters: Any) -> dict[str, Any]:
    sent = chat_request(
        [USER], parameters, model="m", base_url="http://h/v1", stream=stream, stream_usage=stream_usage
    ).body
    assert sent.pop("model") == "m"
    assert sent.pop("messages") == [USER]
    return sent


def test_unset_is_absent() -> None:
    assert body(temperature=None, stop=None, tools=None, n=None) == {}


def test_zero_and_false_are_set() -> None:
    assert body(temperature=0, logprobs=False) == {"temperature": 0, "logprobs": False}


@pytest.mark.parametrize(("stop", "sent"), [([], {}), ("", {}), ("x", {"stop": ["x"]}), (["x", ""], {"stop": ["x"]})])
def test_stop_is_a_list_or_absent(stop: Any, sent: dict[str, Any]) -> None:
    assert body(stop=stop) == sent


def test_top_logprobs_ask_for_logprobs_too() -> None:
    assert body(top_logprobs=1) == {"logprobs": True, "top_logprobs": 1}
    assert body(top_logprobs=1, logprobs=False) == {"logprobs": False, "top_logprobs": 1}


def test_stream_asks_for_usage_and_never_for_several_choices() -> None:
    assert body(stream=True, n=2) == {"stream": True, "stream_options": {"include_usage": True}}
    assert body(stream=True, stream_usage=False) == {"stream": True}


def test_parallel_tool_calls_false_is_never_sent() -> None:
    assert body(tools=[TOOL], parallel_tool_calls=False) == {"tools": [TOOL]}
    assert body(tools=[TOOL], parallel_tool_calls=True) == {"tools": [TOOL], "parallel_tool_calls": True}


def test_without_tools_nothing_of_tools_is_sent() -> None:
    assert body(tools=[], tool_choice="required", parallel_tool_calls=True) == {}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        (True, "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
    ],
)
def test_tool_choice_has_the_wires_form(choice: Any, sent: Any) -> None:
    assert tool_choice_for(choice, ["f", "g"]) == sent


@pytest.mark.parametrize("name", ["auto", "any"])
def test_tool_that_is_called_like_a_choice_can_be_chosen(name: str) -> None:
    assert tool_choice_for(name, [name]) == {"type": "function", "function": {"name": name}}


def test_model_is_sent_by_the_name_that_the_service_knows() -> None:
    base_url = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"

    assert chat_request([USER], {}, model="openai/gpt-oss-20b", base_url=base_url).body["model"] == "gpt-oss-20b"


@pytest.mark.parametrize("choice", ["h", {"type": "function", "function": {"name": "h"}}])
def test_choice_of_no_tool_names_those_there_are(choice: Any) -> None:
    with pytest.raises(ValueError, match="'h', but the tools are f, g"):
        tool_choice_for(choice, ["f", "g"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "; did you mean 'temperature'?"),
        ("tool", "; did you mean 'tools'?"),
        ("top_k", "; the service has no such field; for other servers, pass it in extra_body="),
        ("zzz", ""),
    ],
)
def test_unknown_parameter_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        body(**{name: 1})

    assert str(caught.value) == f"The service does not accept {name!r}{hint}"


def test_equal_requests_have_equal_bytes() -> None:
    assert json.dumps(body(seed=1, temperature=0.5, stop="a")) == json.dumps(body(stop="a", temperature=0.5, seed=1))


def test_headers_of_a_call_belong_to_the_model() -> None:
    with pytest.raises(TypeError, match="Pass headers as default_headers="):
        body(extra_headers={"X-A": "b"})


@pytest.mark.parametrize("tool", ["search", {"type": "web_search"}, {"type": "function", "name": "f"}])
def test_what_is_no_function_is_told_with_the_form_of_one(tool: Any) -> None:
    with pytest.raises(ValueError, match="must be functions") as caught:
        body(tools=[TOOL, tool])

    assert str(caught.value) == (f"Tools must be functions, as {{'type': 'function', 'function': …}}; got {tool!r}")


def test_request_keeps_what_the_answer_is_read_with() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}, TOOL | {"function": {"name": "g"}}]

    request = chat_request([USER], {"tools": tools, "parallel_tool_calls": False}, model="m", base_url="http://h/v1")

    assert request.one_call
    assert request.tool_schemas == {"f": schema, "g": {}}
    assert not chat_request([USER], {"tools": tools}, model="m", base_url="http://h/v1").one_call
    assert "stream" not in request.body


def test_stream_has_its_usage_if_nothing_else_is_said() -> None:
    sent = chat_request([USER], {}, model="m", base_url="http://h/v1", stream=True).body

    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("extra_body", "stream", "sent"),
    [
        ({"top_k": 1}, False, {"top_k": 1}),
        ({"top_k": 1, "extra_body": {"min_p": 0.1, "top_k": 2}}, False, {"top_k": 2, "min_p": 0.1}),
        ({"extra_body": None}, False, {}),
        ({"stream_options": {"include_usage": False}}, False, {}),
        ({"stream_options": {"x": 1}}, True, {"stream": True, "stream_options": {"x": 1}}),
    ],
)
def test_extra_body_is_merged_as_it_is(extra_body: dict[str, Any], stream: bool, sent: dict[str, Any]) -> None:
    given = {**extra_body}
    request = chat_request([USER], {}, model="m", base_url="http://h/v1", stream=stream, extra_body=extra_body)

    assert request.body == {"model": "m", "messages": [USER], **sent}
    assert extra_body == given


def test_schema_is_sent_in_a_form_that_models_can_read() -> None:
    schema = {"$defs": {"N": {"type": "integer"}}, "type": "object", "properties": {"x": {"$ref": "#/$defs/N"}}}
    plain = {"type": "object", "properties": {"x": {"type": "integer"}}}
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}
    asked = {"type": "json_schema", "json_schema": {"name": "a b", "schema": schema, "strict": True}}
    nameless = {"type": "json_schema", "json_schema": {"schema": schema}}

    sent = body(tools=[tool], response_format=asked)

    assert sent["tools"] == [{"type": "function", "function": {"name": "f", "description": "d", "parameters": plain}}]
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "a_b", "schema": plain, "strict": True},
    }
    assert body(response_format=nameless)["response_format"]["json_schema"] == {"name": "answer", "schema": plain}
    assert body(response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    assert "$ref" in str(tool)
    assert "$ref" in str(asked)


def test_json_mode_is_told_of_the_schema() -> None:
    assert with_schema([USER], {"title": "Réponse"}) == [
        {
            "role": "system",
            "content": 'Answer with nothing but a JSON object of this JSON schema:\n{"title": "Réponse"}',
        },
        USER,
    ]


def test_parts_have_the_wires_form() -> None:
    assert image_part(url="u") == {"type": "image_url", "image_url": {"url": "u"}}
    assert image_part(url="u", detail="low") == {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
    assert audio_part(data="QQ==", mime_type="audio/flac") == {
        "type": "input_audio",
        "input_audio": {"data": "QQ==", "format": "flac"},
    }


@pytest.mark.parametrize(
    ("mime_type", "name"), [("audio/mpeg", "mp3"), ("audio/x-wav", "wav"), ("audio/wav;codecs=1", "wav")]
)
def test_sounds_have_the_formats_name(mime_type: str, name: str) -> None:
    assert audio_part(data="", mime_type=mime_type)["input_audio"]["format"] == name  # type: ignore[typeddict-item]


def test_content_is_a_string_if_all_of_it_is_text() -> None:
    text = {"type": "text", "text": "a"}

    assert content_of([], "user") == ""
    assert content_of([text, text], "user") == "a\na"  # type: ignore[list-item]
    assert content_of([text, image_part(url="u")], "user") == [text, image_part(url="u")]  # type: ignore[list-item]


def test_pieces_of_an_assistants_text_are_one_text() -> None:
    assert content_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "assistant") == "ab"


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"x": "é"}, '{"x": "é"}'),
        ('{"x": 1}', '{"x": 1}'),
        (None, "{}"),
        ("", "{}"),
        ("null", "{}"),
        ('{"x": ', '{"invalid_arguments": "{\\"x\\": "}'),
        ("[1]", '{"invalid_arguments": "[1]"}'),
        ({"day": date(2026, 1, 2)}, '{"day": "2026-01-02"}'),
        ({"x": "é\ud800"}, '{"x": "\\u00e9\\ud800"}'),
        ({"x": "é\udfff", "day": date(2026, 1, 2)}, '{"x": "\\u00e9\\udfff", "day": "2026-01-02"}'),
        ({"x": "é\ue000"}, '{"x": "é\ue000"}'),
    ],
)
def test_arguments_of_a_call_are_sent_as_an_object(arguments: Any, sent: str) -> None:
    assert tool_call("1", "f", arguments, place=0) == {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": sent},
    }


def test_call_without_id_has_one_that_stays() -> None:
    assert [tool_call(None, "f", {}, place=place)["id"] for place in (0, 1)] == ["call00000", "call00001"]


@pytest.mark.parametrize(
    ("passback", "sent"), [("auto", [False, True]), ("always", [True, True]), ("never", [False, False])]
)
def test_reasoning_goes_back_by_policy(passback: Any, sent: list[bool]) -> None:
    thought: WireMessage = {"role": "assistant", "content": "a", "reasoning": "hm"}
    messages: list[WireMessage] = [thought, USER, thought, {"role": "tool", "content": "t", "tool_call_id": "1"}]

    found = chat_request(messages, {}, model="m", base_url="http://h", reasoning_passback=passback).body["messages"]

    assert ["reasoning" in found[at] for at in (0, 2)] == sent
    assert thought["reasoning"] == "hm"


def test_without_a_message_of_the_user_all_reasoning_goes_back() -> None:
    thought: WireMessage = {"role": "assistant", "content": "a", "reasoning": "hm"}

    sent = chat_request([thought, thought], {}, model="m", base_url="http://h").body["messages"]

    assert [message["reasoning"] for message in sent] == ["hm", "hm"]


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = ["x" * 64 + "a", "x" * 64 + "b", "x" * 64]
    tools = [{"type": "function", "function": {"name": name}} for name in names]

    request = chat_request([USER], {"tools": tools}, model="m", base_url="http://h")

    sent = [tool["function"]["name"] for tool in request.body["tools"]]
    assert sent == ["x" * 59 + "_2", "x" * 59 + "_3", "x" * 64]
    assert [request.tool_names.get(name, name) for name in sent] == names


def test_thousands_of_names_that_begin_alike_stay_apart() -> None:
    calls: Any = [tool_call(f"{place}", f"é{chr(0x4E00 + place)}", {}, place=0) for place in range(5000)]

    sent = chat_request([{"role": "assistant", "content": "", "tool_calls": calls}], {}, model="m", base_url="http://h")

    assert len({call["function"]["name"] for call in sent.body["messages"][0]["tool_calls"]}) == 5000


def test_tools_are_sent_under_names_that_the_gateway_takes() -> None:
    names = ["search web", "search_web", "search.web", "x" * 70, "fine"]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    called = tool_call("1", "météo", {}, place=0)
    messages: list[WireMessage] = [USER, {"role": "assistant", "content": "", "tool_calls": [called]}]

    request = chat_request(messages, {"tools": tools, "tool_choice": "search.web"}, model="m", base_url="http://h")

    sent = [tool["function"]["name"] for tool in request.body["tools"]]
    back = [request.tool_names.get(name, name) for name in sent]
    history = request.body["messages"][1]["tool_calls"][0]["function"]["name"]
    assert sent == ["search_web_2", "search_web", "search_web_3", "x" * 64, "fine"]
    assert back == names
    assert request.body["tool_choice"]["function"]["name"] == "search_web_3"
    assert (history, request.tool_names[history]) == ("m_t_o", "météo")
    assert called["function"]["name"] == "météo"
    assert tools[0]["function"]["name"] == "search web"


def test_name_of_a_schema_is_one_that_the_service_takes() -> None:
    name = json_schema_format({}, name="Réponse[int] " + "x" * 99)["json_schema"]["name"]

    assert name.startswith("R_ponse_int__x")
    assert len(name) == 64
    assert json_schema_format({}, name="")["json_schema"]["name"] == "answer"


def test_format_is_strict_only_if_that_is_said() -> None:
    assert json_schema_format({"type": "object"}, name="a") == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}},
    }
    assert json_schema_format({}, name="a", strict=False)["json_schema"] == {"name": "a", "schema": {}, "strict": False}


def test_messages_with_halves_of_surrogate_pairs_are_named(caplog: pytest.LogCaptureFixture) -> None:
    texts: Any = ["good", "bad \ud800", [{"type": "text", "text": "\udc00"}], "é", "\ud83d\ude00"]
    messages: list[WireMessage] = [{"role": "user", "content": text} for text in texts]

    sent = chat_request(messages, {}, model="new-model", base_url="http://h/v1").content().body

    assert isinstance(sent, bytes)
    said = [message["content"] for message in json.loads(sent)["messages"]]
    assert said == ["good", "bad \ufffd", [{"type": "text", "text": "\ufffd"}], "é", "😀"]
    assert caplog.messages == ["Lone surrogates are sent as U+FFFD, in messages 1, 2, 4"]


OVHCLOUD = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"


def test_body_may_be_as_large_as_the_service_takes_and_no_larger() -> None:
    def sized(text: str, base_url: str = OVHCLOUD, model: str = "gpt-oss-20b") -> int:
        return chat_request([{"role": "user", "content": text}], {}, model=model, base_url=base_url).content().size

    room = LARGEST_REQUEST - sized("")

    assert sized("x" * room) == LARGEST_REQUEST
    assert sized("x" * room, model="Qwen3.6-27B") == sized("x" * room, model="not-known-1") == LARGEST_REQUEST
    assert sized("x" * 3 * room, model="mistral@latest") > sized("x" * 3 * room, model="Qwen3.5-9B") > LARGEST_REQUEST
    assert sized("x" * (room + 1), "http://another/v1") == LARGEST_REQUEST + 1
    with pytest.raises(PayloadTooLargeError) as caught:
        sized("x" * (room + 1))
    assert str(caught.value) == (
        "The request has 2,097,153 bytes; the service takes 2,097,152. It was not sent. "
        "Send fewer or shorter messages; this request has 1."
    )


def test_body_that_is_too_large_is_told_with_the_size_of_its_images() -> None:
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2_000_000}}
    message: Any = {"role": "user", "content": [{"type": "text", "text": "x" * 500_000}, *[image] * 5]}

    with pytest.raises(
        PayloadTooLargeError, match=r"Its 5 images take 10,000,110 of them: send fewer or smaller ones\.$"
    ):
        chat_request([message], {}, model="Qwen3.6-27B", base_url=OVHCLOUD).content()
