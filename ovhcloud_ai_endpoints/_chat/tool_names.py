"""Tool names: the form that the gateway accepts, and the mistakes that models make in them.

Pure.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ovhcloud_ai_endpoints._wire import Body, WireMessage

LONGEST_NAME = 64  # of a tool or schema; the gateway answers a longer one with status 400
NAMESPACE = "functions."  # in which gpt-oss sees its tools


class OfferedNames:
    """The names of the tools that a request offers, as their caller knows them.

    Args:
        names: as the caller knows the tools.
        sent: maps each substitute that was sent to the caller's name.
    """

    def __init__(self, names: Iterable[str], sent: Mapping[str, str]) -> None:
        self._sent = sent
        self._names = frozenset(names)
        self._all = frozenset(prefix + name for name in self._names | set(sent) for prefix in ("", NAMESPACE))

    def called(self, raw: str) -> str:
        """The tool that a model means by a name; the name itself if it means none."""
        name = raw.partition("<|")[0].strip().rpartition(NAMESPACE)[2]  # of f<|channel|>commentary, to=functions.f
        return self._known(raw) or self._known(name) or raw

    def may_grow(self, raw: str) -> bool:
        """Whether a further piece may make it the name of a tool."""
        return any(name.startswith(raw) and name != raw for name in self._all)

    def continues(self, raw: str, piece: str) -> bool:
        """Whether a piece is the next of a name, rather than the name of another call."""
        if self._is_offered(raw + piece):
            return not (self._is_offered(raw) and self._is_offered(piece))
        return self.may_grow(raw + piece) and not self._is_offered(piece)

    def _is_offered(self, raw: str) -> bool:
        return self.called(raw) in self._names

    def _known(self, name: str) -> str:
        return self._sent.get(name) or (name if name in self._names else "")


def plain_name(name: str) -> str:
    """The nearest name that the gateway accepts: at most 64 letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:LONGEST_NAME]


def called_names(messages: Sequence[WireMessage]) -> list[str]:
    """The names of tools in earlier calls and in their results."""
    calls = [call["function"]["name"] for message in messages for call in message.get("tool_calls", [])]
    return calls + [message["name"] for message in messages if message["role"] == "tool" and "name" in message]


def renamings(tools: Sequence[str], called: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The names to send by the callers' names, where they differ, and the callers' names by those.

    Args:
        tools: the names of the offered tools.
        called: names in earlier calls, which a model may have garbled.
    """
    if not tools and not called:
        return {}, {}
    offered = OfferedNames(tools, {})
    garbled = {name: meant for name in called if (meant := offered.called(name)) != name}
    sent = sent_names([*tools, *(name for name in called if name not in garbled)])
    names = {short: name for name, short in sent.items()}
    return sent | {name: sent.get(meant, meant) for name, meant in garbled.items()}, names


def sent_names(names: Sequence[str]) -> dict[str, str]:
    """A unique substitute for each name that the gateway would refuse."""
    taken = {name for name in names if name == plain_name(name)}
    numbers: Counter[str] = Counter()
    sent: dict[str, str] = {}
    for name in names:
        if name in taken or name in sent:
            continue
        short = plain_name(name)
        start = short[: LONGEST_NAME - 5]
        while short in taken:
            numbers[start] += 1
            suffix = f"_{numbers[start] + 1}"
            short = start[: LONGEST_NAME - len(suffix)] + suffix
        taken.add(short)
        sent[name] = short
    return sent


def rename_tools(body: Body, sent: Mapping[str, str]) -> None:
    """Renames the tools, the choice, earlier calls and their results; the caller's objects are not modified."""

    def renamed(value: Any) -> Any:
        function = value["function"]
        return {**value, "function": {**function, "name": sent.get(function["name"], function["name"])}}

    if "tools" in body:
        body["tools"] = [renamed(tool) for tool in body["tools"]]
    if isinstance(body.get("tool_choice"), Mapping):
        body["tool_choice"] = renamed(body["tool_choice"])
    body["messages"] = [_renamed_message(message, renamed, sent) for message in body["messages"]]


def _renamed_message(message: WireMessage, renamed: Callable[[Any], Any], sent: Mapping[str, str]) -> WireMessage:
    if calls := message.get("tool_calls"):
        return {**message, "tool_calls": [renamed(call) for call in calls]}
    if message["role"] == "tool" and message.get("name") in sent:
        return {**message, "name": sent[message["name"]]}
    return message
