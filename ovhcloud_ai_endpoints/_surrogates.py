r"""Lone surrogates, which UTF-8 can't hold: joined where two belong together, else replaced by U+FFFD.

Pure. Engines cut an answer between two tokens of one emoji, readers of PDFs make lone ones, and JSON can write each as
an escape such as `\ud83d`.
"""

import re
from collections import deque
from collections.abc import Iterable

REPLACEMENT = "\ufffd"
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\u[0-9a-fA-F]{4}|\\[^u]",
    re.DOTALL,
)
_BEGINNING = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")  # of an escape
_BEGINNING_OF_SECOND_SURROGATE = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")


def well_formed(text: str) -> str:
    """The text with its surrogates joined or replaced."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def with_lone_surrogates(texts: Iterable[object]) -> list[int]:
    """The places of the texts that hold lone surrogates."""
    return [place for place, text in enumerate(texts) if isinstance(text, str) and well_formed(text) != text]


def well_formed_json(text: str) -> str:
    """JSON text whose escapes are joined or replaced."""
    escapes = EscapeJoiner()
    return escapes.feed(text) + escapes.end()


class SurrogateJoiner:
    """Joins the surrogates of a text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The text so far that has not been returned yet; the first of a pair waits for the second."""
        if not self._held and (piece.isascii() or not _SURROGATE.search(piece)):
            return piece
        text = self._held + piece
        self._held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return well_formed(text.removesuffix(self._held))

    def end(self) -> str:
        held, self._held = self._held, ""
        return REPLACEMENT if held else ""


class EscapeJoiner:
    """Joins the escapes of surrogates in JSON text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The text so far that has not been returned yet; an escape that may go on waits for the next piece."""
        text = self._held + piece
        if "\\" not in text:
            return text
        last = next(iter(deque(_ESCAPE.finditer(text), maxlen=1)), None)
        rest = text[last.end() :] if last else text
        if last and last["lone"] and _BEGINNING_OF_SECOND_SURROGATE.fullmatch(rest):
            held = last["lone"] + rest
        else:
            start = rest.find("\\")
            held = rest[start:] if start >= 0 and _BEGINNING.fullmatch(rest[start:]) else ""
        self._held = held
        return _ESCAPE.sub(_replaced, text.removesuffix(held))

    def end(self) -> str:
        """What was held back; it is the end of a text that was cut within a string."""
        held, self._held = self._held, ""
        return held


def _replaced(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape["lone"] else escape[0]
