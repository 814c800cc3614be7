"""A request for a chat completion: only what the gateway accepts, and nothing that was not set.

Pure: wire messages and parameters in, the request out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from ovhcloud_ai_endpoints._catalogue import OtherName, is_ovhcloud, names_to_send
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._chat.answer import read_answer
from ovhcloud_ai_endpoints._chat.control_tokens import OPENING, neutralized, neutralized_tools, reads_control_tokens
from ovhcloud_ai_endpoints._chat.grammar import for_grammar
from ovhcloud_ai_endpoints._chat.histories import fitting
from ovhcloud_ai_endpoints._chat.parameters import PARAMETERS, Passback, check_parameters
from ovhcloud_ai_endpoints._chat.reply import Reply
from ovhcloud_ai_endpoints._chat.schema import readable
from ovhcloud_ai_endpoints._chat.tool_names import called_names, plain_name, rename_tools, renamings
from ovhcloud_ai_endpoints._chat.tools import settle_tools
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import Content, Whole, invalid_response, json_content
from ovhcloud_ai_endpoints._metering import count_tokens
from ovhcloud_ai_endpoints._notices import say_replaced, warn_of_empty_answer
from ovhcloud_ai_endpoints._surrogates import with_lone_surrogates
from ovhcloud_ai_endpoints._values import Answer
from ovhcloud_ai_endpoints._wire import Body, WireMessage

LARGEST_ANSWER = 16 * 1024 * 1024  # bytes; the longest answer of a model is 262,144 tokens


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a chat completion, whole or streamed, with what the reader of its answer needs to know.

    Attributes:
        one_call: whether to keep only the first tool call; the gateway refuses the field that would ask for this.
        tool_names: the caller's names of tools that are sent under other ones, by the sent name.
        tool_schemas: the schemas of the tools' parameters, by the caller's name of the tool.
        most_bytes: the largest body that the server accepts; None if unknown.
        merge_deltas: whether events of a stream that came together and only add to one field are one delta.
        has_neutralized_tokens: whether its contents had control tokens, which the answer may repeat.
        other_name: the name of the model to send if the server does not know the one in the body.
    """

    method: ClassVar[str] = "POST"
    path: ClassVar[str] = "/chat/completions"
    may_repeat: ClassVar[bool] = True
    largest: ClassVar[int] = LARGEST_ANSWER
    whole_types: ClassVar[tuple[str, ...]] = ("application/json", "text/html")

    body: Body
    one_call: bool = False
    tool_names: Mapping[str, str] = field(default_factory=dict)
    tool_schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    most_bytes: int | None = None
    merge_deltas: bool = True
    has_neutralized_tokens: bool = False
    other_name: OtherName | None = None

    @property
    def model(self) -> str | None:
        model: str | None = self.body.get("model")
        return model

    def content(self) -> Content:
        """The body as JSON.

        Raises:
            BadRequestError: the body can't be encoded.
            PayloadTooLargeError: the body exceeds the service's size limit.
        """
        return json_content(self.body, most=self.most_bytes, advice=_how_to_shrink)

    def corrected(self, error: OVHCloudError) -> Self | None:
        """The same request with the other name of the model, if this one was refused."""
        body = self.other_name and self.other_name.corrected(self.body, error)
        return replace(self, body=body, other_name=None) if body else None

    def read(self, whole: Whole) -> Answer:
        """Reads the answer, and warns if it is nothing but reasoning.

        Raises:
            OVHCloudError: the answer is an error, despite its status.
            InvalidResponseError: the answer is not a chat completion, or is empty.
        """
        answer = read_answer(whole.json_object(), whole.body, whole.exchange, self)
        count_tokens(answer.usage)
        warn_of_empty_answer(self.model, answer)
        return answer

    def reader(self) -> Reply:
        return Reply(self)

    def as_stream(self, whole: Whole) -> bytes:
        """A stream of one event that says what a whole answer says.

        Raises:
            InvalidResponseError: the answer is not a chat completion.
        """
        body = whole.json_object()
        try:
            body["choices"] = [_as_delta(choice) for choice in body.get("choices") or []]
        except (AttributeError, KeyError, TypeError) as error:
            raise invalid_response("The answer has an unknown shape", whole.body) from error
        return f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n".encode()


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
    neutralize_control_tokens: bool = True,
    merge_deltas: bool = True,
) -> ChatRequest:
    """Builds the request for a chat completion.

    Args:
        messages: the conversation, with all known reasoning.
        parameters: fields of the request by name; None means not sent.
        stream_usage: whether to ask for token counts at the end of a stream.
        reasoning_passback: which assistant messages are sent with their reasoning: those after the last user
            message ("auto"), all ("always") or none ("never").
        extra_body: merged into the body unchanged, for servers that accept more than the gateway does.
        neutralize_control_tokens: whether to neutralize control tokens in contents, for models whose template may take
            them for its own.
        merge_deltas: whether events of a stream that came together and only add to one field are one delta.

    Raises:
        TypeError: the gateway does not know a parameter.
        ValueError: the tool choice names none of the tools.
    """
    check_parameters(parameters)
    say_replaced("messages", with_lone_surrogates(map(_all_text, messages)))
    facts = model_facts(model)
    messages = plain = fitting(_with_reasoning(messages, reasoning_passback), facts)
    neutralizes = neutralize_control_tokens and reads_control_tokens(facts)
    if neutralizes:
        messages = neutralized(messages)
    one_call = parameters.get("parallel_tool_calls") is False
    name, other_name = names_to_send(model, base_url)
    body: Body = {"model": name, "messages": messages}
    if parameters.get("top_logprobs") and parameters.get("logprobs") is None:
        parameters = {**parameters, "logprobs": True}
    body |= {name: value for name in PARAMETERS if (value := parameters.get(name)) is not None}
    _settle_stop(body)
    settle_tools(body)
    if stream:
        body.pop("n", None)
        body["stream"] = True
        if stream_usage:
            body["stream_options"] = {"include_usage": True}
    _make_schemas_readable(body)
    if neutralizes and "tools" in body and OPENING in json.dumps(body["tools"], default=str):
        body["tools"] = neutralized_tools(body["tools"])
    tools = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools", [])}
    sent, names = renamings(list(tools), called_names(messages))
    if sent:
        rename_tools(body, sent)
    body |= _unfolded(extra_body or {}, stream=stream)
    most = facts.largest_request if is_ovhcloud(base_url) else None
    return ChatRequest(
        body,
        one_call=one_call,
        tool_names=names,
        tool_schemas=tools,
        most_bytes=most,
        merge_deltas=merge_deltas,
        has_neutralized_tokens=messages != plain,
        other_name=other_name,
    )


