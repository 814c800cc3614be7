"""LangChain's messages as the wire has them.

Pure. What kinds of block there are is core's business: `content_blocks` reads its own, v0's, OpenAI's and Anthropic's
forms into one, and only that one is matched here.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)

from ovhcloud_ai_endpoints._chat import audio_part, content_of, data_url, image_part
from ovhcloud_ai_endpoints._wire import Message, Part, ToolCall

PROVIDER = "ovhcloud"
Passback = Literal["auto", "always", "never"]
ROLES: Mapping[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}

# Blocks of an assistant that stand in the message's tool calls or reasoning too, or are another provider's own record.
RECORDED_ELSEWHERE = frozenset(
    {
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "thinking",
        "redacted_thinking",
        "reasoning",
    }
)


def wire_messages(messages: Sequence[BaseMessage], *, reasoning_passback: Passback = "auto") -> list[Message]:
    """The messages to send.

    Args:
        reasoning_passback: on which assistant messages their reasoning goes back: on those after the last user
            message ("auto"), on all, or on none.

    Raises:
        ValueError: a message or block that the service can't be given; it says which and what to do.
    """
    last_user = max((at for at, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    wire = []
    for at, message in enumerate(messages):
        thinks = reasoning_passback == "always" or (reasoning_passback == "auto" and at > last_user)
        wire.append(_wire_message(message, at, thinks=thinks))
    return wire


def _wire_message(message: BaseMessage, at: int, *, thinks: bool) -> Message:
    wire: Message
    match message:
        case SystemMessage():
            wire = {"role": "system", "content": _content(message, at)}
        case HumanMessage():
            wire = {"role": "user", "content": _content(message, at)}
        case AIMessage():
            wire = _assistant(message, at, thinks=thinks)
        case ToolMessage():
            wire = {"role": "tool", "content": _content(message, at), "tool_call_id": message.tool_call_id}
        case ChatMessage(role=role) if role in ROLES:
            wire = {"role": ROLES[role], "content": _content(message, at)}
        case _:
            raise ValueError(f"Message {at} is a {type(message).__name__}, which chat models here can't be given")
    if message.name:
        wire["name"] = message.name
    return wire


def _assistant(message: AIMessage, at: int, *, thinks: bool) -> Message:
    wire: Message = {"role": "assistant", "content": _content(message, at, joint="")}
    calls = [_tool_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    calls += [_invalid_tool_call(call) for call in message.invalid_tool_calls]
    if calls:
        wire["tool_calls"] = calls
    if thinks and (reasoning := _reasoning(message)):
        wire["reasoning"] = reasoning
    return wire


def _content(message: BaseMessage, at: int, *, joint: str = "\n") -> str | list[Part]:
    if isinstance(message.content, str):
        return message.content
    blocks = enumerate(message.content_blocks)
    return content_of([part for place, block in blocks for part in _parts(dict(block), at, place)], joint=joint)


def _parts(block: dict[str, Any], at: int, place: int) -> list[Part]:
    where = f"Block {place} of message {at}"
    match block:
        case {"type": "text", "text": str(text)} | {"type": "text-plain", "text": str(text)}:
            return [{"type": "text", "text": text}] if text else []
        case {"type": "image", "base64": str(data), "mime_type": str(mime_type)}:
            return [image_part(url=data_url(data, mime_type), detail=block.get("extras", {}).get("detail"))]
        case {"type": "image", "url": str(url)}:
            return [image_part(url=url, detail=block.get("extras", {}).get("detail"))]
        case {"type": "image", "base64": _}:
            raise ValueError(f"{where} is an image without mime_type, such as 'image/png'")
        case {"type": "non_standard", "value": {"type": "image_url", "image_url": str(url)}}:
            return [image_part(url=url)]
        case {"type": "audio", "base64": str(data), "mime_type": str(mime_type)}:
            return [audio_part(data=data, mime_type=mime_type)]
        case {"type": "text-plain" | "file", "base64": str(data), "mime_type": str(mime_type)} if mime_type.startswith(
            "text/"
        ):
            return [{"type": "text", "text": base64.b64decode(data).decode()}]
        case {"type": "file" | "video" | "audio" as kind}:
            raise ValueError(
                f"{where} is of type {kind!r} ({block.get('mime_type', 'unknown')}), which no model here reads. "
                "Extract its text, or give its pages or frames as images."
            )
        case {"type": kind} if kind in RECORDED_ELSEWHERE:
            return []
        case {"type": "non_standard", "value": {"type": kind}} if kind in RECORDED_ELSEWHERE:
            return []
    kind = block.get("value", block).get("type")
    raise ValueError(f"{where} is of type {kind!r}, which is not known here. Give text or image blocks instead.")


def _reasoning(message: AIMessage) -> str:
    """The reasoning that a model of this service gave, or that a caller wrote."""
    if message.response_metadata.get("model_provider", PROVIDER) != PROVIDER:
        return ""
    said = message.additional_kwargs.get("reasoning_content")
    if isinstance(said, str):
        return said
    blocks = message.content if isinstance(message.content, list) else []
    return "".join(
        block.get("reasoning", "") for block in blocks if isinstance(block, dict) and block.get("type") == "reasoning"
    )


def _tool_call(id_: str | None, name: str, arguments: Mapping[str, Any]) -> ToolCall:
    text = json.dumps(arguments, ensure_ascii=False)
    return {"id": id_ or "", "type": "function", "function": {"name": name, "arguments": text}}


def _invalid_tool_call(call: InvalidToolCall) -> ToolCall:
    """A call whose arguments are no JSON, with its raw text in an object, because the service refuses anything else."""
    return _tool_call(call["id"], call["name"] or "unknown", {"invalid_arguments": call["args"] or ""})
