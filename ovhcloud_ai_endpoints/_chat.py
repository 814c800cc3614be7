"""What is sent for a chat completion: only what the gateway accepts, and nothing that was not set.

Pure: wire messages and parameters in, the request out.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ovhcloud_ai_endpoints._answer import ToolCall
from ovhcloud_ai_endpoints._models import model as model_facts
from ovhcloud_ai_endpoints._models import wire_name
from ovhcloud_ai_endpoints._schema import readable
from ovhcloud_ai_endpoints._templates import fitting
from ovhcloud_ai_endpoints._wire import Body, ChatRequest, Part, WireMessage, WireToolCall

PATH = "/chat/completions"

Role = Literal["system", "user", "assistant", "tool"]
Passback = Literal["auto", "always", "never"]

# Fields of the request that a user may set; any other is refused by the gateway with status 400.
PARAMETERS = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "max_tokens",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
    }
)
AUDIO_FORMATS = {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav"}
TOOL_CHOICES = frozenset({"auto", "none", "required"})
LONGEST_NAME = 64  # of a tool or schema; else status 400


def chat_request(
    messages: Sequence[WireMessage],
    parameters: Mapping[str, Any],
    *,
    model: str,
    base_url: str,
    stream: bool = False,
    stream_usage: bool = True,
    reasoning_passback: Passback = "auto",
    extra_body: Mapping[str, Any] | None = None,
) -> ChatRequest:
    """The request for a chat completion.

    Args:
        messages: with all the reasoning that is known of them.
        parameters: fields of the request by their names; None means unset.
        stream_usage: whether a stream is to end with its usage.
        reasoning_passback: on which assistant messages their reasoning goes back: on those after the last user
            message ("auto"), on all, or on none.
        extra_body: merged into the body as it is, for servers that take more than the gateway does.

    Raises:
        TypeError: a parameter that the gateway does not know.
        ValueError: a tool choice that names no tool.
    """
    check_parameters(parameters)
    messages = fitting(_with_reasoning(messages, reasoning_passback), model_facts(model))
    one_call = parameters.get("parallel_tool_calls") is False
    body: Body = {"model": wire_name(model, base_url), "messages": messages}
    body |= {name: value for name, value in parameters.items() if value is not None}
    if not body.get("stop"):
        body.pop("stop", None)
    elif isinstance(body["stop"], str):
        body["stop"] = [body["stop"]]
    _settle_tools(body)
    if stream:
        body.pop("n", None)
        body["stream"] = True
        if stream_usage:
            body["stream_options"] = {"include_usage": True}
    _make_schemas_readable(body)
    tools = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools", [])}
    sent = _sent_names([*tools, *_called_names(messages)])
    if sent:
        _rename_tools(body, sent)
    names = {short: name for name, short in sent.items()}
    body |= _unfolded(extra_body or {}, stream=stream)
    return ChatRequest(body, one_call=one_call, tool_names=names, tool_schemas=tools)


def check_parameters(parameters: Iterable[str]) -> None:
    """Checks that the gateway knows these fields.

    Raises:
        TypeError: it would refuse one.
    """
    for name in parameters:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            hint = f"; did you mean {near[0]!r}" if near else ""
            raise TypeError(f"The service takes no {name!r}{hint}. For servers that do, there is extra_body=.")


def tool_choice_for(
    choice: str | bool | Mapping[str, Any] | None, names: Sequence[str]
) -> str | Mapping[str, Any] | None:
    """The wire's form of the choices that frameworks have; None if nothing is to be sent.

    Args:
        choice: "auto", "none", "required", "any" or True (both mean "required"), a tool's name, or the wire's own form.
        names: the tools that there are.

    Raises:
        ValueError: it names no tool.
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


def tool_names(tools: Sequence[Any]) -> list[str]:
    """The names of tools in the wire's form.

    Raises:
        ValueError: one isn't in that form.
    """
    for tool in tools:
        match tool:
            case {"type": "function", "function": {"name": str()}}:
                pass
            case _:
                raise ValueError(
                    f"The service calls functions only, as {{'type': 'function', 'function': …}}; not {tool!r}"
                )
    return [tool["function"]["name"] for tool in tools]


def json_schema_format(schema: Mapping[str, Any], *, name: str, strict: bool | None = None) -> dict[str, Any]:
    """A `response_format` that makes the model answer with an object of this schema."""
    json_schema: dict[str, Any] = {"name": _plain_name(name) or "answer", "schema": dict(schema)}
    if strict is not None:
        json_schema["strict"] = strict
    return {"type": "json_schema", "json_schema": json_schema}


def content_of(parts: Sequence[Part], role: Role) -> str | list[Part]:
    """The content of a message: a string if all parts are text, which every template takes.

    The parts of an assistant are pieces of one text, those of others are texts of their own.
    """
    texts = [part["text"] for part in parts if part["type"] == "text"]
    separator = "" if role == "assistant" else "\n"
    return separator.join(texts) if len(texts) == len(parts) else list(parts)


