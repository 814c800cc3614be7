"""Names of tools: as the gateway takes them, and as models that call them garble them.

Pure.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ovhcloud_ai_endpoints._wire import Body, WireMessage

LONGEST_NAME = 64  # of a tool or schema; the gateway answers a longer one with status 400
NAMESPACE = "functions."  # in which gpt-oss sees its tools
_BETWEEN = re.compile(r"<\|[^|>]*(?:\|>)?|[\s=]+")  # tokens of gpt-oss's format, as in f<|channel|>commentary


class OfferedNames:
    """The names of the tools that a request offers, as their caller knows them.

    Args:
        sent: the caller's names of tools that were sent under other ones, by the sent name.
    """

    def __init__(self, names: Iterable[str], sent: Mapping[str, str]) -> None:
        self._sent = sent
        self._names = frozenset(names)
        self._all = frozenset(prefix + name for name in self._names | set(sent) for prefix in ("", NAMESPACE))

    def called(self, raw: str) -> str:
        """The tool that a model means by a name: the name itself if that is unclear."""
        known = self._known(raw)
        if known or not self._names:
            return known or raw
        found = {known for token in _BETWEEN.split(raw) if (known := self._known(token.removeprefix(NAMESPACE)))}
        return found.pop() if len(found) == 1 else raw

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


def sent_names(names: Sequence[str]) -> dict[str, str]:
    """A unique substitute for each name that the gateway would refuse."""
    taken = {name for name in names if name == plain_name(name)}
    sent: dict[str, str] = {}
    for name in names:
        if name in taken or name in sent:
            continue
        number, short = 1, plain_name(name)
        while short in taken or short in sent.values():
            number += 1
            short = f"{plain_name(name)[: LONGEST_NAME - 5]}_{number}"
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
    body["messages"] = [
        {**message, "tool_calls": [renamed(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else {**message, "name": sent[message["name"]]}
        if message["role"] == "tool" and message.get("name") in sent
        else message
        for message in body["messages"]
    ]
