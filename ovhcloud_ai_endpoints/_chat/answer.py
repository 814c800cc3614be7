"""Reads a whole answer.

Pure, except that it draws a random id for a tool call whose id is missing or repeated.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from ovhcloud_ai_endpoints._chat.control_tokens import restored
from ovhcloud_ai_endpoints._chat.thinking import ThinkTags
from ovhcloud_ai_endpoints._chat.tool_arguments import Arguments
from ovhcloud_ai_endpoints._chat.tool_names import OfferedNames
from ovhcloud_ai_endpoints._http import event_error, invalid_response
from ovhcloud_ai_endpoints._surrogates import well_formed
from ovhcloud_ai_endpoints._values import Answer, Exchange, Message, ToolCall
from ovhcloud_ai_endpoints._wire import Body, Usage


class Asked(Protocol):
    """What the reader of an answer needs to know about its request; `ChatRequest` documents each."""

    @property
    def model(self) -> str | None: ...
    @property
    def one_call(self) -> bool: ...
    @property
    def tool_names(self) -> Mapping[str, str]: ...
    @property
    def tool_schemas(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def has_neutralized_tokens(self) -> bool: ...
    @property
    def merge_deltas(self) -> bool: ...


def read_answer(body: Body, raw: bytes, exchange: Exchange, request: Asked) -> Answer:
    """Reads the body of a chat completion.

    Raises:
        OVHCloudError: the body is an error, despite its status.
        InvalidResponseError: it has no choices, or is not shaped like a chat completion.
    """
    if body.get("error"):
        raise event_error(body, body=raw)
    try:
        messages = tuple(_message(choice, request) for choice in body["choices"])
        usage = read_usage(body.get("usage"))
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise invalid_response("The answer has an unknown shape", raw) from error
    if not messages or any(message == Message() for message in messages):
        raise invalid_response("The answer is empty", raw)
    return Answer(
        messages=messages,
        id=optional_text(body.get("id")),
        model=optional_text(body.get("model")) or request.model,
        system_fingerprint=optional_text(body.get("system_fingerprint")),
        usage=usage,
        exchange=exchange,
        body=body,
    )


def _message(choice: Mapping[str, Any], request: Asked) -> Message:
    fields = choice["message"]
    restore = partial(restored, is_needed=request.has_neutralized_tokens)
    calls = fields.get("tool_calls")
    tool_calls = _tool_calls(calls, request, restore) if calls else []
    text, reasoning, refusal = (
        restore(well_formed(said))
        for said in (read_content(fields.get("content")), read_reasoning(fields), read_text(fields.get("refusal")))
    )
    if not reasoning:
        tags = ThinkTags()
        (text, reasoning), (more_text, more_reasoning) = tags.feed(text), tags.end()
        text, reasoning = text + more_text, reasoning + more_reasoning
    return Message(
        text=text,
        reasoning=reasoning,
        refusal=refusal,
        tool_calls=tuple(tool_calls[:1] if request.one_call else tool_calls),
        finish_reason=optional_text(choice.get("finish_reason")),
        logprobs=read_logprobs(choice.get("logprobs")),
    )


def _tool_calls(pieces: Any, request: Asked, restore: Callable[[str], str]) -> list[ToolCall]:
    names = OfferedNames(request.tool_schemas, request.tool_names)
    tool_calls: list[ToolCall] = []
    ids: set[str] = set()
    for tool_call in pieces:
        function = tool_call.get("function") or {}
        name = names.called(read_text(function.get("name")))
        arguments = Arguments(request.tool_schemas.get(name))
        text = arguments.feed(restore(read_arguments(function.get("arguments")))) + arguments.end()
        id_ = read_text(tool_call.get("id"))
        if not id_ or id_ in ids:
            id_ = new_tool_call_id()
        ids.add(id_)
        tool_calls.append(ToolCall(id_, name, text))
    return tool_calls


def read_content(content: Any) -> str:
    """The content as one string, whether it came as a string or as a list of parts."""
    if isinstance(content, list):
        texts = (part if isinstance(part, str) else part.get("text") or part.get("refusal") for part in content)
        return "".join(map(read_text, texts))
    return read_text(content)


def read_reasoning(fields: Mapping[str, Any]) -> str:
    """The field `reasoning`, or else `reasoning_content`, its older name, which some engines still use."""
    return read_text(fields.get("reasoning")) or read_text(fields.get("reasoning_content"))


def read_arguments(value: Any) -> str:
    """The arguments of a tool call as text, even if an engine sends an object."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else read_text(value)


def read_text(value: Any) -> str:
    """A string as it is, None as an empty one. Raises TypeError for anything else."""
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError(f"expected a string; got {type(value).__name__}")


def optional_text(value: Any) -> str | None:
    """An id or name; None if there is none."""
    return str(value) if value else None


def read_logprobs(value: Any) -> Mapping[str, Any] | None:
    """The log probability of each token, or None if there are none. Raises TypeError or KeyError if malformed."""
    if not value or not value.get("content"):
        return None
    for token in value["content"]:
        for choice in (token, *(token.get("top_logprobs") or [])):
            if not isinstance(choice["token"], str) or not isinstance(choice["logprob"], int | float):
                raise TypeError("expected a token and its log probability")
            float(choice["logprob"])
            if not isinstance(choice.get("bytes"), list | None) or not all(
                isinstance(byte, int) for byte in choice.get("bytes") or []
            ):
                raise TypeError("expected the bytes of a token")
    logprobs: Mapping[str, Any] = value
    return logprobs


def read_usage(value: Any) -> Usage | None:
    """The token counts, or None if there are none. Raises TypeError if one is not an integer."""
    if not value:
        return None
    for counts in (value, *(value.get(name) or {} for name in ("prompt_tokens_details", "completion_tokens_details"))):
        for name, count in counts.items():
            if name.endswith("_tokens") and not isinstance(count, int | None):
                raise TypeError(f"{name} must be an integer")
    usage: Usage = value
    return usage


def new_tool_call_id() -> str:
    """Nine letters and digits: the only form that Mistral's templates accept, and fine for all others."""
    return uuid.uuid4().hex[:9]