def json_schema_format(
    schema: Mapping[str, Any], *, name: str, strict: bool | None = None, is_validated: bool = False
) -> dict[str, Any]:
    """A `response_format` that makes the model answer with an object of this schema.

    Args:
        is_validated: whether the object is validated when it arrives, so that the request may ask for less.
    """
    wanted = for_grammar(schema) if is_validated else dict(schema)
    json_schema: dict[str, Any] = {"name": plain_name(name) or "answer", "schema": wanted}
    if strict is not None:
        json_schema["strict"] = strict
    return {"type": "json_schema", "json_schema": json_schema}


def with_schema(messages: Sequence[WireMessage], schema: Mapping[str, Any]) -> list[WireMessage]:
    """Puts a system message with the schema first, because JSON mode does not show it to the model."""
    asked = f"Answer with nothing but a JSON object of this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    return [{"role": "system", "content": asked}, *messages]


def _as_delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of a whole answer as one of an event."""
    rest = dict(choice)
    delta = dict(rest.pop("message"))
    delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta.get("tool_calls") or [])]
    return {**rest, "delta": delta}


def _settle_stop(body: Body) -> None:
    stop = body.get("stop") or []
    if stops := [one for one in ([stop] if isinstance(stop, str) else stop) if one != ""]:
        body["stop"] = stops
    else:
        body.pop("stop", None)


def _unfolded(extra_body: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """The fields to merge into a body, including those nested in an `extra_body`, as for OpenAI's client."""
    fields = {**extra_body, **(extra_body.get("extra_body") or {})}
    fields.pop("extra_body", None)
    if not stream:
        fields.pop("stream_options", None)
    return fields


def _with_reasoning(messages: Sequence[WireMessage], passback: Passback) -> list[WireMessage]:
    """The messages, keeping reasoning only where it is sent back."""
    if passback == "always":
        return list(messages)
    last_user = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    stripped_up_to = len(messages) if passback == "never" else last_user
    return [_without_reasoning(message) if at <= stripped_up_to else message for at, message in enumerate(messages)]


def _without_reasoning(message: WireMessage) -> WireMessage:
    rest = message.copy()
    rest.pop("reasoning", None)
    return rest


def _make_schemas_readable(body: Body) -> None:
    """Rewrites the schemas into a form that models can read; the caller's objects are not modified."""
    if "tools" in body:
        body["tools"] = [_readable_tool(tool) for tool in body["tools"]]
    match body.get("response_format"):
        case {"json_schema": {"schema": {} as schema} as named, **rest}:
            name = plain_name(str(named.get("name", ""))) or "answer"
            body["response_format"] = {**rest, "json_schema": {**named, "name": name, "schema": readable(schema)}}


def _how_to_shrink(body: Mapping[str, Any]) -> str:
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if images := [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]:
        images_take = "image takes" if len(images) == 1 else f"{len(images)} images take"
        return f"Its {images_take} {sum(map(len, images)):,} of them: send fewer or smaller ones."
    return f"Send fewer or shorter messages; this request has {len(contents)}."


def _all_text(message: WireMessage) -> str:
    content = message["content"]
    return (
        content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")
    )


def _readable_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    if isinstance(function.get("parameters"), Mapping):
        function = {**function, "parameters": readable(function["parameters"])}
    return {**tool, "function": function}
