"""LlamaIndex's messages as the wire has them.

Pure but for reading the image files that a message names. Nothing is fetched from a URL.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from io import IOBase
from pathlib import Path
from typing import Any, Literal

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

from ovhcloud_ai_endpoints._chat import audio_part, content_of, data_url, image_part
from ovhcloud_ai_endpoints._stream import new_tool_call_id
from ovhcloud_ai_endpoints._wire import Message, Part, ToolCall

Passback = Literal["auto", "always", "never"]
ROLES: Mapping[MessageRole, Literal["system", "user", "assistant", "tool"]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def wire_messages(messages: Sequence[ChatMessage], *, reasoning_passback: Passback = "auto") -> list[Message]:
    """The messages to send.

    Args:
        reasoning_passback: on which assistant messages their reasoning goes back: on those after the last user
            message ("auto"), on all, or on none.

    Raises:
        ValueError: a block that the service can't be given; it says which and what to do.
    """
    last_user = max((at for at, message in enumerate(messages) if ROLES[message.role] == "user"), default=-1)
    wire = []
    for at, message in enumerate(messages):
        thinks = reasoning_passback == "always" or (reasoning_passback == "auto" and at > last_user)
        wire.append(_wire_message(message, at, thinks=thinks))
    return wire


def _wire_message(message: ChatMessage, at: int, *, thinks: bool) -> Message:
    role = ROLES[message.role]
    parts = [part for place, block in enumerate(message.blocks) for part in _parts(block, at, place)]
    wire: Message = {"role": role, "content": content_of(parts, joint="" if role == "assistant" else "\n")}
    match role:
        case "tool":
            wire["tool_call_id"] = str(message.additional_kwargs.get("tool_call_id") or "")
        case "assistant":
            if calls := _tool_calls(message):
                wire["tool_calls"] = calls
            if thinks and (reasoning := _reasoning(message)):
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


def _tool_calls(message: ChatMessage) -> list[ToolCall]:
    calls = [
        _tool_call(block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    if calls:
        return calls
    return [
        _tool_call(call.get("id"), call["function"]["name"], call["function"].get("arguments"))
        for call in message.additional_kwargs.get("tool_calls") or []
        if isinstance(call, dict)
    ]


def _tool_call(id_: str | None, name: str, arguments: Any) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"id": id_ or new_tool_call_id(), "type": "function", "function": {"name": name, "arguments": text or "{}"}}


def _reasoning(message: ChatMessage) -> str:
    """The reasoning that a model of this service gave; others sign theirs, which is then of no use here."""
    blocks = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
    return "".join(block.content or "" for block in blocks if not block.additional_information)
