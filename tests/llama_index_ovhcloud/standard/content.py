"""Content blocks, in messages of each role."""

import base64
import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms import ChatMessage, MessageRole

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard.ways import HELLO, Suite, Way

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAASUVORK5CYII="
)
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def image(kind: str, folder: Path) -> ImageBlock:
    match kind:
        case "bytes":
            return ImageBlock(image=PNG)
        case "base64":
            return ImageBlock(image=base64.b64encode(PNG))
        case "file":
            return ImageBlock(image=io.BytesIO(PNG))
        case "url":
            return ImageBlock(url=DATA_URL)
        case _:
            path = folder / ("image.png" if kind == "path" else "image")
            path.write_bytes(PNG)
            return ImageBlock(path=path)


class ContentTests(Suite):
    VISION = "Qwen3.6-27B"

    def user(self, server: LocalEndpoints, llm: Any, *blocks: Any) -> list[Any]:
        """The content of a user's message with these blocks, as it is sent; a text is one part."""
        llm.chat([ChatMessage(role=MessageRole.USER, blocks=list(blocks))])
        content = server.requests[-1].json["messages"][-1]["content"]
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    def test_texts_are_all_sent(self, server: LocalEndpoints, llm: Any) -> None:
        parts = self.user(server, llm, TextBlock(text="one"), TextBlock(text="two"))

        text = "".join(part["text"] for part in parts)
        assert text.startswith("one")
        assert text.endswith("two")

    @pytest.mark.parametrize("kind", ["bytes", "base64", "file", "url", "path", "path without ending"])
    def test_image_is_sent(self, server: LocalEndpoints, tmp_path: Path, kind: str) -> None:
        llm = self.make(server, model=self.VISION)

        parts = self.user(server, llm, TextBlock(text="What is this?"), image(kind, tmp_path))

        assert parts[1]["image_url"]["url"] == DATA_URL

    def test_file_can_be_sent_again(self, server: LocalEndpoints, tmp_path: Path) -> None:
        block, llm = image("file", tmp_path), self.make(server, model=self.VISION)

        for _ in range(2):
            assert self.user(server, llm, block)[0]["image_url"]["url"] == DATA_URL

    def test_image_is_sent_in_async_too(self, server: LocalEndpoints, tmp_path: Path, ask: Way) -> None:
        message = ChatMessage(role=MessageRole.USER, blocks=[image("path", tmp_path)])

        ask(self.make(server, model=self.VISION), [message])

        assert server.requests[-1].json["messages"][0]["content"][0]["image_url"]["url"] == DATA_URL

    def test_detail_is_sent(self, server: LocalEndpoints) -> None:
        parts = self.user(server, self.make(server, model=self.VISION), ImageBlock(image=PNG, detail="low"))

        assert parts[0]["image_url"]["detail"] == "low"

    def test_document_of_text_is_sent_as_text(self, server: LocalEndpoints, llm: Any) -> None:
        block = DocumentBlock(data="Le café".encode(), document_mimetype="text/plain", title="menu.txt")

        parts = self.user(server, llm, TextBlock(text="Read."), block)

        assert "Le café" in "".join(part["text"] for part in parts)

    def test_other_document_is_an_error_that_names_it(self, server: LocalEndpoints, llm: Any) -> None:
        block = DocumentBlock(data=b"%PDF-1.7 x", document_mimetype="application/pdf")

        with pytest.raises(ValueError, match="pdf"):
            self.user(server, llm, block)
        assert server.requests == []

    def test_video_is_an_error_that_names_it(self, server: LocalEndpoints, llm: Any) -> None:
        with pytest.raises(ValueError, match=r"(?i)video"):
            self.user(server, llm, VideoBlock(video=b"\x00\x00\x00\x18ftypmp42", video_mimetype="video/mp4"))
        assert server.requests == []

    def test_cache_point_is_left_out(self, server: LocalEndpoints, llm: Any) -> None:
        point = CachePoint(cache_control=CacheControl(type="ephemeral"))

        assert self.user(server, llm, TextBlock(text="Hi"), point) == [{"type": "text", "text": "Hi"}]

    def test_citable_is_sent_with_its_source(self, server: LocalEndpoints, llm: Any) -> None:
        block = CitableBlock(title="Report", source="report.txt", content=[TextBlock(text="It rained.")])

        text = "".join(part["text"] for part in self.user(server, llm, block))

        for said in ("Report", "report.txt", "It rained."):
            assert said in text

    def test_citation_in_the_history_is_not_lost(self, server: LocalEndpoints, llm: Any) -> None:
        citation = CitationBlock(
            cited_content=TextBlock(text="It rained."), source="report.txt", title="Report", additional_location_info={}
        )
        said = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="Rain."), citation])

        llm.chat([*HELLO, said, *HELLO])

        assert "It rained." in str(server.requests[-1].json["messages"][1]["content"])

    def test_thinking_in_the_history_is_no_content(self, server: LocalEndpoints, llm: Any) -> None:
        thought = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[ThinkingBlock(content="They greet me"), TextBlock(text="Hi")]
        )

        llm.chat([*HELLO, thought, *HELLO])

        assert server.requests[-1].json["messages"][1]["content"] in ("Hi", [{"type": "text", "text": "Hi"}])

    @pytest.mark.parametrize("kwargs", [{"x": 1}, '{"x": 1}', {}, ""])
    def test_tool_call_in_the_history_is_sent(self, server: LocalEndpoints, llm: Any, kwargs: Any) -> None:
        call = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[ToolCallBlock(tool_call_id="i1", tool_name="f", tool_kwargs=kwargs)]
        )
        result = ChatMessage("7", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "i1", "session_id": "s"})

        llm.chat([*HELLO, call, result])

        sent = server.requests[-1].json["messages"]
        function = sent[1]["tool_calls"][0]["function"]
        assert function["arguments"].replace(" ", "") == ('{"x":1}' if kwargs else "{}")
        assert sent[2] == {"role": "tool", "tool_call_id": "i1", "content": "7"}

    def test_image_of_a_tool_is_not_lost(self, server: LocalEndpoints, tmp_path: Path) -> None:
        call = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[ToolCallBlock(tool_call_id="i1", tool_name="f", tool_kwargs={})]
        )
        blocks = [TextBlock(text="a plot"), image("bytes", tmp_path)]
        result = ChatMessage(role=MessageRole.TOOL, blocks=blocks, additional_kwargs={"tool_call_id": "i1"})

        self.make(server, model=self.VISION).chat([*HELLO, call, result])

        assert DATA_URL in str(server.requests[-1].json["messages"][2:])

    def test_sound_is_sent_with_its_format(self, llm: Any, server: LocalEndpoints) -> None:
        wav = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40)
        message = ChatMessage(role=MessageRole.USER, blocks=[AudioBlock(audio=wav)])

        with contextlib.suppress(Exception):  # the service may refuse it, in each provider's words
            llm.chat([message])

        part = server.requests[-1].json["messages"][0]["content"][0]
        assert part["input_audio"] == {"data": base64.b64encode(wav).decode(), "format": "wav"}

    @pytest.mark.parametrize("role", [MessageRole.SYSTEM, MessageRole.USER, MessageRole.ASSISTANT])
    def test_empty_message_is_no_failure(self, server: LocalEndpoints, llm: Any, role: MessageRole) -> None:
        llm.chat([ChatMessage(role=role, blocks=[]), *HELLO])

        assert len(server.requests) == 1
