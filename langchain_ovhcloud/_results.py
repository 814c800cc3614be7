"""Converts the service's answers to LangChain's messages.

Pure. Reasoning is kept in `additional_kwargs["reasoning_content"]`, where core looks for it too; `content_blocks` turns
it into blocks.
"""

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, UsageMetadata
from langchain_core.messages import content as blocks
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails
from langchain_core.messages.tool import ToolCall as LangChainToolCall
from langchain_core.messages.tool import invalid_tool_call as create_invalid_tool_call
from langchain_core.messages.tool import tool_call as create_tool_call
from langchain_core.messages.tool import tool_call_chunk as create_tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.json import parse_partial_json

from langchain_ovhcloud._messages import PROVIDER
from ovhcloud_ai_endpoints._values import Answer, Delta, Message, ToolCallDelta, call_metadata, reasoning_tokens
from ovhcloud_ai_endpoints._wire import Usage

# Each closes what may be open (a string, perhaps after an escape), and then a bracket that is not open.
INVALID_MARKS = ("]", '"]', '\\"]', "}", '"}', '\\"}')
# Core's names for why a model stopped (langchain-core 1.8.4); it adds that of a refusal itself.
FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
}
KNOWS_REFUSALS = hasattr(blocks, "RefusalContentBlock")  # from langchain-core 1.7.5 on


def chat_result(answer: Answer) -> ChatResult:
    """All choices of an answer; the first one has the usage, which is that of all of them."""
    generations = [
        ChatGeneration(
            message=_ai_message(message, answer, usage=answer.usage if place == 0 else None),
            generation_info={"finish_reason": message.finish_reason},
        )
        for place, message in enumerate(answer.messages)
    ]
    return ChatResult(
        generations=generations, llm_output={"token_usage": answer.usage or {}, "model_name": answer.model}
    )


def chunk(delta: Delta) -> ChatGenerationChunk:
    """The chunk for a delta."""
    fields: dict[str, Any] = {"response_metadata": {"model_provider": PROVIDER}}
    if delta.logprobs:
        fields["response_metadata"]["logprobs"] = delta.logprobs
    if delta.tool_calls:
        fields["tool_call_chunks"] = [
            create_tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index)
            for piece in delta.tool_calls
        ]
    if delta.reasoning or delta.refusal:
        fields["additional_kwargs"] = _beside_content(delta)
    return ChatGenerationChunk(message=AIMessageChunk(content=delta.text, id=delta.answer_id, **fields))


def last_chunks(answer: Answer) -> Iterator[ChatGenerationChunk]:
    """The last chunks of a stream, with everything that may come only once, since chunks are added up."""
    message = answer.messages[0]
    for index, tool_call in enumerate(message.tool_calls):
        if tool_call.parsed() is None:
            unsent = tool_call.arguments if "null".startswith(tool_call.arguments.strip()) else ""
            mark = unsent + _mark_of_invalid(tool_call.arguments)
            yield chunk(Delta(tool_calls=(ToolCallDelta(index, None, None, mark),), answer_id=answer.id))
    metadata = _metadata(message, answer)
    metadata.pop("logprobs", None)  # they came with their tokens
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=usage_metadata(answer.usage),
            response_metadata=metadata,
            id=answer.id,
            chunk_position="last",
        ),
        generation_info={"finish_reason": message.finish_reason},
    )


def _mark_of_invalid(arguments: str) -> str:
    """What to append to arguments that are not an object, so that core neither completes nor accepts them."""
    for mark in INVALID_MARKS:
        try:
            completed = parse_partial_json(arguments + mark)
        except ValueError:
            return mark
        if completed is None:  # core's way to say that there is nothing to complete
            return mark
    return INVALID_MARKS[-1]


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """The token counts in LangChain's form; None if the service sent none."""
    if not usage:
        return None
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    counted = UsageMetadata(
        input_tokens=read, output_tokens=written, total_tokens=usage.get("total_tokens") or read + written
    )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is not None:
        counted["input_token_details"] = InputTokenDetails(cache_read=cached)
    if (thought := reasoning_tokens(usage)) is not None:
        counted["output_token_details"] = OutputTokenDetails(reasoning=thought)
    return counted


def _ai_message(message: Message, answer: Answer, *, usage: Usage | None) -> AIMessage:
    valid: list[LangChainToolCall] = []
    invalid: list[InvalidToolCall] = []
    for tool_call in message.tool_calls:
        arguments = tool_call.parsed()
        if arguments is None:
            error = "The arguments are not a JSON object"
            invalid.append(
                create_invalid_tool_call(name=tool_call.name, args=tool_call.arguments, id=tool_call.id, error=error)
            )
        else:
            valid.append(create_tool_call(name=tool_call.name, args=arguments, id=tool_call.id))
    return AIMessage(
        content=message.text,
        additional_kwargs=_beside_content(message),
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(usage),
        response_metadata=_metadata(message, answer),
        id=answer.id,
    )


def _beside_content(part: Message | Delta) -> dict[str, str]:
    """Reasoning and refusal, under the keys where core looks for them."""
    parts = {"reasoning_content": part.reasoning, "refusal": part.refusal}
    return {name: text for name, text in parts.items() if text}


def _metadata(message: Message, answer: Answer) -> dict[str, Any]:
    known = {
        "finish_reason": message.finish_reason,
        "normalized_finish_reason": FINISH_REASONS.get(message.finish_reason or ""),
        "logprobs": message.logprobs,
    }
    return {
        "model_provider": PROVIDER,
        "model_name": answer.model or "",
        **call_metadata(answer, message),
        **{name: value for name, value in known.items() if value is not None},
    }


def content_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """The parts of a message as core's standard blocks; in a chunk, each kind of part has its own index."""
    is_chunk = isinstance(message, AIMessageChunk)
    found: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        found.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_rs"})
    if message.text:
        found.append({"type": "text", "text": str(message.text), "index": "lc_txt"})
    if KNOWS_REFUSALS and (refusal := message.additional_kwargs.get("refusal")):
        found.append({"type": "refusal", "refusal": refusal, "index": "lc_rf"})
    if isinstance(message, AIMessageChunk) and message.chunk_position != "last":
        for tool_call in message.tool_call_chunks:
            piece = {name: tool_call[name] for name in ("id", "name", "args")}
            found.append({"type": "tool_call_chunk", **piece, "index": f"lc_tc_{tool_call['index']}"})
    else:
        found += message.tool_calls
        found += message.invalid_tool_calls
    if not is_chunk:
        found = [{key: value for key, value in block.items() if key != "index"} for block in found]
    return found
