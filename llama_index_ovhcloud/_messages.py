"""LlamaIndex's messages as the wire has them.

Pure but for reading the image files that a message names. Nothing is fetched from a URL.
"""

import base64
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

from ovhcloud_ai_endpoints._chat import Role, audio_part, content_of, data_url, image_part, tool_call
from ovhcloud_ai_endpoints._wire import Part, WireMessage

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
        ValueError: a block that the service can't be given; it says which and what to do.
    """
    return [_wire_message(message, at) for at, message in enumerate(messages)]


def _wire_message(message: ChatMessage, at: int) -> WireMessage:
    role = ROLES[message.role]
    parts = [part for place, block in enumerate(message.blocks) for part in _parts(block, at, place)]
    wire: WireMessage = {"role": role, "content": content_of(parts, role)}
    match role:
        case "tool":
            wire["tool_call_id"] = str(message.additional_kwargs.get("tool_call_id") or "")
        case "assistant":
            if calls := _tool_calls(message):
                wire["tool_calls"] = [tool_call(*call, place=place) for place, call in enumerate(calls)]
            if reasoning := _reasoning(message):
                wire["reasoning"] = reasoning
    return wire


def _parts(block: Any, at: int, place: int) -> list[Part]:
    where = f"Block {place} of message {at}"
    match block:
        case TextBlock():
            return [{"type": "text", "text": block.text}] if block.text else []
        case ImageBlock():
            return [image_part(url=_image_url(block, where), detail=block.detail)]
        case AudioBlock():
            data = base64.b64encode(block.resolve_audio().read()).decode()
            return [audio_part(data=data, mime_type=f"audio/{block.format or 'wav'}")]
        case DocumentBlock() if (block.document_mimetype or "").startswith("text/"):
            return [{"type": "text", "text": block.resolve_document().read().decode()}]
        case CitableBlock():
            header: Part = {"type": "text", "text": f"{block.title} ({block.source})"}
            return [header, *(part for inner in block.content for part in _parts(inner, at, place))]
        case ThinkingBlock() | ToolCallBlock():
            return []  # a field of the message, not of its content
        case CachePoint() | CitationBlock():
            return []  # marks for other services, and nothing that a model reads
        case DocumentBlock():
            kind = block.document_mimetype or "a type that is not said"
            raise ValueError(
                f"{where} is a document of {kind}, which no model here reads. "
                "Extract its text, or give its pages as images."
            )
    raise ValueError(
        f"{where} is a {type(block).__name__}, which no model here reads. Give text or image blocks instead."
    )


def _image_url(block: ImageBlock, where: str) -> str:
    if block.url is not None:
        return str(block.url)
    if isinstance(block.image, bytes):  # which LlamaIndex keeps as base64
        data, raw = block.image.decode(), base64.b64decode(block.image)
    else:
        if isinstance(block.image, IOBase):
            block.image.seek(0)
            raw = block.image.read()
        elif block.path is not None:
            raw = Path(block.path).read_bytes()
        else:
            raise ValueError(f"{where} is an image without image, path or url")
        data = base64.b64encode(raw).decode()
    mime_type = block.image_mimetype or filetype.guess_mime(raw)
    if not mime_type:
        raise ValueError(f"{where} is an image of a kind that is not recognised; set image_mimetype")
    return data_url(data, mime_type)


def _tool_calls(message: ChatMessage) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of each call, from blocks or, in older messages, from where these kept them."""
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if calls:
        return [(call.tool_call_id, call.tool_name, call.tool_kwargs) for call in calls]
    return [_older_tool_call(call) for call in message.additional_kwargs.get("tool_calls") or []]


def _older_tool_call(call: Any) -> tuple[str | None, str, Any]:
    """Id, name and arguments of a call as other classes keep it: in OpenAI's form, as a dict or an object."""
    match call.model_dump() if hasattr(call, "model_dump") else call:
        case {"id": id_, "function": {"name": str(name), "arguments": arguments}}:
            return id_, name, arguments
        case _:
            raise ValueError(f"A message holds a tool call of an unknown form: {call!r}")


def _reasoning(message: ChatMessage) -> str:
    """The reasoning that a model of this service gave; others sign theirs, which is then of no use here."""
    blocks = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
    return "".join(block.content or "" for block in blocks if not block.additional_information)
