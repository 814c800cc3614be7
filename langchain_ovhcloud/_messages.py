"""Converts LangChain's messages to the wire's form.

Pure. Core knows the kinds of block: its `content_blocks` turns its own, v0's, OpenAI's and Anthropic's forms into one
standard form, and only that is matched here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ovhcloud_ai_endpoints._chat import (
    Role,
    audio_part,
    content_of,
    data_url,
    decoded,
    from_base64,
    image_part,
    is_text,
    note_on,
    text_part,
    tool_call,
)
from ovhcloud_ai_endpoints._wire import Part, WireMessage

PROVIDER = "ovhcloud"
STRINGIFIED = frozenset({"audio", "video"})  # blocks that core's tools can't hold
START_OF_BLOCKS = '[{"type": "'
TEXT_FORMATS = frozenset({"csv", "html", "md", "txt"})  # of Bedrock's documents
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}

# Blocks of an assistant's message that are not sent as content: copies of its tool calls and reasoning, and providers'
# records of their own tools.
RECORDS = frozenset(
    {
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "custom_tool_call",
        "thinking",
        "reference",
        "redacted_thinking",
        "reasoning",
        "reasoning_content",
        "server_tool_use",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "computer_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "executable_code",
        "code_execution_result",
        "toolUse",
        "function_call_signature",
        "compaction",
        "container_upload",
        "tool_search_call",
        "shell_call",
        "local_shell_call",
        "apply_patch_call",
        "mcp_approval_request",
    }
)


def wire_messages(messages: Sequence[BaseMessage]) -> list[WireMessage]:
    """The messages to send.

    Raises:
        ValueError: the service does not accept a message or block; the error names it, and says what to do.
    """
    return [_wire_message(in_core_form(message), at) for at, message in enumerate(messages)]


def with_countable_images(message: BaseMessage) -> BaseMessage:
    """The message with every image in the form that core's token count knows; it counts other forms as text."""
    if isinstance(message.content, str):
        return message
    content = [{"type": "image_url"} if _is_foreign_image(block) else block for block in message.content]
    return message.model_copy(update={"content": content})


def _is_foreign_image(block: Any) -> bool:
    match block:
        case {"type": "input_image"}:
            return True
        case {"type": "media", "mime_type": str(mime_type)}:
            return mime_type.startswith("image/")
    return False


def _wire_message(message: BaseMessage, at: int) -> WireMessage:
    match message:
        case SystemMessage():
            wire = _of_role("system", message, at)
        case HumanMessage():
            wire = _of_role("user", message, at)
        case AIMessage():
            wire = _of_role("assistant", message, at)
            calls: list[tuple[str | None, str, Any]] = [
                (call["id"], call["name"], call["args"]) for call in message.tool_calls
            ]
            calls += [
                (call["id"], call["name"] or "unknown", call["args"] or "") for call in message.invalid_tool_calls
            ]
            if calls:
                wire["tool_calls"] = [tool_call(*call, place=place) for place, call in enumerate(calls)]
            if reasoning := _reasoning(message):
                wire["reasoning"] = reasoning
        case ToolMessage():
            wire = _of_role("tool", _with_blocks(message), at)
            wire["tool_call_id"] = message.tool_call_id
        case FunctionMessage() | ChatMessage(role="tool" | "function"):  # of old checkpoints, which name no call
            wire = {**_of_role("tool", message, at), "tool_call_id": ""}
        case ChatMessage(role=role) if role in ROLES:
            wire = _of_role(ROLES[role], message, at)
        case _:
            kind = (
                f"{type(message).__name__} of role {message.role!r}"
                if isinstance(message, ChatMessage)
                else message.type
            )
            raise ValueError(f"Message {at} is a {kind} message, which the service refuses; convert or omit it")
    if message.name:
        wire["name"] = message.name
    return wire


def _with_blocks(message: ToolMessage) -> ToolMessage:
    """The result with the blocks of which core made one text, as it does where a sound or video is among them."""
    content = message.content
    if not isinstance(content, str) or not content.startswith(START_OF_BLOCKS):
        return message
    try:
        blocks = json.loads(content)
    except (ValueError, RecursionError):
        return message
    are_blocks = all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks)
    if are_blocks and any(block["type"] in STRINGIFIED and isinstance(block.get("base64"), str) for block in blocks):
        return message.model_copy(update={"content": blocks})
    return message


