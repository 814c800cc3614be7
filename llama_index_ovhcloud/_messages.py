"""Converts LlamaIndex's messages to the wire's form.

Pure, except that it reads the files that a message names. Nothing is fetched from a URL.
"""

import base64
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from inspect import isroutine
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

from ovhcloud_ai_endpoints._chat import (
    Role,
    audio_part,
    content_of,
    data_url,
    decoded,
    image_part,
    is_text,
    note,
    size_of,
    text_part,
    tool_call,
)
from ovhcloud_ai_endpoints._wire import Part, WireMessage

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


def wire_tools(tools: Any) -> list[dict[str, Any]]:
    """The tools in the wire's form, in which they may be already.

    Raises:
        TypeError: one of `tools` is not a tool of LlamaIndex.
    """
    if isinstance(tools, str) or not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of LlamaIndex's tools; got {_shown(tools)}")
    return [_wire_tool(tool) for tool in tools]


def _wire_tool(tool: Any) -> dict[str, Any]:
    if isinstance(tool, Mapping):
        return dict(tool)
    if not isinstance(getattr(tool, "metadata", None), ToolMetadata):
        how = f"; write FunctionTool.from_defaults({tool.__name__})" if isroutine(tool) else ""
        raise TypeError(f"tools must be LlamaIndex's tools; got {_shown(tool)}{how}")
    return wire_tool(tool.metadata)


def _shown(value: Any) -> str:
    """A value in an error: what it is called, or else its type, since a text may be long or secret."""
    return f"the function {value.__name__}" if isroutine(value) else f"{type(value).__name__}"


def wire_tool(metadata: ToolMetadata) -> dict[str, Any]:
    """A tool in the wire's form, under its own name, even one that the gateway would refuse; that is renamed later."""
    tool: dict[str, Any] = metadata.to_openai_tool(skip_length_check=True)
    return {**tool, "function": {**tool["function"], "name": metadata.get_name()}}


def _wire_message(message: ChatMessage, at: int) -> WireMessage:
    role = ROLES[message.role]
    parts = [part for place, block in enumerate(message.blocks) for part in _named_parts(block, role, at, place)]
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


def _named_parts(block: Any, role: Role, at: int, place: int) -> list[Part]:
    """The parts of a block, or an error that names it."""
    try:
        return _parts(block, role)
    except ValueError as error:
        raise ValueError(f"Block {place} of message {at}{error}") from error


def _parts(block: Any, role: Role) -> list[Part]:
    """The parts of a block, or a note on it in a tool's result, whose author is not the user.

    Raises:
        ValueError: it can't be sent; the text goes on after the block's name.
        OSError: the file that it names can't be read.
    """
    try:
        return _readable_parts(block, role)
    except (ValueError, OSError):
        if role != "tool":
            raise
        return [text_part(_note_on(block))]


def _note_on(block: Any) -> str:
    kinds = (getattr(block, name, None) for name in ("image_mimetype", "document_mimetype", "video_mimetype", "format"))
    kind = next((str(kind) for kind in kinds if kind), "")
    place = str(getattr(block, "url", None) or getattr(block, "path", None) or "")
    content = next((data for name in ("data", "image", "audio", "video") if (data := getattr(block, name, None))), None)
    size = size_of(content.decode("latin-1")) if isinstance(content, bytes) else 0  # which LlamaIndex keeps as base64
    place = "" if place.startswith("data:") else place
    title = getattr(block, "title", None)
    name = str(getattr(block, "block_type", type(block).__name__))
    return note(name, kind, place, "" if title in {None, UNTITLED} else str(title), size=size)


def _readable_parts(block: Any, role: Role) -> list[Part]:
    match block:
        case TextBlock():
            return [text_part(block.text)] if block.text else []
        case ImageBlock(url=url) if url is not None:
            return [image_part(url=str(url), detail=block.detail)]
        case ImageBlock():
            raw = _raw(block.image, block.path, None, ", an image,")
            kind = block.image_mimetype or filetype.guess_mime(raw)
            if not kind:
                raise ValueError(" is an image of an unknown type; set image_mimetype")
            return [image_part(url=data_url(_base64(raw), kind), detail=block.detail)]
        case AudioBlock():
            raw = _raw(block.audio, block.path, block.url, ", a sound,")
            return [audio_part(data=_base64(raw), mime_type=f"audio/{block.format or 'wav'}")]
        case DocumentBlock():
            return [text_part(_document(block))]
        case CitableBlock():
            header = text_part(f"{block.title} ({block.source})")
            return [header, *(part for inner in block.content for part in _parts(inner, role))]
        case CitationBlock(cited_content=TextBlock(text=cited)):
            return [text_part(f'\n["{cited}", {block.title}, {block.source}]')]
        case CitationBlock():
            return [text_part(f"\n[{block.title}, {block.source}]"), *_parts(block.cited_content, role)]
        case ThinkingBlock() | ToolCallBlock():
            return []  # sent in fields of the message, not in its content
        case CachePoint():
            return []  # a hint for other services; no model reads it
    raise ValueError(f" is a {type(block).__name__}, which no model here reads. Give text or image blocks instead.")


def _document(block: DocumentBlock) -> str:
    """The text of a document, under its title or its file's name, if it has one."""
    raw = _raw(block.data, block.path, block.url, ", a document,")
    kind = block.document_mimetype or mimetypes.guess_type(str(block.path or block.url or ""))[0]
    problem = f"is of {kind or 'an unknown type'}, which no model here reads"
    if kind is None or is_text(kind):
        try:
            text = decoded(raw, is_known_text=kind is not None)
        except ValueError as error:
            problem = str(error) if kind else problem
        else:
            title = Path(block.path or "").name if block.title in {None, UNTITLED} else block.title
            return f"{title}\n{text}" if title else text
    raise ValueError(f", a document, {problem}. Extract its text, or give its pages as images.")


def _raw(data: bytes | IOBase | None, path: Any, url: Any, what: str) -> bytes:
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
            raise ValueError(f"{what} has neither data nor a path; set one of them")
        case _:
            raise ValueError(f"{what} is at {url}, and nothing is fetched here. Download it, and give its bytes.")


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
