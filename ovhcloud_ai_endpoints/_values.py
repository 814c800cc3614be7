"""The values that both frameworks translate: what a model said, and what is known of the call.

No I/O, and nothing of the service's JSON but its counts of tokens.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._wire import Body, Usage

INCOMPLETE = frozenset({"length", "content_filter"})  # finish reasons of answers that break off
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


def call_metadata(answer: Answer, message: Message) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; id and name come once, in the first piece that has them."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What one event added; all of it may be empty."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = None
    answer_id: str | None = field(default=None, compare=False)  # once an event had one

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning or self.refusal or self.tool_calls or self.logprobs)


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """What a call for embeddings took.

    Attributes:
        tokens: as the service counted them; 0 if it did not say.
    """

    model: str
    texts: int
    requests: int
    tokens: int
