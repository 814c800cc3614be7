"""Tools in the wire's form: choices, and calls of earlier turns.

Pure.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ovhcloud_ai_endpoints._values import ToolCall
from ovhcloud_ai_endpoints._wire import Body, WireToolCall

TOOL_CHOICES = frozenset({"auto", "none", "required"})


def tool_choice_for(
    choice: str | bool | Mapping[str, Any] | None, names: Sequence[str]
) -> str | Mapping[str, Any] | None:
    """A framework's tool choice in the wire's form; None if nothing needs to be sent.

    Args:
        choice: "auto", "none", "required", "any" or True (both mean "required"), a tool's name, or the wire's own form.
        names: the names of the available tools.

    Raises:
        ValueError: the choice names none of the tools.
    """
    if choice is None or choice is False or not names:
        return None
    if choice is True or (choice == "any" and "any" not in names):
        return "required"
    if isinstance(choice, Mapping):
        named = choice.get("function", {}).get("name", choice.get("name"))
        if named is None:  # Anthropic's forms: {"type": "any"} and the like
            return tool_choice_for(choice.get("type"), names)
        choice = str(named)
    elif choice in TOOL_CHOICES and choice not in names:
        return choice
    if choice not in names:
        raise ValueError(f"tool_choice names {choice!r}, but the tools are {', '.join(names)}")
    return {"type": "function", "function": {"name": choice}}


def names_of_tools(tools: Sequence[Any]) -> list[str]:
    """The names of tools in the wire's form.

    Raises:
        ValueError: a tool isn't in that form.
    """
    for tool in tools:
        match tool:
            case {"type": "function", "function": {"name": str()}}:
                pass
            case _:
                raise ValueError(f"Tools must be functions, as {{'type': 'function', 'function': …}}; got {tool!r}")
    return [tool["function"]["name"] for tool in tools]


def tool_call(id_: str | None, name: str, arguments: Mapping[str, Any] | str | None, *, place: int) -> WireToolCall:
    """A call that a model made, in the form to send back.

    Arguments that are not a JSON object are wrapped in one as raw text, because the service refuses anything else.

    Args:
        place: position among the calls of its message; a missing id is made from it.
    """
    if isinstance(arguments, str):
        parsed = ToolCall("", name, arguments).parsed()
        arguments = {"invalid_arguments": arguments} if parsed is None else parsed
    text = json.dumps(arguments or {}, ensure_ascii=False, default=str)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(arguments, default=str)  # UTF-8 can't hold half of a surrogate pair, but a JSON escape can
    return {"id": id_ or f"call{place:05}", "type": "function", "function": {"name": name, "arguments": text}}


def settle_tools(body: Body) -> None:
    tools = body.get("tools") or []
    choice = tool_choice_for(body.pop("tool_choice", None), names_of_tools(tools))
    if not tools:
        body.pop("tools", None)
    if choice is not None:
        body["tool_choice"] = choice
    if not tools or body.get("parallel_tool_calls") is False:  # the gateway refuses false
        body.pop("parallel_tool_calls", None)