def _of_role(role: Role, message: BaseMessage, at: int) -> WireMessage:
    if isinstance(message.content, str):
        return {"role": role, "content": message.content}
    blocks = enumerate(_blocks(message, role, at))
    parts = [part for place, block in blocks for part in _parts_or_note(block, role, at, place)]
    return {"role": role, "content": content_of(parts, role)}


def _blocks(message: BaseMessage, role: Role, at: int) -> list[dict[str, Any]]:
    """The blocks of a message in core's standard form.

    Raises:
        ValueError: core can't read one of them; in a tool's result it stays as it is.
    """
    content = message.content
    try:
        return [dict(block) for block in message.content_blocks]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of core, whose translators trust the blocks
        if role != "tool":
            raise ValueError(f"A block of message {at} can't be read by langchain-core: {error!r}") from error
        if len(content) == 1:
            return [{"type": "non_standard", "value": content[0]}]
        alone = (message.model_copy(update={"content": [block]}) for block in content)
        return [block for one in alone for block in _blocks(one, role, at)]


def in_core_form(message: BaseMessage) -> BaseMessage:
    """The message with blocks in core's own form that core would misread in another."""
    if isinstance(message.content, str):
        return message
    content = [_in_core_form(block) for block in message.content]
    return message if content == message.content else message.model_copy(update={"content": content})


def _in_core_form(block: Any) -> Any:
    """A block in core's own form, if core would misread it: it takes any file of OpenAI's form for a PDF."""
    match block:
        case {"type": "text-plain" | "file", "source_type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "file", "file": {"file_data": str(url)}} | {"type": "input_file", "file_data": str(url)} if (
            url.startswith("data:") and ";base64," in url
        ):
            head, _, data = url.partition(";base64,")
            return {"type": "file", "base64": data, "mime_type": head.removeprefix("data:")}
    return block


def _parts_or_note(block: dict[str, Any], role: Role, at: int, place: int) -> list[Part]:
    """The parts of a block, or an error that names it; a note in a tool's result, whose author is not the user."""
    try:
        return _parts(block, role)
    except (ValueError, RecursionError) as error:
        if role == "tool":
            return [text_part(note_on(block["value"] if block["type"] == "non_standard" else block))]
        raise ValueError(f"Block {place} of message {at} {error}") from error


def _parts(block: dict[str, Any], role: Role) -> list[Part]:
    """The parts of a block.

    Raises:
        ValueError: it can't be sent; the text goes on after the block's name.
    """
    match block:
        case {"type": "text-plain", "text": str(text)}:
            return [text_part(_titled(text, block))]
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return [text_part(text)] if text else []
        case {"type": "image", "base64": str(data), "mime_type": str(mime_type)}:
            return [image_part(url=data_url(data, mime_type), detail=_detail(block))]
        case {"type": "image", "data": str(data), "mimeType": str(mime_type)}:  # MCP's
            return [image_part(url=data_url(data, mime_type))]
        case {"type": "image", "url": str(url)}:
            return [image_part(url=url, detail=_detail(block))]
        case {"type": "image", "base64": bytes()}:
            raise ValueError("is an image whose base64 is bytes; give a text: base64.b64encode(...).decode()")
        case {"type": "image", "base64": _}:
            raise ValueError("is an image without mime_type; set one, such as 'image/png'")
        case {"type": "audio", "base64": str(data), "mime_type": str(mime_type)}:
            return [audio_part(data=data, mime_type=mime_type)]
        case {"type": "text-plain" | "file", "base64": str(data), "mime_type": str(mime_type)} if is_text(mime_type):
            return [text_part(_titled(decoded(from_base64(data)), block))]
        case {"type": "file", "base64": str(data), "mime_type": str(mime_type)} if mime_type.startswith("image/"):
            return [image_part(url=data_url(data, mime_type))]
        case {"type": "file" | "video" | "audio" as kind}:
            raise ValueError(
                f"is of type {kind!r} ({block.get('mime_type', 'unknown')}), which no model here reads. "
                "Extract its text, or give its pages or frames as images."
            )
        case {"type": "non_standard", "value": dict(value)}:
            return _foreign_parts(value, role)
        case {"type": kind} if role == "assistant" and kind in RECORDS:
            return []
    raise ValueError(_unknown(block.get("type")))


