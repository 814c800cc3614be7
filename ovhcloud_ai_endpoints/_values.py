"""The values that both frameworks translate: a model's answer, and the facts about its call.

No I/O, and nothing of the service's JSON except its token counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovhcloud_ai_endpoints._wire import Body, Usage

INCOMPLETE = frozenset({"length", "content_filter"})  # finish reasons of answers that break off


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that a model asks for; `arguments` is raw text, a JSON object if the model did well."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any] | None:
        """The arguments, or None if they aren't a JSON object; an empty text or null is an empty object."""
        text = self.arguments.strip()
        if text and text[-1] not in "}l":  # incomplete: don't parse a streamed text again and again
            return None
        try:
            # Models write raw line ends into strings, which strict=False accepts.
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
    refusal: str = ""  # why the model would not answer; some engines send it apart from the text
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None

    @property
    def is_only_reasoning(self) -> bool:
        """Whether there is reasoning but no answer, usually because the reasoning used up max_tokens."""
        return bool(self.reasoning) and not (self.text.strip() or self.refusal or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the transport knows about a call: request id, attempts, and waits and times in seconds."""

    request_id: str | None = None
    attempts: int = 1
    waited: float = 0.0
    first_event_after: float | None = None
    warning: str | None = None  # the header x-warning: the model is deprecated and was replaced
    batch_job: int | None = None  # number in its ledger of the job that answered, at half the price


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a message for each choice, and its metadata."""

    messages: tuple[Message, ...]
    id: str | None = None
    model: str | None = None  # as served; a virtual name is resolved here
    system_fingerprint: str | None = None
    usage: Usage | None = None
    exchange: Exchange = field(default_factory=Exchange)
    body: Body = field(default_factory=dict)  # as it came; empty for a stream


def call_metadata(answer: Answer, message: Message) -> dict[str, Any]:
    """Metadata of an answer and its call, for those who run an app; unknown entries are left out."""
    exchange = answer.exchange
    facts: dict[str, Any] = {
        "system_fingerprint": answer.system_fingerprint,
        "request_id": exchange.request_id,
        "attempts": exchange.attempts,
        "waited": exchange.waited or None,
        "time_to_first_event": exchange.first_event_after,
        "warning": exchange.warning,
        "batch_job": exchange.batch_job,
        "only_reasoning": message.is_only_reasoning or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def reasoning_tokens(usage: Usage | None) -> int | None:
    """How many tokens the reasoning took; None if the service didn't say."""
    return ((usage or {}).get("completion_tokens_details") or {}).get("reasoning_tokens")


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; id and name come once, in the first piece that has them."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)  # not frozen, which would triple the time of making one
class Delta:
    """What one event added to the answer, or several that came together; every field may be empty."""

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
