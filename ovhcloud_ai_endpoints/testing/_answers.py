"""The shapes of the service's answers: a completion, its stream, embeddings, the list of models.

Pure. As captured or documented: no `content` key when there is none, `tool_calls: []` when there are none, `reasoning`
and not its older name, a last event with usage and empty `choices`.
"""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ovhcloud_ai_endpoints._catalogue import bundled_models, model
from ovhcloud_ai_endpoints.testing._gateway import prompt_tokens, served, tokens
from ovhcloud_ai_endpoints.testing._script import Said, Step, Vectors, event
from ovhcloud_ai_endpoints.testing._vectors import as_base64, vector


def completion(chat: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """A whole chat completion."""
    choices = []
    spoken, finish = _limited(chat, said)
    for index in range(chat.get("n") or 1):
        message: dict[str, Any] = {"role": "assistant"}
        if spoken.text is not None:
            message["content"] = spoken.text
        if spoken.reasoning:
            message["reasoning"] = spoken.reasoning
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in spoken.tool_calls
        ]
        choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": finish}
        if chat.get("logprobs"):
            choice["logprobs"] = {"content": [_logprob(piece) for piece in _pieces(spoken.text or "")]}
        choices.append(choice)
    return {**_head(chat, "chat.completion"), "choices": choices, "usage": _usage(chat, spoken)}


def events(chat: Mapping[str, Any], said: Said) -> Iterator[Step]:
    """The same as a stream of server-sent events."""
    if has_empty_stream(chat):
        yield event("[DONE]")
        return
    head = _head(chat, "chat.completion.chunk")
    spoken, finish = _limited(chat, said)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning": piece} for piece in _pieces(spoken.reasoning or "")]
    deltas += [{"content": piece} for piece in _pieces(spoken.text or "")]
    for index, (id_, name, arguments) in enumerate(spoken.tool_calls):
        first = {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": ""}}
        if model(resolved(chat)).family == "mistral":  # its calls come in one piece
            function = {"name": name, "arguments": arguments}
            deltas.append({"role": "assistant", "tool_calls": [{**first, "function": function}]})
            continue
        deltas.append({"role": "assistant", "tool_calls": [first]})
        for piece in _pieces(arguments):
            deltas.append({"role": "assistant", "tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    for delta in deltas:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if chat.get("logprobs") and delta.get("content"):
            choice["logprobs"] = {"content": [_logprob(delta["content"])]}
        yield event({**head, "choices": [choice]})
    last = {"tool_calls": [{"index": len(spoken.tool_calls) - 1, "function": {"arguments": ""}}]}
    delta = last if spoken.tool_calls else {}
    yield event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    if (chat.get("stream_options") or {}).get("include_usage"):
        yield event({**head, "choices": [], "usage": _usage(chat, spoken)})
    yield event("[DONE]")


def embeddings(asked: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """Vectors for each text of the input.

    Raises:
        ValueError: the script has another number of vectors.
    """
    facts = model(asked["model"])
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    width = asked.get("dimensions") or facts.dimensions or 1
    encoded = as_base64 if asked.get("encoding_format") == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(numbers)}
        for index, numbers in enumerate(_vectors(texts, width, said.vectors))
    ]
    count = sum(tokens(text) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": facts.id, "data": data, "usage": usage}


def _vectors(texts: list[str], width: int, given: Vectors | None) -> list[list[float]]:
    if given is None:
        return [vector(text, width) for text in texts]
    found = [[float(number) for number in one] for one in (map(given, texts) if callable(given) else given)]
    if len(found) != len(texts):
        raise ValueError(f"reply(vectors=...) has {len(found)} vectors for a request of {len(texts)} texts")
    return found


def models() -> dict[str, Any]:
    """What `GET /v1/models` lists."""
    data = [
        {
            "id": found.id,
            "object": "model",
            "created": 1_788_356_485,
            "owned_by": "OVHcloud",
            "context_length": found.context_length or 0,
            "max_completion_tokens": found.max_completion_tokens or 0,
            "pricing": {
                "currency_unit": "USD",
                "prompt": f"{found.usd_per_million_tokens.get('input', 0) / 1e6:.10f}",
                "completion": f"{found.usd_per_million_tokens.get('output', 0) / 1e6:.10f}",
            },
        }
        for found in bundled_models()
    ]
    return {"object": "list", "data": data}


def catalogue() -> list[dict[str, Any]]:
    """What the catalogue behind the web site has: a page's slug as `id`, and the model's name as `name`."""
    return [
        {
            "id": re.sub(r"[^a-z0-9]+", "-", found.id.lower()),
            "name": found.id,
            "category": {"embedding": "Embeddings", "guard": "LLM Guard"}.get(
                found.kind, "Large Language Models (LLM)"
            ),
            "tags": [""],
            "metadata": {
                "aliases": list(found.aliases),
                "model_specs": {
                    "capabilities": {
                        "function_calling": found.tool_calling,
                        "input_modality": ["text", "image"] if found.image_inputs else ["text"],
                        "reasoning": found.reasoning,
                        "response_format": ["raw_text", *(["json_schema"] if found.structured_output else [])],
                    },
                    "model_parameters": {"params": []},
                },
                "publishing_information": {"model_eol_date": "None", "knowledge_cutoff": "31/06/2024"},
            },
        }
        for found in bundled_models()
        if found.kind in {"chat", "guard", "embedding"}
    ]


def has_empty_stream(chat: Mapping[str, Any]) -> bool:
    """Whether the model's template refuses the order of the roles, which makes a stream empty."""
    late = [message["role"] for message in chat["messages"][1:]]
    return "system" in late and model(resolved(chat)).system_first


def resolved(chat: Mapping[str, Any]) -> str:
    found = served(chat["model"])
    return found.id if found else str(chat["model"])


def _head(chat: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:16]}",
        "object": kind,
        "created": int(time.time()),
        "model": resolved(chat),
    }


def _limited(chat: Mapping[str, Any], said: Said) -> tuple[Said, str]:
    """What is said within max_tokens and before a stop sequence, and why it ended."""
    text, reasoning, finish = said.text, said.reasoning, "tool_calls" if said.tool_calls else "stop"
    for stop in [chat["stop"]] if isinstance(chat.get("stop"), str) else chat.get("stop") or []:
        text = text.partition(stop)[0] if text else text
    limit = chat.get("max_tokens") or chat.get("max_completion_tokens")
    if limit is not None and not said.tool_calls:
        room = 4 * limit
        if len(reasoning or "") + len(text or "") > room:
            finish = "length"
        reasoning = reasoning[:room] if reasoning else reasoning
        room -= len(reasoning or "")
        text = text[:room] or None if text else text
    return replace(said, text=text, reasoning=reasoning), said.finish_reason or finish


def _usage(chat: Mapping[str, Any], said: Said) -> dict[str, Any]:
    if said.usage is not None:
        return dict(said.usage)
    prompt = prompt_tokens(chat["messages"])
    thought = tokens(said.reasoning or "")
    answer = thought + tokens(said.text or "") + sum(tokens(call[2]) + 8 for call in said.tool_calls)
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    if said.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.125, "bytes": list(token.encode()), "top_logprobs": []}