def _titled(text: str, block: Mapping[str, Any]) -> str:
    """A text under its title (or a file's name), source and context, if it has them."""
    facts = {**(block.get("extras") or {}), **block}
    title, filename, source, context = (
        value if isinstance(value := facts.get(name), str) else ""
        for name in ("title", "filename", "source", "context")
    )
    title = title or filename
    head = f"{title} ({source})" if title and source else title or source
    return "\n".join(filter(None, (head, context, text)))


def _foreign_parts(value: Any, role: Role) -> list[Part]:
    """The parts of a block that core leaves in its provider's form."""
    match value:
        case str():
            return [text_part(value)]
        case {"type": "input_text" | "output_text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return [text_part(text)]
        case {"type": "image_url" | "input_image", "image_url": str(url)}:
            return [image_part(url=url, detail=_detail(value))]
        case {"type": "compaction", "content": str(text)} | {"guard_content": {"text": str(text)}}:
            return [text_part(text)]
        case {"guardContent": {"text": {"text": str(text)}}} | {"guard_content": {"text": {"text": str(text)}}}:
            return [text_part(text)]
        case {"type": "search_result", "content": list(content)} | {
            "type": "document",
            "source": {"type": "content", "content": list(content)},
        }:
            parts = [part for inner in content for part in _foreign_parts(inner, role)]
            return [text_part(head), *parts] if (head := _titled("", value)) else parts
        case {"type": "text", "text": str(text)} | {"type": "resource", "resource": {"text": str(text)}}:
            return [text_part(text)]
        case {"type": "resource", "resource": {"blob": str(data), "mimeType": str(mime_type)}}:
            return _parts({"type": "file", "base64": data, "mime_type": mime_type}, role)
        case {"type": "media", "mime_type": str(mime_type), "data": str(data)} if mime_type.startswith("image/"):
            return [image_part(url=data_url(data, mime_type))]
        case {"type": "media", "mime_type": str(mime_type), "data": str(data)} if is_text(mime_type):
            return [text_part(decoded(from_base64(data)))]
        case {"document": {"format": str(ending), "source": {"bytes": bytes(raw)}}} if ending in TEXT_FORMATS:
            return [text_part(decoded(raw))]
        case {"json": content}:
            return [text_part(json.dumps(content, ensure_ascii=False, default=str))]
        case {"cachePoint": _} | {"type": "cachePoint"}:
            return []
        case {"type": str(kind)} if role == "assistant" and kind in RECORDS:
            return []
        case {}:
            kind = next(iter(value), "empty")
            if role == "assistant" and kind in RECORDS:
                return []
            raise ValueError(_unknown(value.get("type", kind)))
    raise ValueError(_unknown(type(value).__name__))


def _detail(block: Mapping[str, Any]) -> str | None:
    """How closely to look at an image, if the user said so."""
    match block:
        case {"detail": str(detail)} | {"extras": {"detail": str(detail)}}:
            return detail
    return None


def _unknown(kind: Any) -> str:
    image = '{"type": "image", "base64": …, "mime_type": "image/png"}'
    return f"is of type {kind!r}, which is unknown here or lacks its content. Give text, or an image such as {image}."


def _reasoning(message: AIMessage) -> str:
    """The reasoning in a message of this service or of the caller's own; empty for other providers."""
    if message.response_metadata.get("model_provider", PROVIDER) != PROVIDER:
        return ""
    said = message.additional_kwargs.get("reasoning_content")
    if isinstance(said, str):
        return said
    blocks = message.content if isinstance(message.content, list) else []
    return "".join(
        block.get("reasoning", "") for block in blocks if isinstance(block, dict) and block.get("type") == "reasoning"
    )
