import base64
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_ovhcloud import ChatOVHCloud
from langchain_ovhcloud._messages import wire_messages
from ovhcloud_ai_endpoints.testing import LocalEndpoints
from ovhcloud_ai_endpoints.testing._schemas import Message

PNG = base64.b64encode(b"\x89PNG not really").decode()
URL = f"data:image/png;base64,{PNG}"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}


def content(*blocks: Any, kind: Any = HumanMessage, **rest: Any) -> Any:
    return wire_messages([kind(list(blocks), **rest)])[0]["content"]


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (SystemMessage("s"), {"role": "system", "content": "s"}),
        (HumanMessage("u", name="ada"), {"role": "user", "content": "u", "name": "ada"}),
        (AIMessage("a"), {"role": "assistant", "content": "a"}),
        (ToolMessage("t", tool_call_id="1"), {"role": "tool", "content": "t", "tool_call_id": "1"}),
        (ChatMessage("d", role="developer"), {"role": "system", "content": "d"}),
        (ChatMessage("d", role="user"), {"role": "user", "content": "d"}),
    ],
)
def test_each_kind_of_message_has_its_role(message: BaseMessage, wire: dict[str, Any]) -> None:
    assert wire_messages([message]) == [wire]


@pytest.mark.parametrize(
    ("message", "kind"),
    [(ChatMessage("x", role="critic"), "ChatMessage of role 'critic'")],
)
def test_message_that_no_model_takes_is_an_error_with_its_position(message: BaseMessage, kind: str) -> None:
    with pytest.raises(ValueError, match=f"Message 1 is a {kind} message"):
        wire_messages([HumanMessage("hi"), message])


@pytest.mark.parametrize(
    "block",
    [
        IMAGE,
        {"type": "image_url", "image_url": {"url": URL, "format": "image/png"}},
        {"type": "image_url", "image_url": URL},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, "cache_control": {}},
        {"type": "image", "url": URL},
    ],
)
@pytest.mark.parametrize("kind", [HumanMessage, ToolMessage])
def test_image_in_every_form_is_one_on_the_wire(block: dict[str, Any], kind: Any) -> None:
    rest = {"tool_call_id": "1"} if kind is ToolMessage else {}

    assert content({"type": "text", "text": "look"}, block, kind=kind, **rest) == [
        {"type": "text", "text": "look"},
        IMAGE,
    ]


@pytest.mark.parametrize(
    "block",
    [
        IMAGE,
        {"type": "input_image", "image_url": f"data:image/png;base64,{'A' * 9000}"},
        {"type": "media", "mime_type": "image/png", "data": "A" * 9000},
    ],
)
def test_image_in_every_form_counts_as_few_tokens(block: dict[str, Any]) -> None:
    assert ChatOVHCloud(model="Qwen3.6-27B").get_num_tokens_from_messages([HumanMessage(["look", block])]) < 100


def test_marks_of_notifications_stay_here() -> None:
    message = HumanMessage("done", additional_kwargs={"lc_source": "async_subagent", "lc_data": {"id": 1}})

    assert wire_messages([message]) == [{"role": "user", "content": "done"}]


def test_detail_of_an_image_is_kept() -> None:
    block = {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}

    assert content(block) == [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], "a"),
        (["a", {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "text-plain", "text": "doc", "mime_type": "text/plain"}], "doc"),
        ([{"type": "file", "base64": base64.b64encode(b"# hi").decode(), "mime_type": "text/markdown"}], "# hi"),
        ([], ""),
    ],
)
def test_text_in_every_form_is_a_string(blocks: list[Any], text: str) -> None:
    assert content(*blocks) == text


def test_json_of_a_tool_is_text() -> None:
    assert content({"type": "json", "json": {"a": "é"}}, kind=ToolMessage, tool_call_id="1") == '{"a": "é"}'


def test_results_of_a_search_are_text() -> None:
    block = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]}

    assert content(block, kind=ToolMessage, tool_call_id="1") == "t (s)\nfound"
    assert content({**block, "content": ["plain"]}, kind=ToolMessage, tool_call_id="1") == "t (s)\nplain"


def test_document_has_its_title_and_context() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "text"}
    block = {"type": "document", "source": source, "title": "T", "context": "C"}

    assert content(block) == "T\nC\ntext"


@pytest.mark.parametrize(
    "message",
    [FunctionMessage("Sunny", name="f"), ChatMessage("Sunny", role="tool"), ChatMessage("Sunny", role="function")],
)
def test_result_of_an_old_checkpoint_belongs_to_the_next_call(message: BaseMessage) -> None:
    assert wire_messages([message])[0] == {
        "role": "tool",
        "content": "Sunny",
        "tool_call_id": "",
        **({"name": "f"} if message.name else {}),
    }


