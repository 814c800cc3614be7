"""Breaks up control tokens of chat templates in what is sent, so that a document can't speak for someone else.

Pure. Engines that tokenise a rendered template take `<|im_start|>user` in a retrieved text for the beginning of a turn
(measured on vLLM with a ChatML template). A zero-width joiner within the token makes it text again, for the tokeniser
and not for the reader; in answers it is taken out.
"""

import re
from collections.abc import Sequence

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._wire import Part, WireMessage, WireToolCall

FAMILIES = frozenset({"qwen", "llama"})  # mistral_common and gpt-oss's harmony encode contents apart
JOINER = "\u200d"
OPENING = "<|"
BROKEN = OPENING + JOINER
_TOKEN = re.compile(r"<\|(?=[A-Za-z0-9_]{1,64}\|>)")  # such as <|im_end|> of ChatML and <|eot_id|> of Llama


def may_be_forged(model: Model) -> bool:
    """Whether the model's template may take tokens in contents for its own."""
    return model.family in FAMILIES or not (model.is_known or model.family)


def broken_up(messages: Sequence[WireMessage]) -> list[WireMessage]:
    """The messages with broken tokens: in contents, reasoning and arguments of calls; the input is not modified."""
    return [_broken_up(message) for message in messages]


def _broken_up(message: WireMessage) -> WireMessage:
    found = message.copy()
    content = message["content"]
    found["content"] = _in_text(content) if isinstance(content, str) else [_in_part(part) for part in content]
    if reasoning := message.get("reasoning"):
        found["reasoning"] = _in_text(reasoning)
    if calls := message.get("tool_calls"):
        found["tool_calls"] = [_in_call(call) for call in calls]
    return found


def _in_text(text: str) -> str:
    return _TOKEN.sub(BROKEN, text) if OPENING in text else text


def _in_part(part: Part) -> Part:
    return {"type": "text", "text": _in_text(part["text"])} if part["type"] == "text" else part


def _in_call(call: WireToolCall) -> WireToolCall:
    function = call["function"]
    return {**call, "function": {**function, "arguments": _in_text(function["arguments"])}}


class Mended:
    """Puts the tokens of a text together again that comes in pieces.

    Args:
        is_needed: whether the request had any; else the text passes as it is.
    """

    def __init__(self, *, is_needed: bool) -> None:
        self._is_needed = is_needed
        self._held = ""

    def feed(self, piece: str) -> str:
        """The text so far that has not been returned yet; what may begin a broken token waits for the next piece."""
        if not self._is_needed:
            return piece
        text = (self._held + piece).replace(BROKEN, OPENING)
        self._held = next((start for start in (OPENING, OPENING[:1]) if text.endswith(start)), "")
        return text.removesuffix(self._held)

    def end(self) -> str:
        held, self._held = self._held, ""
        return held


def mended(text: str, *, is_needed: bool) -> str:
    """The same for a whole text."""
    return text.replace(BROKEN, OPENING) if is_needed else text
