"""Converts LlamaIndex's messages to the wire's form.

Pure, except that it reads the files that a message names. Nothing is fetched from a URL.
"""

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from io import IOBase
from pathlib import Path
from typing import Any

import filetype
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
)
from llama_index.core.tools import ToolMetadata

from ovhcloud_ai_endpoints._chat import Role, audio_part, content_of, data_url, image_part, tool_call
from ovhcloud_ai_endpoints._wire import Part, WireMessage

TEXTUAL = ("json", "xml", "yaml", "toml", "javascript")  # endings of MIME types of text that isn't text/*
UNTITLED = "input_document"  # LlamaIndex's own title for a document that was given none
ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def wire_messages(messages: Sequence[ChatMessage]) -> list[WireMessage]:
    """The messages to send.

    Raises:
        ValueError: the service does not accept a block; the error names it, and says what to do.
    """
    return [_wire_message(message, at) for at, message in enumerate(messages)]


def wire_tool(metadata: ToolMetadata) -> dict[str, Any]:
    """A tool in the wire's form, under its own name, even one that the gateway would refuse; that is renamed later."""
    tool: dict[str, Any] = metadata.to_openai_tool(skip_length_check=True)
    return {**tool, "function": {**tool["function"], "name": metadata.get_name()}}


def _wire_message(message: ChatMessage, at: int) -> WireMessage:
    role = ROLES[message.role]
    parts = [part for place, block in enumerate(message.blocks) for part in _parts(block, at, place)]
    wire: WireMessage = {"role": role, "content": content_of(parts, role)}
    match role:
        case "tool":
            wire["tool_call_id"] = str(message.additional_kwargs.get("tool_call_id") or "")
        case "assistant":
            if calls := tool_call_blocks(message):
                wire["tool_calls"] = [
                    tool_call(call.tool_call_id, call.tool_name, call.tool_kwargs, place=place)
                    for place, call in enumerate(calls)
                ]
            if reasoning := _reasoning(message):
                wire["reasoning"] = reasoning
    return wire


def _parts(block: Any, at: int, place: int) -> list[Part]:
    where = f"Block {place} of message {at}"
    match block:
        case TextBlock():
            return [_text(block.text)] if block.text else []
        case ImageBlock(url=url) if url is not None:
            return [image_part(url=str(url), detail=block.detail)]
        case ImageBlock():
            raw = _raw(block.image, block.path, None, f"{where}, an image,")
            kind = block.image_mimetype or filetype.guess_mime(raw)
            if not kind:
                raise ValueError(f"{where} is an image of an unknown type; set image_mimetype")
            return [image_part(url=data_url(_base64(raw), kind), detail=block.detail)]
        case AudioBlock():
            raw = _raw(block.audio, block.path, block.url, f"{where}, a sound,")
            return [audio_part(data=_base64(raw), mime_type=f"audio/{block.format or 'wav'}")]
        case DocumentBlock():
            return [_text(_document(block, f"{where}, a document,"))]
        case CitableBlock():
            header = _text(f"{block.title} ({block.source})")
            return [header, *(part for inner in block.content for part in _parts(inner, at, place))]
        case CitationBlock(cited_content=TextBlock(text=cited)):
            return [_text(f'\n["{cited}", {block.title}, {block.source}]')]
        case CitationBlock():
            return [_text(f"\n[{block.title}, {block.source}]"), *_parts(block.cited_content, at, place)]
        case ThinkingBlock() | ToolCallBlock():
            return []  # sent in fields of the message, not in its content
        case CachePoint():
            return []  # a hint for other services; no model reads it
    raise ValueError(
        f"{where} is a {type(block).__name__}, which no model here reads. Give text or image blocks instead."
    )


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _document(block: DocumentBlock, where: str) -> str:
    """The text of a document, under its title if it has one."""
    raw = _raw(block.data, block.path, block.url, where)
    kind = block.document_mimetype or mimetypes.guess_type(str(block.path or block.url or ""))[0]
    is_text = kind is None or kind.startswith("text/") or kind.endswith(TEXTUAL)
    try:
        text = raw.decode("utf-8-sig") if is_text else None
    except UnicodeDecodeError as error:
        if kind is not None:
            raise ValueError(f"{where} is not UTF-8 text; convert it to UTF-8") from error
        text = None
    if text is None or (kind is None and "\0" in text):
        raise ValueError(
            f"{where} is of {kind or 'an unknown type'}, which no model here reads. "
            "Extract its text, or give its pages as images."
        )
    return text if block.title in {None, UNTITLED} else f"{block.title}\n{text}"


def _raw(data: bytes | IOBase | None, path: Any, url: Any, where: str) -> bytes:
    """The bytes of a block: from its data, an open file, a path or a data URL."""
    if isinstance(data, bytes):  # which LlamaIndex keeps as base64
        return base64.b64decode(data)
    if isinstance(data, IOBase):
        data.seek(0)
        read: bytes = data.read()
        return read
    if path is not None:
        return Path(path).read_bytes()
    match str(url or "").partition(";base64,"):
        case (head, _, encoded) if head.startswith("data:") and encoded:
            return base64.b64decode(encoded)
        case ("", _, _):
            raise ValueError(f"{where} has neither data nor a path; set one of them")
        case _:
            raise ValueError(f"{where} is at {url}, and nothing is fetched here. Download it, and give its bytes.")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def tool_call_blocks(message: ChatMessage) -> list[ToolCallBlock]:
    """The tool calls of a message, from its blocks or, in older messages, from `additional_kwargs`."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    return blocks or [_older_tool_call(call) for call in message.additional_kwargs.get("tool_calls") or []]


def _older_tool_call(call: Any) -> ToolCallBlock:
    """A call as other classes keep it: in OpenAI's form, as a dict or an object."""
    match call.model_dump() if hasattr(call, "model_dump") else call:
        case {"function": {"name": str(name), "arguments": str() | dict() | None as arguments}, **rest}:
            return ToolCallBlock(tool_call_id=rest.get("id"), tool_name=name, tool_kwargs=arguments or {})
        case {"type": "tool_use", "id": id_, "name": str(name), "input": dict() as arguments}:  # Anthropic's
            return ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs=arguments)
        case _:
            raise ValueError(f"A message holds a tool call of an unknown form: {call!r}")


def _reasoning(message: ChatMessage) -> str:
    """The reasoning of a model of this service; others sign theirs, which makes it useless here."""
    blocks = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
    return "".join(block.content or "" for block in blocks if not block.additional_information)