def test_image_of_gemini_is_one_on_the_wire() -> None:
    assert content({"type": "media", "mime_type": "image/png", "data": PNG}) == [IMAGE]


def test_forms_of_openais_responses_are_known() -> None:
    blocks = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": URL}]

    assert content(*blocks) == [{"type": "text", "text": "look"}, IMAGE]


def test_sound_is_passed_on() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}

    assert content({"type": "audio", "base64": "UklGRg==", "mime_type": "audio/x-wav"}) == [sound]
    assert content(sound) == [sound]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "weird", "x": 1}, "'weird'"),
        ({"type": "file", "base64": PNG, "mime_type": "application/pdf"}, "application/pdf.*as images"),
        ({"type": "video", "base64": PNG, "mime_type": "video/mp4"}, "video/mp4"),
        ({"type": "image", "base64": PNG}, "without mime_type"),
        ({"type": "image", "file_id": "f-1"}, "'image'"),
        ({"type": "text"}, "'text'.*lacks its content"),
        ({"video": {"format": "mp4"}}, "'video'"),
    ],
)
def test_block_that_no_model_reads_is_an_error_with_its_position(block: dict[str, Any], said: str) -> None:
    messages = [HumanMessage("first"), HumanMessage([{"type": "text", "text": "a"}, block])]

    with pytest.raises(ValueError, match=f"Block 1 of message 1.*{said}"):
        wire_messages(messages)


CSV = "größe;1\n"
LEGACY = base64.b64encode(CSV.encode("cp1252")).decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mime_type", ["text/csv", "application/json", "text/plain; charset=x"])
@pytest.mark.parametrize("kind", [HumanMessage, ToolMessage])
def test_text_file_in_every_encoding_is_text(encoding: str, mime_type: str, kind: Any) -> None:
    rest = {"tool_call_id": "1"} if kind is ToolMessage else {}
    data = base64.b64encode(CSV.encode(encoding)).decode()

    assert content({"type": "file", "base64": data, "mime_type": mime_type}, kind=kind, **rest) == CSV


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "source_type": "base64", "data": LEGACY, "mime_type": "text/csv"},
        {"type": "file", "source_type": "text", "text": CSV, "mime_type": "text/csv"},
        {"type": "file", "file": {"file_data": f"data:text/csv;base64,{LEGACY}", "filename": "a.csv"}},
        {"type": "input_file", "file_data": f"data:text/csv;base64,{LEGACY}", "filename": "a.csv"},
        {"type": "text-plain", "base64": LEGACY, "mime_type": "text/plain"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": CSV}},
        {"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": LEGACY}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": CSV}]}},
        {"type": "media", "mime_type": "text/csv", "data": LEGACY},
        {"document": {"format": "csv", "name": "a", "source": {"bytes": CSV.encode("cp1252")}}},
        {"type": "resource", "resource": {"uri": "a://b", "mimeType": "text/csv", "text": CSV}},
    ],
)
@pytest.mark.parametrize("kind", [HumanMessage, ToolMessage])
def test_text_file_in_every_form_is_text(block: dict[str, Any], kind: Any) -> None:
    rest = {"tool_call_id": "1"} if kind is ToolMessage else {}

    assert str(content(block, kind=kind, **rest)).removeprefix("a.csv\n") == CSV


def test_image_in_bytes_says_how_to_make_a_text_of_them() -> None:
    with pytest.raises(ValueError, match=r"base64 is bytes; give a text: base64\.b64encode"):
        content({"type": "image", "base64": b"abc", "mime_type": "image/png"})


def test_text_file_has_its_name() -> None:
    data = base64.b64encode(b"a,b").decode()

    for named in ({"filename": "a.csv"}, {"extras": {"filename": "a.csv"}}, {"filename": "b.csv", "title": "a.csv"}):
        assert content({"type": "file", "base64": data, "mime_type": "text/csv", **named}) == "a.csv\na,b"


@pytest.mark.parametrize("raw", [b"a\x81", b"\xff\xfe\x00", b"a\x00b"])
def test_file_that_is_not_text_is_an_error_with_its_position(raw: bytes) -> None:
    block = {"type": "file", "base64": base64.b64encode(raw).decode(), "mime_type": "text/plain"}

    with pytest.raises(ValueError, match=r"^Block 0 of message 0 is not text in UTF-8.*convert it to UTF-8"):
        content(block)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            {"type": "file", "url": "demo://report/1", "mime_type": "application/pdf"},
            "[file (application/pdf, demo://report/1): can't be shown to the model]",
        ),
        (
            {"type": "file", "base64": PNG, "mime_type": "application/pdf"},
            "[file (application/pdf, 15 bytes): can't be shown to the model]",
        ),
        (
            {"type": "resource_link", "uri": "a://b", "name": "n", "mimeType": "video/mp4"},
            "[resource_link (video/mp4, a://b, n): can't be shown to the model]",
        ),
        (
            {"type": "file", "base64": "gQ==", "mime_type": "text/plain"},
            "[file (text/plain, 1 bytes): can't be shown to the model]",
        ),
        (
            {"document": {"format": "pdf", "name": "n", "source": {"bytes": b"%PDF"}}},
            "[file (application/pdf, n, 4 bytes): can't be shown to the model]",
        ),
        ({"type": "tool_use", "name": "n", "input": {"a": 1}}, '{"type": "tool_use", "name": "n", "input": {"a": 1}}'),
        ({"rows": [[1, "é"]]}, '{"rows": [[1, "é"]]}'),
        ({"type": "text"}, '{"type": "text"}'),
        ({}, "{}"),
    ],
)
def test_what_can_not_be_sent_of_a_result_is_a_note(block: dict[str, Any], said: str) -> None:
    text = {"type": "text", "text": "see"}

    assert content(text, block, kind=ToolMessage, tool_call_id="1") == f"see\n{said}"


