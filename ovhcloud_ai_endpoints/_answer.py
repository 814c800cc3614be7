"""What an answer says: the values that both frameworks translate, and how a whole one is read.

Pure, but that it draws an id for a tool call that has none.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._arguments import Arguments
from ovhcloud_ai_endpoints._errors import event_error, invalid_response
from ovhcloud_ai_endpoints._think import ThinkTags
from ovhcloud_ai_endpoints._wire import Body, ChatRequest, Usage

CUT = frozenset({"length", "content_filter"})  # finish reasons of answers that are parts of what was to be said
CUT_ANSWER = "it was cut at max_tokens; raise it, or lower reasoning_effort"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for; `arguments` is its raw text, a JSON object if the model did well."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any] | None:
        """The arguments, or None if they aren't a JSON object; an empty text or null is an empty object."""
        text = self.arguments.strip()
        if text and text[-1] not in "}l":  # of an object or null; what is still coming is not read again and again
            return None
        try:
            # Models write line ends into strings as they are, so only the structure must be right.
            value = json.loads(text, strict=False) if text else {}
        except (ValueError, RecursionError):
            return None
        if value is None:
            return {}
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Message:
    """One choice of an answer."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""  # why the model would not answer, which some engines keep apart from the text
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None

    @property
    def is_only_reasoning(self) -> bool:
        """Whether there is no answer beside the reasoning, as a rule because max_tokens was used up."""
        return bool(self.reasoning) and not (self.text.strip() or self.refusal or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the transport knows of a call: the service's id of it, tries, waits and times in seconds."""

    request_id: str | None = None
    attempts: int = 1
    waited: float = 0.0
    first_event_after: float | None = None
    warning: str | None = None  # the header x-warning: the model is deprecated and was replaced


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a message for each choice, and what was said about it."""

    messages: tuple[Message, ...]
    id: str | None = None
    model: str | None = None  # as served; a virtual name is resolved here
    system_fingerprint: str | None = None
    usage: Usage | None = None
    exchange: Exchange = field(default_factory=Exchange)
    body: Body = field(default_factory=dict)  # as it came; empty for a stream


def facts_of(answer: Answer, message: Message) -> dict[str, Any]:
    """What is known of an answer and of its call, for those who look after an app; what isn't is left out."""
    exchange = answer.exchange
    facts: dict[str, Any] = {
        "system_fingerprint": answer.system_fingerprint,
        "request_id": exchange.request_id,
        "attempts": exchange.attempts,
        "waited": exchange.waited or None,
        "time_to_first_event": exchange.first_event_after,
        "warning": exchange.warning,
        "only_reasoning": message.is_only_reasoning or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def reasoning_tokens(usage: Usage | None) -> int | None:
    """How many tokens the reasoning took; None if it isn't said."""
    return ((usage or {}).get("completion_tokens_details") or {}).get("reasoning_tokens")


def read_answer(body: Body, raw: bytes, exchange: Exchange, request: ChatRequest) -> Answer:
    """The answer in the body of a chat completion.

    Raises:
        OVHCloudError: the body is an error in spite of its status.
        InvalidResponseError: it has no choices, or is not shaped like a chat completion.
    """
    if body.get("error"):
        raise event_error(body, body=raw)
    try:
        messages = tuple(_message(choice, request) for choice in body["choices"])
        usage = read_usage(body.get("usage"))
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise invalid_response("The answer has an unknown shape", raw) from error
    if not messages or any(message == Message() for message in messages):
        raise invalid_response("The answer is empty", raw)
    return Answer(
        messages=messages,
        id=read_name(body.get("id")),
        model=read_name(body.get("model")),
        system_fingerprint=read_name(body.get("system_fingerprint")),
        usage=usage,
        exchange=exchange,
        body=body,
    )


def _message(choice: Mapping[str, Any], request: ChatRequest) -> Message:
    said = choice["message"]
    calls: list[ToolCall] = []
    for call in said.get("tool_calls") or []:
        function = call.get("function") or {}
        name = read_tool_name(function, request)
        arguments = Arguments(request.tool_schemas.get(name))
        text = arguments.feed(read_arguments(function.get("arguments"))) + arguments.end()
        id_ = read_text(call.get("id"))
        is_new = id_ and all(id_ != other.id for other in calls)
        calls.append(ToolCall(id_ if is_new else new_tool_call_id(), name, text))
    text, reasoning = read_content(said.get("content")), read_reasoning(said)
    if not reasoning:
        tags = ThinkTags()
        (text, reasoning), (more_text, more_reasoning) = tags.feed(text), tags.end()
        text, reasoning = text + more_text, reasoning + more_reasoning
    return Message(
        text=text,
        reasoning=reasoning,
        refusal=read_text(said.get("refusal")),
        tool_calls=tuple(calls[:1] if request.one_call else calls),
        finish_reason=read_name(choice.get("finish_reason")),
        logprobs=read_logprobs(choice.get("logprobs")),
    )


def read_content(content: Any) -> str:
    """Text, or the text of a list of parts."""
    if isinstance(content, list):
        texts = (part if isinstance(part, str) else part.get("text") or part.get("refusal") for part in content)
        return "".join(map(read_text, texts))
    return read_text(content)


def read_reasoning(said: Mapping[str, Any]) -> str:
    """Reasoning by its name, else by its older one, which some engines still use."""
    return read_text(said.get("reasoning")) or read_text(said.get("reasoning_content"))


def read_tool_name(function: Mapping[str, Any], request: ChatRequest) -> str:
    """The name of the tool that is called, as it was before it was made one that can be sent."""
    name = read_text(function.get("name"))
    return request.tool_names.get(name, name)


def read_arguments(value: Any) -> str:
    """Arguments of a tool call as text, also where an engine sends an object."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else read_text(value)


def read_text(value: Any) -> str:
    """Text; None is empty. Raises TypeError for anything else."""
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError(f"a text was expected, not {type(value).__name__}")


def read_name(value: Any) -> str | None:
    """An id or name; None if there is none."""
    return str(value) if value else None


def read_logprobs(value: Any) -> Mapping[str, Any] | None:
    """The log probability of each token, or None. Raises TypeError or KeyError for what is none."""
    if not value or not value.get("content"):
        return None
    for token in value["content"]:
        for choice in (token, *(token.get("top_logprobs") or [])):
            if not isinstance(choice["token"], str) or not isinstance(choice["logprob"], int | float):
                raise TypeError("a token and its log probability were expected")
            float(choice["logprob"])
            if not isinstance(choice.get("bytes"), list | None) or not all(
                isinstance(byte, int) for byte in choice.get("bytes") or []
            ):
                raise TypeError("the bytes of a token were expected")
    logprobs: Mapping[str, Any] = value
    return logprobs


def read_usage(value: Any) -> Usage | None:
    """Counts of tokens, or None. Raises TypeError for what can't be counted."""
    if not value:
        return None
    for counts in (value, *(value.get(name) or {} for name in ("prompt_tokens_details", "completion_tokens_details"))):
        for name, count in counts.items():
            if name.endswith("_tokens") and not isinstance(count, int | None):
                raise TypeError(f"{name} is no count")
    usage: Usage = value
    return usage


def new_tool_call_id() -> str:
    """Nine letters and digits, which is the only form that Mistral's templates take and which all others do."""
    return uuid.uuid4().hex[:9]
