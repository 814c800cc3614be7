"""Neutralizes control tokens of chat templates in what is sent, so that a document can't speak for someone else.

Pure. Engines that tokenise a rendered template take `<|im_start|>user` in a retrieved text for the beginning of a turn
(measured on vLLM with a ChatML template). A zero-width joiner within the token makes it text again, for the tokeniser
and not for the reader; in answers it is taken out.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._chat.parts import text_part
from ovhcloud_ai_endpoints._wire import Part, WireMessage, WireToolCall

VULNERABLE_FAMILIES = frozenset({"qwen", "llama"})  # mistral_common and gpt-oss's harmony encode contents apart
JOINER = "\u200d"
OPENING = "<|"
NEUTRALIZED = OPENING + JOINER
NEUTRALIZED_IN_JSON = OPENING + r"\u200d"
_BEGINNINGS = [NEUTRALIZED_IN_JSON[:length] for length in range(len(NEUTRALIZED_IN_JSON) - 1, 0, -1)]
_TOKEN = re.compile(r"<\|(?=[A-Za-z0-9_]{1,64}\|>)")  # such as <|im_end|> of ChatML and <|eot_id|> of Llama


def reads_control_tokens(model: Model) -> bool:
    """Whether the model's template may take tokens in contents for its own."""
    return model.family in VULNERABLE_FAMILIES or not (model.is_known or model.family)


def neutralized(messages: Sequence[WireMessage]) -> list[WireMessage]:
    """The messages without control tokens in contents, reasoning and arguments of calls; the input is not modified."""
    return [_neutralized(message) for message in messages]


def _neutralized(message: WireMessage) -> WireMessage:
    found = message.copy()
    content = message["content"]
    found["content"] = _in_text(content) if isinstance(content, str) else _in_parts(content)
    if name := message.get("name"):
        found["name"] = _in_text(name)
    if reasoning := message.get("reasoning"):
        found["reasoning"] = _in_text(reasoning)
    if calls := message.get("tool_calls"):
        found["tool_calls"] = [_in_call(call) for call in calls]
    return found


def _in_text(text: str) -> str:
    return _TOKEN.sub(NEUTRALIZED, text) if OPENING in text else text


def _in_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts with neutralized texts; neighbours are one text if a token spans them, as templates join them."""
    fitted: list[Part] = []
    for is_text, group in groupby(parts, lambda part: part["type"] == "text"):
        if not is_text:
            fitted += group
            continue
        texts = [part["text"] for part in group if part["type"] == "text"]
        whole, apart = _in_text("".join(texts)), [_in_text(text) for text in texts]
        fitted += [text_part(text) for text in (apart if whole == "".join(apart) else [whole])]
    return fitted


def _in_call(call: WireToolCall) -> WireToolCall:
    function = call["function"]
    return {**call, "function": {**function, "arguments": _in_text(function["arguments"])}}


def neutralized_tools(tools: Sequence[Any]) -> list[Any]:
    """The tools without control tokens in their descriptions, whose author may be another's server."""
    return [_described(tool) for tool in tools]


def _described(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _in_text(inner) if key == "description" and isinstance(inner, str) else _described(inner)
            for key, inner in value.items()
        }
    return [_described(inner) for inner in value] if isinstance(value, list) else value


class TokenRestorer:
    """Restores the tokens of a text that comes in pieces.

    Args:
        is_needed: whether the request had any; else the text passes as it is.
    """

    def __init__(self, *, is_needed: bool) -> None:
        self._is_needed = is_needed
        self._held = ""

    def feed(self, piece: str) -> str:
        """The text so far that has not been returned yet; what may begin a token waits for the next piece."""
        if not self._is_needed:
            return piece
        text = restored(self._held + piece)
        self._held = next((start for start in _BEGINNINGS if text.endswith(start)), "")
        return text.removesuffix(self._held)

    def end(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held


def restored(text: str, *, is_needed: bool = True) -> str:
    """A whole text with its tokens restored, also those that were written in ASCII-only JSON."""
    if not is_needed or OPENING not in text:
        return text
    return text.replace(NEUTRALIZED, OPENING).replace(NEUTRALIZED_IN_JSON, OPENING)