def test_text_of_unknown_blocks_is_kept_and_bytes_are_not() -> None:
    block = {"type": "web", "url": "https://h", "page": "long text " * 500, "raw": b"abc", "png": "A" * 400}

    said = content(block, kind=ToolMessage, tool_call_id="1")

    assert block["page"] in said
    assert '"raw": "[bytes (3 bytes): can\'t be shown to the model]"' in said
    assert '"png": "[base64 (300 bytes): can\'t be shown to the model]"' in said


def test_json_holds_any_value() -> None:
    block = {"type": "json", "json": {"when": date(2026, 11, 26)}}

    assert content(block, kind=ToolMessage, tool_call_id="1") == '{"when": "2026-11-26"}'


@pytest.mark.parametrize("kind", [HumanMessage, ToolMessage])
def test_broken_base64_is_no_empty_text(kind: Any) -> None:
    block = {"type": "file", "base64": "@@@", "mime_type": "text/plain"}

    if kind is HumanMessage:
        with pytest.raises(ValueError, match=r"^Block 0 of message 0 is not base64$"):
            content(block)
    else:
        assert "text/plain" in content(block, kind=kind, tool_call_id="1")


@pytest.mark.parametrize(("mime_type", "sent"), [("text/plain", "hey"), ("image/png", None)])
def test_embedded_resource_of_mcp_is_what_it_holds(mime_type: str, sent: str | None) -> None:
    block = {"type": "resource", "resource": {"uri": "a://b", "mimeType": mime_type, "blob": "aGV5"}}
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGV5"}}]

    assert content(block, kind=ToolMessage, tool_call_id="1") == (sent or image)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGV5"}},
        {"type": "file", "source_type": "text", "text": "hey", "mime_type": "text/plain"},
    ],
)
@pytest.mark.usefixtures("environ")
def test_file_that_core_misreads_is_text_in_calls_too(server: LocalEndpoints, block: Any) -> None:
    ChatOVHCloud(model="gpt-oss-120b").invoke([HumanMessage([block])])

    assert server.requests[0].json["messages"][0]["content"] == "hey"


def test_notes_are_short() -> None:
    link = {"type": "resource_link", "uri": "x" * 3000, "description": "about it"}
    circular: dict[str, Any] = {"rows": []}
    circular["rows"].append(circular)

    said = content(link, kind=ToolMessage, tool_call_id="1")
    assert len(said) < 700
    assert said.endswith("… (3,000 characters), about it): can't be shown to the model]")
    message = ToolMessage.model_construct(content=[circular], tool_call_id="1", type="tool", name=None)
    assert wire_messages([message])[0]["content"] == "[rows: can't be shown to the model]"


NAMES = (
    *("type", "text", "url", "base64", "data", "mime_type", "source", "file", "image_url", "id", "extras", "detail"),
    *("content", "json", "resource", "title"),
)
VALUES = (
    *("file", "image", "text", "document", "media", "audio", "image_url", "text/plain", "AA"),
    *("search_result", "resource", "resource_link"),
)
INNER = st.dictionaries(st.sampled_from(["type", "data", "url", "file_data"]), st.sampled_from(["base64", "AA"]))
VALUE = st.one_of(st.sampled_from(VALUES), st.none(), st.integers(), st.lists(INNER | st.text() | st.integers()), INNER)
BLOCK = st.dictionaries(st.sampled_from(NAMES), VALUE)


@given(st.lists(BLOCK, max_size=2))
def test_no_block_of_a_result_is_an_error(blocks: list[Any]) -> None:
    (wire,) = wire_messages([ToolMessage.model_construct(content=blocks, tool_call_id="1", type="tool", name=None)])

    assert Message.model_validate(wire).role == "tool"


