"""Assembles one streamed answer as it arrives.

Pure: bytes in, `Delta`s and a `Message` out. The state of a stream lives in its `Reply`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ovhcloud_ai_endpoints._chat.answer import (
    Asked,
    optional_text,
    read_content,
    read_logprobs,
    read_reasoning,
    read_text,
    read_usage,
)
from ovhcloud_ai_endpoints._chat.control_tokens import TokenRestorer
from ovhcloud_ai_endpoints._chat.streamed_calls import StreamedCalls, joined
from ovhcloud_ai_endpoints._chat.thinking import ThinkTags
from ovhcloud_ai_endpoints._errors import InvalidResponseError, OVHCloudError, StreamInterruptedError
from ovhcloud_ai_endpoints._http import Decoder, event_error, invalid_response
from ovhcloud_ai_endpoints._metering import count_tokens
from ovhcloud_ai_endpoints._notices import warn_of_empty_answer
from ovhcloud_ai_endpoints._surrogates import SurrogateJoiner
from ovhcloud_ai_endpoints._values import Answer, Delta, Exchange, Message
from ovhcloud_ai_endpoints._wire import Event, Usage

LONGEST_DELTA = 4096  # characters of one that several events add up to


class _FieldReader:
    """One field of an answer that comes in pieces: with surrogate pairs joined and control tokens restored."""

    def __init__(self, request: Asked) -> None:
        self._joiner, self._restorer = SurrogateJoiner(), TokenRestorer(is_needed=request.has_neutralized_tokens)

    def feed(self, piece: str) -> str:
        return self._restorer.feed(self._joiner.feed(piece))

    def end(self) -> str:
        return self._restorer.feed(self._joiner.end()) + self._restorer.end()


def _only_piece(event: Event) -> tuple[str | int, str] | None:
    """The field that an event adds to, or the index of the call, and what it adds; None if it says anything else."""
    choices = event.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or event.get("usage") or event.get("error"):
        return None
    choice = choices[0]  # tested field by field, since to match the whole event takes five times as long
    if not isinstance(choice, dict) or choice.get("index") or choice.get("message"):
        return None
    if choice.get("finish_reason") or choice.get("logprobs"):
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return None
    added = None
    for field in delta.items():
        if field[1] and field[0] != "role":
            if added:
                return None
            added = field
    match added:
        case ("content" | "reasoning" | "reasoning_content", str()):
            return added
        case (
            "tool_calls",
            [{"index": int(index), "function": {"arguments": str(text), **function}, **rest}],
        ) if not (function.get("name") or rest.get("id")):
            return index, text
    return None


def _apart(delta: Delta) -> tuple[Delta, ...]:
    """The reasoning and the text of a delta one after the other, since consumers look for either."""
    if not (delta.reasoning and delta.text):
        return (delta,)
    return Delta(reasoning=delta.reasoning, answer_id=delta.answer_id), replace(delta, reasoning="")


class Reply:
    """A chat stream as it arrives.

    Args:
        request: the request that the stream answers.

    Attributes:
        events: number of events so far, not counting pings.
        id: the answer's id; None until an event has one.
        model: the model as served; None until an event names it.
        usage: the latest token counts; None until an event has some.
    """

    def __init__(self, request: Asked) -> None:
        self.events = 0
        self.id: str | None = None
        self.usage: Usage | None = None
        self._decoder = Decoder()
        self._longest = LONGEST_DELTA if request.merge_deltas else 0
        self._request = request
        self.model: str | None = None
        self._system_fingerprint: str | None = None
        self._tags = ThinkTags()
        self._readers = {name: _FieldReader(request) for name in ("text", "reasoning", "refusal")}
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = StreamedCalls(request)
        self._logprobs: list[Any] = []
        self._finish_reason: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether `[DONE]` has arrived."""
        return self._decoder.done

    @property
    def is_complete(self) -> bool:
        """Whether the model has finished, even if the stream's own end is missing."""
        return self._decoder.done or self._finish_reason is not None

    @property
    def message(self) -> Message:
        return Message(
            text=joined(self._text),
            reasoning=joined(self._reasoning),
            refusal=joined(self._refusal),
            tool_calls=self._calls.calls,
            finish_reason=self._finish_reason,
            logprobs={"content": self._logprobs} if self._logprobs else None,
        )

    def result(self, exchange: Exchange) -> Answer:
        """The answer as far as it has arrived."""
        return Answer(
            messages=(self.message,),
            id=self.id,
            model=self.model or self._request.model,
            system_fingerprint=self._system_fingerprint,
            usage=self.usage,
            exchange=exchange,
        )

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Yields the deltas of the events in these bytes; exhaust it before the next call.

        Raises:
            OVHCloudError: the stream holds an error, or an event that can't be read.
        """
        field: str | int = ""
        texts: list[str] = []  # of events that only add to this field, and are not read yet
        size = 0
        try:
            for event in self._decoder.feed(data):
                piece = _only_piece(event) if event and self.events else None
                if texts and (piece is None or piece[0] != field or size + len(piece[1]) > self._longest):
                    yield from _apart(self._read_pieces(field, texts))
                    texts, size = [], 0
                if piece is not None:
                    field, text = piece
                    texts.append(text)
                    size += len(text)
                elif event is not None:
                    yield from _apart(self._add(event))
        except OVHCloudError:
            if texts:
                yield from _apart(self._read_pieces(field, texts))
            raise
        if texts:
            yield from _apart(self._read_pieces(field, texts))

    def end(self) -> Iterator[Delta]:
        """Yields what is left when the bytes have ended: an event without its blank line, and what was held back.

        Raises:
            StreamInterruptedError: the answer isn't complete.
            InvalidResponseError: the stream ended properly, but held no answer.
        """
        for event in self._decoder.end():
            if event is not None:
                yield from _apart(self._add(event))
        yield from _apart(self._held_back())
        if not self.is_complete:
            raise self.interrupted("The stream ended before the answer did")
        if self._finish_reason is None and not (self._text or self._reasoning or self._refusal or self._calls):
            raise InvalidResponseError(
                "The stream held no answer. Some models send nothing when there is more than one system message."
            )
        count_tokens(self.usage)
        warn_of_empty_answer(self._request.model, self.result(Exchange()))

    def interrupted(self, problem: str) -> StreamInterruptedError:
        """The error for a stream that broke off, with the partial answer in `.partial`."""
        self._held_back()
        message = self.message
        error = StreamInterruptedError(
            f"{problem}. {len(message.text)} characters of text had arrived; they are in this error's .partial. "
            "Ask again, or continue from there."
        )
        error.partial = message
        return error

    def _add(self, event: Event) -> Delta:
        if event.get("error") or ("choices" not in event and "message" in event):
            raise event_error(event, body=json.dumps(event).encode(), model=self._request.model)
        try:
            return self._read(event)
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            raise invalid_response("An event of the stream has an unknown shape", json.dumps(event).encode()) from error

    def _read_pieces(self, field: str | int, texts: list[str]) -> Delta:
        """The delta of events that only add to one field, or to the arguments of the call with this index."""
        self.events += len(texts)
        text = texts[0] if len(texts) == 1 else "".join(texts)
        if field == "content":  # the quick way for what most events are
            text, reasoning = self._tags.feed(self._readers["text"].feed(text))
            self._keep(text, reasoning, "")
            return Delta(text, reasoning, answer_id=self.id)
        if isinstance(field, str):
            return self._read_fields({field: text})
        return self._read_fields({"tool_calls": [{"index": field, "function": {"arguments": text}}]})

    def _read(self, event: Event) -> Delta:
        self.events += 1
        self.id = self.id or optional_text(event.get("id"))
        self.model = optional_text(event.get("model")) or self.model
        self._system_fingerprint = optional_text(event.get("system_fingerprint")) or self._system_fingerprint
        self.usage = read_usage(event.get("usage")) or self.usage  # some servers send a running total in each event
        choice = next((choice for choice in event.get("choices") or [] if choice.get("index") in {None, 0, "0"}), None)
        if choice is None:
            return Delta()
        self._finish_reason = optional_text(choice.get("finish_reason")) or self._finish_reason
        return self._read_fields(choice.get("delta") or choice.get("message") or {}, choice.get("logprobs"))

    def _read_fields(self, fields: Mapping[str, Any], logprobs: Any = None) -> Delta:
        text = self._readers["text"].feed(read_content(fields.get("content")))
        reasoning = self._readers["reasoning"].feed(read_reasoning(fields))
        if reasoning:
            text = self._tags.off() + text
        else:
            text, reasoning = self._tags.feed(text)
        refusal = self._readers["refusal"].feed(read_text(fields.get("refusal")))
        read = read_logprobs(logprobs)
        self._keep(text, reasoning, refusal)
        if read:
            self._logprobs += read["content"]
        return Delta(text, reasoning, refusal, tuple(self._calls.add(fields.get("tool_calls"))), read, self.id)

    def _held_back(self) -> Delta:
        """The delta of what was held back until the end of the stream."""
        text, reasoning = self._tags.feed(self._readers["text"].end())
        more_text, more_reasoning = self._tags.end()
        text, reasoning = text + more_text, reasoning + more_reasoning + self._readers["reasoning"].end()
        refusal = self._readers["refusal"].end()
        self._keep(text, reasoning, refusal)
        return Delta(text, reasoning, refusal, tuple(self._calls.end()), answer_id=self.id)

    def _keep(self, text: str, reasoning: str, refusal: str) -> None:
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        if refusal:
            self._refusal.append(refusal)
