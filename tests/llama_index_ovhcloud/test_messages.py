import base64
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_ovhcloud._messages import wire_messages

PICTURE = Path(__file__).parents[1] / "data" / "square.png"
PNG = base64.b64encode(PICTURE.read_bytes()).decode()
URL = f"data:image/png;base64,{PNG}"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}


CITATION = CitationBlock(cited_content=TextBlock(text="c"), source="S", title="T", additional_location_info={})


def content(*blocks: Any, role: str = "user") -> Any:
    return wire_messages([ChatMessage(role=role, blocks=list(blocks))])[0]["content"]


@pytest.mark.parametrize(
    ("role", "sent"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "system"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_each_role_is_one_that_the_service_takes(role: MessageRole, sent: str) -> None:
    assert wire_messages([ChatMessage("x", role=role)])[0]["role"] == sent


def test_every_role_is_translated() -> None:
    for role in MessageRole:
        wire_messages([ChatMessage("x", role=role)])


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(image=PICTURE.read_bytes()),
        ImageBlock(image=PNG.encode()),
        ImageBlock(image=BytesIO(PICTURE.read_bytes())),
        ImageBlock(path=PICTURE),
        ImageBlock(url=URL),
    ],
    ids=["bytes", "base64", "file object", "path", "data url"],
)
def test_image_in_every_form_is_one_on_the_wire(block: ImageBlock) -> None:
    assert content(TextBlock(text="look"), block) == [{"type": "text", "text": "look"}, IMAGE]


def test_image_of_a_file_without_a_name_that_tells_is_recognised(tmp_path: Path) -> None:
    unnamed = tmp_path / "picture"
    unnamed.write_bytes(PICTURE.read_bytes())

    assert content(ImageBlock(path=unnamed)) == [IMAGE]


def test_image_of_an_unknown_kind_is_an_error_with_its_position() -> None:
    with pytest.raises(ValueError, match=r"Block 0 of message 0 .* set image_mimetype"):
        content(ImageBlock(image=BytesIO(b"what")))


def test_url_of_an_image_is_not_fetched() -> None:
    block = ImageBlock(url="http://203.0.113.1/x.png")

    assert content(block) == [{"type": "image_url", "image_url": {"url": "http://203.0.113.1/x.png"}}]


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([TextBlock(text="a"), TextBlock(text="b")], "a\nb"),
        ([TextBlock(text="a"), CachePoint(cache_control={"type": "ephemeral"})], "a"),
        ([DocumentBlock(data=b"# hi", document_mimetype="text/markdown")], "# hi"),
        ([CitableBlock(title="T", source="S", content=[TextBlock(text="c")])], "T (S)\nc"),
        ([DocumentBlock(data="\ufeffé".encode())], "é"),
        (
            [DocumentBlock(data=BytesIO(b'{"a": 1}'), document_mimetype="application/json", title="a.json")],
            'a.json\n{"a": 1}',
        ),
        ([DocumentBlock(url=f"data:text/plain;base64,{base64.b64encode(b'hi').decode()}")], "hi"),
        ([CITATION], '\n["c", T, S]'),
        ([], ""),
    ],
)
def test_text_in_every_form_is_a_string(blocks: list[Any], text: str) -> None:
    assert content(*blocks) == text


def test_sound_is_passed_on() -> None:
    sound = content(AudioBlock(audio=b"RIFF\x00", format="wav"))

    assert sound == [{"type": "input_audio", "input_audio": {"data": "UklGRgA=", "format": "wav"}}]


def test_citation_stands_behind_what_the_assistant_said() -> None:
    assert content(TextBlock(text="It rains."), CITATION, role="assistant") == 'It rains.\n["c", T, S]'


def test_cited_image_is_sent() -> None:
    cited = CitationBlock(cited_content=ImageBlock(url=URL), source="S", title="T", additional_location_info={})

    assert content(cited) == [{"type": "text", "text": "\n[T, S]"}, IMAGE]


@pytest.mark.parametrize("name", ["notes.txt", "notes.md", "notes.csv", "notes"])
def test_document_of_a_file_is_its_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Le café", "utf-8")

    assert content(DocumentBlock(path=path)) == f"{name}\nLe café"
    assert content(DocumentBlock(path=path, title="Menu")) == "Menu\nLe café"


@pytest.mark.parametrize("kind", [AudioBlock, DocumentBlock])
def test_nothing_is_fetched(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"http://203\.0\.113\.1/x\.txt, and nothing is fetched"):
        content(kind(url="http://203.0.113.1/x.txt"))


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (ImageBlock(), "neither data nor a path"),
        (DocumentBlock(data=b"a\x81", document_mimetype="text/plain"), "a document, is not text in UTF-8"),
        (DocumentBlock(data="é".encode("latin-1")), "an unknown type"),
        (DocumentBlock(data=b"a\x00b"), "an unknown type"),
        (DocumentBlock(data=b"\xff\xfe\x80"), "an unknown type"),
        (VideoBlock(video=b"x", video_mimetype="video/mp4"), "VideoBlock"),
        (DocumentBlock(data=b"%PDF-1.7", document_mimetype="application/pdf"), "application/pdf.*as images"),
    ],
)
def test_block_that_no_model_reads_is_an_error_with_its_position(block: Any, said: str) -> None:
    messages = [ChatMessage("first"), ChatMessage(role="user", blocks=[TextBlock(text="a"), block])]

    with pytest.raises(ValueError, match=f"Block 1 of message 1.*{said}"):
        wire_messages(messages)