@given(BLOCK)
def test_any_block_of_a_user_is_sent_or_named(block: Any) -> None:
    problem = ""
    try:
        Message.model_validate(wire_messages([HumanMessage([block])])[0])
    except ValueError as error:
        problem = str(error)

    assert re.match("(Block 0 of|A block of) message 0|$", problem)


class TestAssistants:
    def test_tool_calls_go_beside_the_text(self) -> None:
        message = AIMessage("Let me see", tool_calls=[{"id": "1", "name": "f", "args": {"x": "é"}}])

        assert wire_messages([message]) == [
            {
                "role": "assistant",
                "content": "Let me see",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}],
            }
        ]

    def test_content_is_never_a_list_without_parts(self) -> None:
        assert wire_messages([AIMessage([], tool_calls=[{"id": "1", "name": "f", "args": {}}])])[0]["content"] == ""

    def test_blocks_that_stand_elsewhere_are_left_out(self) -> None:
        blocks = [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Let me "},
            {"type": "text", "text": "see"},
            {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            {"type": "tool_call", "id": "1", "name": "f", "args": {}},
        ]

        assert content(*blocks, kind=AIMessage) == "Let me see"

    @pytest.mark.parametrize(
        ("blocks", "provider"),
        [
            ([{"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}], "anthropic"),
            ([{"type": "web_search_tool_result", "tool_use_id": "1", "content": []}], "anthropic"),
            ([{"type": "thinking", "thinking": "hm", "signature": "s"}], "anthropic"),
            ([{"type": "web_search_call", "id": "ws_1", "status": "completed"}], "openai"),
            ([{"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": []}], "openai"),
            ([{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}], "openai"),
            ([{"type": "executable_code", "executable_code": "1", "language": "python"}], "google_genai"),
            ([{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}}], None),
            ([{"cachePoint": {"type": "default"}}], None),
            ([{"type": "server_tool_call", "id": "1", "name": "x", "args": {}}], None),
            ([{"type": "tool_search_call", "id": "ts_1"}], "openai"),
            ([{"type": "shell_call", "id": "sh_1", "action": {}}], "openai"),
            ([{"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}], "openai"),
            ([{"toolUse": {"toolUseId": "1", "name": "x", "input": {}}}], None),
            ([{"type": "function_call_signature", "index": 0, "signature": "x"}], "google_genai"),
        ],
    )
    def test_records_of_other_providers_are_left_out(self, blocks: list[Any], provider: str | None) -> None:
        metadata = {"model_provider": provider} if provider else {}
        message = AIMessage([*blocks, {"type": "text", "text": "So it is."}], response_metadata=metadata)

        assert wire_messages([message]) == [{"role": "assistant", "content": "So it is."}]

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "container_upload", "file_id": "file_1"},
            {"type": "tool_call", "id": "1", "name": "f", "args": {}},
        ],
    )
    def test_only_an_assistants_message_holds_records(self, block: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=f"Block 1 of message 0 is of type '{block['type']}'"):
            content("a", block)

    def test_cache_point_says_nothing_to_a_model_in_any_role(self) -> None:
        assert content("a", {"cachePoint": {"type": "default"}}) == "a"

    @pytest.mark.parametrize(
        ("block", "text"),
        [
            ({"type": "refusal", "refusal": "I won't"}, "I won't"),
            ({"type": "output_text", "text": "a"}, "a"),
            ({"type": "compaction", "content": "so far"}, "so far"),
            ({"guard_content": {"text": "a"}}, "a"),
        ],
    )
    def test_what_a_model_could_read_is_kept(self, block: dict[str, Any], text: str) -> None:
        assert content(block, kind=AIMessage) == text

    def test_call_that_was_invalid_keeps_its_raw_text_in_an_object(self) -> None:
        invalid = {"type": "invalid_tool_call", "id": "1", "name": "f", "args": '{"x": ', "error": None}
        message = AIMessage("", invalid_tool_calls=[invalid])

        calls = wire_messages([message])[0]["tool_calls"]

        assert calls[0]["function"]["arguments"] == '{"invalid_arguments": "{\\"x\\": "}'


class TestReasoning:
    def test_goes_back_as_the_field(self) -> None:
        message = AIMessage("a", additional_kwargs={"reasoning_content": "hm"})

        assert wire_messages([message]) == [{"role": "assistant", "content": "a", "reasoning": "hm"}]

    def test_block_of_version_1_goes_back_as_the_field(self) -> None:
        message = AIMessage(
            [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "a"}],
            response_metadata={"output_version": "v1", "model_provider": "ovhcloud"},
        )

        assert wire_messages([message]) == [{"role": "assistant", "content": "a", "reasoning": "hm"}]

    def test_of_another_provider_does_not_go_back(self) -> None:
        message = AIMessage(
            "a", additional_kwargs={"reasoning_content": "hm"}, response_metadata={"model_provider": "deepseek"}
        )

        assert wire_messages([message]) == [{"role": "assistant", "content": "a"}]
