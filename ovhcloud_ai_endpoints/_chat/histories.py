"""Adapts a conversation to what the chat templates of some model families demand.

Pure. A history may come from another model: through a fallback, a router or a saved conversation.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._wire import Part, WireMessage

MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")  # vLLM issue 9019


def fitting(messages: Sequence[WireMessage], model: Model) -> list[WireMessage]:
    """The same conversation in a form that the model's template accepts; the input is not modified."""
    fit = merged_system_messages(messages, first=model.system_first or not model.is_known)
    match model.family:
        case "mistral":
            fit = _with_ids(fit, _mistral_ids(fit))
        case "llama":
            fit = list(_one_call_each(fit))
    return fit


def merged_system_messages(messages: Sequence[WireMessage], *, first: bool) -> list[WireMessage]:
    """The same messages, with several system messages merged into one at the front.

    Templates of Qwen3.5 and 3.6 answer a second system message with an empty stream (docker-agent, pull request 3343).

    Args:
        first: whether even a single system message must come first.
    """
    system = [message for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if len(system) < 2:
        return [*system, *others] if first else list(messages)
    return [{"role": "system", "content": _joined(message["content"] for message in system)}, *others]


def _joined(contents: Iterable[str | list[Part]]) -> str | list[Part]:
    listed = list(contents)
    texts = [content for content in listed if isinstance(content, str)]
    if len(texts) == len(listed):
        return "\n\n".join(texts)
    parts: list[Part] = []
    for content in listed:
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts


def _mistral_ids(messages: Sequence[WireMessage]) -> dict[str, str]:
    """Maps each id that Mistral would refuse to nine letters and digits, always the same for the same id."""
    ids = [tool_call["id"] for message in messages for tool_call in message.get("tool_calls", [])]
    ids += [message["tool_call_id"] for message in messages if "tool_call_id" in message]
    return {id_: hashlib.sha256(id_.encode()).hexdigest()[:9] for id_ in ids if not MISTRAL_ID.fullmatch(id_)}


def _with_ids(messages: Sequence[WireMessage], ids: Mapping[str, str]) -> list[WireMessage]:
    found = []
    for message in messages:
        renamed = message.copy()
        if "tool_calls" in renamed:
            renamed["tool_calls"] = [
                {**tool_call, "id": ids.get(tool_call["id"], tool_call["id"])} for tool_call in renamed["tool_calls"]
            ]
        if "tool_call_id" in renamed:
            renamed["tool_call_id"] = ids.get(renamed["tool_call_id"], renamed["tool_call_id"])
        found.append(renamed)
    return found


def _one_call_each(messages: Sequence[WireMessage]) -> Iterator[WireMessage]:
    """Splits a message with several tool calls into one message per call, each followed by its result.

    Llama's template accepts only one call in a message (OVHcloud's guide to function calling).
    """
    rest = list(messages)
    while rest:
        message = rest.pop(0)
        tool_calls = message.get("tool_calls", [])
        if len(tool_calls) < 2:
            yield message
            continue
        count = next((at for at, other in enumerate(rest) if other["role"] != "tool"), len(rest))
        results, rest = rest[:count], rest[count:]
        for place, tool_call in enumerate(tool_calls):
            alone = message.copy()
            alone["tool_calls"] = [tool_call]
            if place > 0:
                alone["content"] = ""
                alone.pop("reasoning", None)
            yield alone
            own = next((at for at, result in enumerate(results) if result.get("tool_call_id") == tool_call["id"]), None)
            if own is not None:
                yield results.pop(own)
        yield from results
