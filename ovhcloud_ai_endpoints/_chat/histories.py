"""Adapts a conversation to what the chat templates of the models demand.

Pure. A history may come from another model: through a fallback, a router or a saved conversation. `tool_results` holds
the rules about results.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._chat.parts import as_parts
from ovhcloud_ai_endpoints._chat.tool_results import (
    with_answered_calls,
    with_images_behind_results,
    with_readable_results,
)
from ovhcloud_ai_endpoints._wire import Part, WireMessage

MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
EARLIER = "[Start of the conversation]"


def fitting(messages: Sequence[WireMessage], model: Model) -> list[WireMessage]:
    """The same conversation in a form that the model's template accepts; the input is not modified."""
    fit = list(messages)
    for concerns, change, _ in RULES:
        if concerns(model):
            fit = change(fit, model)
    return fit


def with_one_system_message(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Merges several system messages into one at the front, where some models demand even a single one."""
    system = [message for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if len(system) < 2:
        is_first = model.system_first or not model.is_known or model.family == "mistral"
        return [*system, *others] if is_first else messages
    return [{"role": "system", "content": _joined(message["content"] for message in system)}, *others]


def with_names_of_tools_only(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Drops the names of speakers."""
    found = [message.copy() for message in messages]
    for message in found:
        if message["role"] != "tool":
            message.pop("name", None)
    return found


def with_user_first(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Puts a text of the user before an assistant's message that begins a conversation, such as a trimmed one."""
    at = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    if at == len(messages) or messages[at]["role"] == "user":
        return messages
    return [*messages[:at], {"role": "user", "content": EARLIER}, *messages[at:]]


def with_merged_neighbours(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Merges neighbours of one role, other than results."""
    fitted: list[WireMessage] = []
    for role, group in groupby(messages, itemgetter("role")):
        neighbours = list(group)
        if role == "tool" or len(neighbours) == 1:
            fitted += neighbours
            continue
        merged = neighbours[-1].copy()  # the only one that may have calls, or their results would stand between
        merged["content"] = _joined(message["content"] for message in neighbours if message["content"])
        if reasoning := "\n\n".join(filter(None, (message.get("reasoning") for message in neighbours))):
            merged["reasoning"] = reasoning
        fitted.append(merged)
    return fitted


def with_ids_of_mistral(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Rewrites each id that Mistral would refuse to nine letters and digits, always the same for the same id."""
    ids = dict.fromkeys(call["id"] for message in messages for call in message.get("tool_calls", []))
    taken = {id_ for id_ in ids if MISTRAL_ID.fullmatch(id_)}
    new: dict[str, str] = {}
    for id_ in [id_ for id_ in ids if id_ not in taken]:
        seed = id_
        while (short := hashlib.sha256(seed.encode()).hexdigest()[:9]) in taken:
            seed += "'"
        taken.add(short)
        new[id_] = short
    found = []
    for message in messages:
        renamed = message.copy()
        if "tool_calls" in renamed:
            renamed["tool_calls"] = [{**call, "id": new.get(call["id"], call["id"])} for call in renamed["tool_calls"]]
        if "tool_call_id" in renamed:
            renamed["tool_call_id"] = new.get(renamed["tool_call_id"], renamed["tool_call_id"])
        found.append(renamed)
    return found


def with_one_call_each(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Splits a message with several tool calls into one message per call, each followed by its result."""
    return list(_one_call_each(iter(messages)))


def _one_call_each(messages: Iterator[WireMessage]) -> Iterator[WireMessage]:
    for message in messages:
        tool_calls = message.get("tool_calls", [])
        if len(tool_calls) < 2:
            yield message
            continue
        results = [next(messages) for _ in tool_calls]
        for place, (tool_call, result) in enumerate(zip(tool_calls, results, strict=True)):
            alone = message.copy()
            alone["tool_calls"] = [tool_call]
            if place > 0:
                alone["content"] = ""
                alone.pop("reasoning", None)
            yield alone
            yield result


def _joined(contents: Iterable[str | list[Part]]) -> str | list[Part]:
    listed = list(contents)
    texts = [content for content in listed if isinstance(content, str)]
    return "\n\n".join(texts) if len(texts) == len(listed) else [part for one in listed for part in as_parts(one)]


def _of_family(family: str) -> Callable[[Model], bool]:
    return lambda model: model.family == family


def _every(model: Model) -> bool:
    return True


# Whom a rule concerns, the rule, and where the demand was seen; each works on what those before it made.
RULES: Sequence[tuple[Callable[[Model], bool], Callable[[list[WireMessage], Model], list[WireMessage]], str]] = (
    (
        _every,
        with_one_system_message,
        "Qwen3.5 and 3.6 answer a second one with an empty stream (docker-agent PR 3343)",
    ),
    (_every, with_answered_calls, "Qwen's templates pair results with calls by position; mistral_common counts both"),
    (lambda model: model.is_known, with_readable_results, "the catalogue's entry of the model; OVHcloud's guides"),
    (_of_family("mistral"), with_images_behind_results, "mistral_common: results up to version 13 hold texts only"),
    (_of_family("mistral"), with_names_of_tools_only, "mistral_common forbids names of other messages"),
    (_of_family("mistral"), with_user_first, "the templates of Mistral demand that a user begins"),
    (_of_family("mistral"), with_merged_neighbours, "the templates of Mistral demand that roles alternate"),
    (_of_family("mistral"), with_ids_of_mistral, "vLLM issue 9019"),
    (_of_family("llama"), with_one_call_each, "OVHcloud's guide to function calling: no several calls in a message"),
)
