"""Converts the service's answers to LlamaIndex's responses.

Pure. Tool calls go both into blocks and into `additional_kwargs["tool_calls"]`, because core reads both.
"""

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from llama_index_ovhcloud._messages import tool_call_blocks
from ovhcloud_ai_endpoints._values import Answer, Delta, Message, ToolCall, call_metadata, reasoning_tokens
from ovhcloud_ai_endpoints._wire import Usage

CHUNK = "chat.completion.chunk"  # the `object` of a streamed response


def chat_response(answer: Answer) -> ChatResponse:
    """The response for a whole answer."""
    message = answer.messages[0]
    return ChatResponse(
        message=_chat_message(message, answer.usage),
        raw=answer.body,
        logprobs=_logprobs(message.logprobs),
        additional_kwargs=_said_beside(answer),
    )


def chat_response_chunk(so_far: Answer, delta: Delta) -> ChatResponse:
    """The answer so far, and what one event added to it: `delta`, `thinking_delta` and `logprobs`."""
    message = so_far.messages[0]
    return ChatResponse(
        message=_chat_message(message, None),
        delta=delta.text + delta.refusal,
        raw=_raw(so_far.id, so_far.model, message, delta),
        logprobs=_logprobs(delta.logprobs),
        additional_kwargs={"thinking_delta": delta.reasoning} if delta.reasoning else {},
    )


def last_chat_response(answer: Answer) -> ChatResponse:
    """The end of a stream: the whole message once more, with usage and finish reason."""
    message = answer.messages[0]
    return ChatResponse(
        message=_chat_message(message, answer.usage),
        delta="",
        raw={**_raw(answer.id, answer.model, message), "usage": answer.usage},
        logprobs=_logprobs(message.logprobs),
        additional_kwargs=_said_beside(answer),
    )


def completion_response(response: ChatResponse) -> CompletionResponse:
    """A chat response in the form of an answer to a prompt."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


def tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """The tool calls of a response.

    During a stream, these are the arguments so far. At its end, arguments that are not a JSON object are replaced by
    ones that no tool accepts, so that the tool answers with an error instead of running with a cut value.
    """
    is_partial = _is_partial(response)
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_arguments(block.tool_kwargs, is_partial=is_partial),
        )
        for block in tool_call_blocks(response.message)
    ]


def finish_reason(response: ChatResponse) -> str | None:
    """Why the model stopped; None while it has not."""
    raw: dict[str, Any] = response.raw if isinstance(response.raw, dict) else {}
    choices = raw.get("choices") or [{}]
    reason: str | None = choices[0].get("finish_reason")
    return reason


def _chat_message(message: Message, usage: Usage | None) -> ChatMessage:
    blocks: list[ContentBlock] = []
    if message.reasoning:
        blocks.append(ThinkingBlock(content=message.reasoning, num_tokens=reasoning_tokens(usage)))
    text = message.text + message.refusal  # LlamaIndex has no place of its own for a refusal
    if text or not message.tool_calls:
        blocks.append(TextBlock(text=text))
    tool_calls = []
    for tool_call in message.tool_calls:
        arguments = tool_call.parsed()
        kwargs = tool_call.arguments if arguments is None else arguments
        blocks.append(ToolCallBlock(tool_call_id=tool_call.id, tool_name=tool_call.name, tool_kwargs=kwargs))
        function = {"name": tool_call.name, "arguments": tool_call.arguments or "{}"}
        tool_calls.append({"id": tool_call.id, "type": "function", "function": function})
    return ChatMessage(
        role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": tool_calls} if tool_calls else {}
    )


def _is_partial(response: ChatResponse) -> bool:
    """Whether more of a stream is to come; only its last response has usage."""
    raw = response.raw
    return isinstance(raw, dict) and raw.get("object") == CHUNK and "usage" not in raw


def _arguments(value: dict[str, Any] | str, *, is_partial: bool) -> dict[str, Any]:
    """The arguments of a block as a dict; the block holds them as text while they are not a whole object."""
    if isinstance(value, dict):
        return value
    if is_partial:
        try:
            found = from_json(value, cache_strings="keys", allow_partial="trailing-strings")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
    parsed = ToolCall("", "", value).parsed()
    # No tool can be called with "self", not even one that takes any argument; with a second key core does not pass the
    # single value to a tool with one parameter.
    problem = "The arguments are not a JSON object; maybe they were cut at max_tokens."
    invalid = {"self": problem, "invalid_arguments": value}
    return invalid if parsed is None else parsed


def _said_beside(answer: Answer) -> dict[str, Any]:
    usage = answer.usage or {}
    counts: dict[str, Any] = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    facts = {**counts, "finish_reason": answer.messages[0].finish_reason}
    said = {name: fact for name, fact in facts.items() if fact is not None}
    return said | call_metadata(answer, answer.messages[0])


def _raw(id_: str | None, model: str | None, message: Message, delta: Delta | None = None) -> dict[str, Any]:
    said = {"content": delta.text, "reasoning": delta.reasoning} if delta else {}
    said = {name: text for name, text in said.items() if text}
    choice = {"index": 0, "delta": said, "finish_reason": message.finish_reason}
    return {"id": id_, "model": model, "object": CHUNK, "choices": [choice]}


def _logprobs(said: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """For each token its alternatives, or the token itself if none were requested."""
    tokens = (said or {}).get("content")
    if not tokens:
        return None
    return [[_logprob(choice) for choice in token.get("top_logprobs") or [token]] for token in tokens]


def _logprob(choice: dict[str, Any]) -> LogProb:
    return LogProb(token=choice["token"], logprob=choice["logprob"], bytes=choice.get("bytes") or [])