def tool_call(id_: str | None, name: str, arguments: Mapping[str, Any] | str | None, *, place: int) -> WireToolCall:
    """A call that a model made, to be sent back.

    Arguments that are no JSON object go in one with their raw text, because the service refuses anything else.

    Args:
        place: position among the calls of its message, from which an id is made where there is none.
    """
    if isinstance(arguments, str):
        parsed = ToolCall("", name, arguments).parsed()
        arguments = {"invalid_arguments": arguments} if parsed is None else parsed
    text = json.dumps(arguments or {}, ensure_ascii=False, default=str)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(arguments, default=str)  # half of a surrogate pair is no text, but JSON can say it
    return {"id": id_ or f"call{place:05}", "type": "function", "function": {"name": name, "arguments": text}}


def image_part(*, url: str, detail: str | None = None) -> Part:
    """An image by its URL, as a rule a data URL: the service is not known to fetch others."""
    return {"type": "image_url", "image_url": {"url": url, "detail": detail} if detail else {"url": url}}


def audio_part(*, data: str, mime_type: str) -> Part:
    """A sound as base64."""
    kind = mime_type.partition("/")[2].partition(";")[0].removeprefix("x-")
    return {"type": "input_audio", "input_audio": {"data": data, "format": AUDIO_FORMATS.get(kind, kind)}}


def data_url(data: str, mime_type: str) -> str:
    """A data URL of what is base64 already."""
    return f"data:{mime_type};base64,{data}"


def with_schema(messages: Sequence[WireMessage], schema: Mapping[str, Any]) -> list[WireMessage]:
    """The messages with a system message that asks for an object of a schema, for JSON mode, which doesn't know it."""
    asked = f"Answer with nothing but a JSON object of this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    return [{"role": "system", "content": asked}, *messages]


def _unfolded(extra_body: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """Fields to merge into a body, with what OpenAI's client keeps apart from them under a field of its own."""
    fields = {**extra_body, **(extra_body.get("extra_body") or {})}
    fields.pop("extra_body", None)
    if not stream:
        fields.pop("stream_options", None)
    return fields


def _with_reasoning(messages: Sequence[WireMessage], passback: Passback) -> list[WireMessage]:
    """The messages, with reasoning on those only on which it goes back."""
    if passback == "always":
        return list(messages)
    last_user = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    stripped_up_to = len(messages) if passback == "never" else last_user
    return [_without_reasoning(message) if at <= stripped_up_to else message for at, message in enumerate(messages)]


def _without_reasoning(message: WireMessage) -> WireMessage:
    rest = message.copy()
    rest.pop("reasoning", None)
    return rest


def _settle_tools(body: Body) -> None:
    tools = body.get("tools") or []
    choice = tool_choice_for(body.pop("tool_choice", None), tool_names(tools))
    if not tools:
        body.pop("tools", None)
    if choice is not None:
        body["tool_choice"] = choice
    if not tools or body.get("parallel_tool_calls") is False:  # the gateway refuses false
        body.pop("parallel_tool_calls", None)


def _make_schemas_readable(body: Body) -> None:
    """Has the schemas in a form that models can read; what was given stays as it is."""
    if "tools" in body:
        body["tools"] = [_readable_tool(tool) for tool in body["tools"]]
    match body.get("response_format"):
        case {"json_schema": {"schema": {} as schema} as named, **rest}:
            name = _plain_name(str(named.get("name", ""))) or "answer"
            body["response_format"] = {**rest, "json_schema": {**named, "name": name, "schema": readable(schema)}}


def _readable_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    if isinstance(function.get("parameters"), Mapping):
        function = {**function, "parameters": readable(function["parameters"])}
    return {**tool, "function": function}


def _plain_name(name: str) -> str:
    """A name that the gateway takes: letters, digits, _ and -, 64 at most."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:LONGEST_NAME]


def _called_names(messages: Iterable[WireMessage]) -> list[str]:
    return [call["function"]["name"] for message in messages for call in message.get("tool_calls", [])]


def _sent_names(names: Sequence[str]) -> dict[str, str]:
    """What to send for those names that can't be sent as they are; no two become one."""
    taken = {name for name in names if name == _plain_name(name)}
    sent: dict[str, str] = {}
    for name in names:
        if name in taken or name in sent:
            continue
        number, short = 1, _plain_name(name)
        while short in taken or short in sent.values():
            number += 1
            short = f"{_plain_name(name)[: LONGEST_NAME - 5]}_{number}"
        sent[name] = short
    return sent


def _rename_tools(body: Body, sent: Mapping[str, str]) -> None:
    """Has the tools, the choice and earlier calls under the names that can be sent; what was given stays as it is."""

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
        else message
        for message in body["messages"]
    ]