class TestToolCalls:
    WIRE = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}]

    def test_of_blocks_are_sent(self) -> None:
        block = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"x": "é"})
        message = ChatMessage(role="assistant", blocks=[TextBlock(text="see"), block])

        assert wire_messages([message]) == [{"role": "assistant", "content": "see", "tool_calls": self.WIRE}]

    def test_of_older_messages_are_sent(self) -> None:
        message = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": self.WIRE, "session_id": "x"})

        assert wire_messages([message]) == [{"role": "assistant", "content": "", "tool_calls": self.WIRE}]

    def test_of_older_messages_may_be_objects(self) -> None:
        function = SimpleNamespace(model_dump=lambda: self.WIRE[0])
        message = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [function]})

        assert wire_messages([message])[0]["tool_calls"] == self.WIRE

    @pytest.mark.parametrize(
        "call",
        [
            {"function": {"name": "f", "arguments": {"x": "é"}}},
            {"type": "tool_use", "id": "1", "name": "f", "input": {"x": "é"}},
        ],
    )
    def test_of_older_messages_may_have_other_forms(self, call: Any) -> None:
        message = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [call]})

        assert wire_messages([message])[0]["tool_calls"][0]["function"] == self.WIRE[0]["function"]

    def test_of_an_unknown_form_are_an_error(self) -> None:
        message = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [{"type": "other"}]})

        with pytest.raises(ValueError, match="unknown form"):
            wire_messages([message])

    def test_that_stand_in_both_places_are_sent_once(self) -> None:
        block = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"x": "é"})
        message = ChatMessage(role="assistant", blocks=[block], additional_kwargs={"tool_calls": self.WIRE})

        assert wire_messages([message])[0]["tool_calls"] == self.WIRE

    @pytest.mark.parametrize("arguments", ["", {}, "{}"])
    def test_without_arguments_have_an_empty_object(self, arguments: Any) -> None:
        block = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs=arguments)

        calls = wire_messages([ChatMessage(role="assistant", blocks=[block])])[0]["tool_calls"]

        assert calls[0]["function"]["arguments"] == "{}"

    def test_are_answered_by_id(self) -> None:
        message = ChatMessage("4", role="tool", additional_kwargs={"tool_call_id": "1"})

        assert wire_messages([message]) == [{"role": "tool", "content": "4", "tool_call_id": "1"}]


class TestReasoning:
    THOUGHT = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="a")])

    def test_goes_back_as_the_field(self) -> None:
        assert wire_messages([self.THOUGHT]) == [{"role": "assistant", "content": "a", "reasoning": "hm"}]

    def test_of_another_provider_does_not_go_back(self) -> None:
        signed = ThinkingBlock(content="hm", additional_information={"signature": "s"})

        assert "reasoning" not in wire_messages([ChatMessage(role="assistant", blocks=[signed])])[0]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            DocumentBlock(data=b"%PDF-1.7", document_mimetype="application/pdf"),
            "[document (application/pdf, 8 bytes): can't be shown to the model]",
        ),
        (ImageBlock(), "[image: can't be shown to the model]"),
        (DocumentBlock(path="/not/there.txt"), "[document (/not/there.txt): can't be shown to the model]"),
        (
            DocumentBlock(url="https://h/report.pdf", document_mimetype="application/pdf"),
            "[document (application/pdf, https://h/report.pdf): can't be shown to the model]",
        ),
        (
            VideoBlock(video=b"x", video_mimetype="video/mp4"),
            "[video (video/mp4, 1 bytes): can't be shown to the model]",
        ),
    ],
)
def test_what_can_not_be_sent_of_a_result_is_a_note(block: Any, said: str) -> None:
    message = ChatMessage(role="tool", blocks=[TextBlock(text="see"), block])

    assert wire_messages([message])[0]["content"] == f"see\n{said}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_text_file_in_every_encoding_is_text(encoding: str, kind: str, role: str) -> None:
    block = DocumentBlock(data="größe;1".encode(encoding), document_mimetype=kind)

    assert wire_messages([ChatMessage(role=role, blocks=[block])])[0]["content"] == "größe;1"


def test_text_around_what_can_not_be_sent_of_a_result_is_kept() -> None:
    pdf = DocumentBlock(data=b"%PDF", document_mimetype="application/pdf", title="My doc")
    block = CitableBlock(title="T", source="S", content=[TextBlock(text="cc"), pdf])

    assert wire_messages([ChatMessage(role="tool", blocks=[block])])[0]["content"] == (
        "T (S)\ncc\n[document (application/pdf, My doc, 4 bytes): can't be shown to the model]"
    )
