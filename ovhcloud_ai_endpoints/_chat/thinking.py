"""Extracts reasoning that a server left at the start of the content, between `<think>` and `</think>`.

Pure.
"""

OPEN, CLOSE = "<think>", "</think>"
MOST_BLANKS = 32  # whitespace allowed before the tag; any more is text, which is shown as it arrives


class ThinkTags:
    """Splits the content of one answer into text and reasoning, piece by piece; a tag may span pieces.

    Only an answer that begins with the tag is split, so that an answer about such tags stays whole. If the closing tag
    is missing, because the answer was cut off, all of it is reasoning.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def feed(self, content: str) -> tuple[str, str]:
        """The new text and the new reasoning, in this order."""
        if self._state == "text" and not self._held:
            return content, ""
        self._held += content
        text = thought = ""
        if self._state == "start":
            begun = self._held.lstrip()
            if OPEN.startswith(begun) and len(self._held) - len(begun) <= MOST_BLANKS:
                return "", ""
            is_open = begun.startswith(OPEN)
            self._state, self._held = ("opened", begun.removeprefix(OPEN)) if is_open else ("text", self._held)
        if self._state == "opened":
            self._held = self._held.lstrip("\n")
            self._state = "thought" if self._held else "opened"
        if self._state == "thought":
            thought, tag, rest = self._held.partition(CLOSE)
            if not tag:
                keep = _beginning_of(CLOSE, thought)
                self._held = thought[len(thought) - keep :]
                return "", thought[: len(thought) - keep]
            self._state, self._held = "after", rest
        if self._state == "after":
            self._held = self._held.lstrip("\n")
            self._state = "text" if self._held else "after"
        text, self._held = self._held, ""
        return text, thought

    def off(self) -> str:
        """Stops splitting, since the reasoning comes in a field of its own; returns the text that was held back."""
        self._state, held, self._held = "text", self._held, ""
        return held

    def end(self) -> tuple[str, str]:
        """The text and reasoning that were held back, once the content has ended."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "thought" else (held, "")


def _beginning_of(tag: str, text: str) -> int:
    """How many characters at the end of a text may be the start of a tag."""
    return next((count for count in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:count])), 0)
