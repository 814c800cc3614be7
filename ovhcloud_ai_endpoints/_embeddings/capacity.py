"""How much one embedding request may hold, learned from the service's refusals.

Pure, except that the process remembers a capacity: for good if a server named it, for some runs if it was guessed.
"""

import re
import sys
from dataclasses import dataclass, replace

from ovhcloud_ai_endpoints._errors import BadRequestError, OVHCloudError, PayloadTooLargeError
from ovhcloud_ai_endpoints._http import message_in
from ovhcloud_ai_endpoints._process import Table
from ovhcloud_ai_endpoints._wordings import says

MAX_BATCH_BYTES = 1_900_000  # the gateway takes 2 MB (OVHcloud's capabilities guide); this leaves room for the rest
SURELY_TAKEN_BYTES = 64_000  # a 413 for less has a reason other than size, and teaches nothing
KEPT_SHARE = 0.7  # of a text that is too long, if the refusal doesn't say by how much
LETTERS_PER_TOKEN = 8  # more than any text has on average
SAFETY = 0.97  # a margin if it does: the part cut off may hold fewer tokens than the rest
LEAST_SHARE, MOST_SHARE = 0.5, 0.9  # per cut; numbers in a refusal that suggest another share mean something else
RUNS_OF_A_GUESS = 20  # after which the full size is tried again: the refusal may have had a passing reason

_ALLOWED = re.compile(r"(?:max\w*|most|than|only|up to|limit(?: is| of|:))\D{0,40}?(\d{1,6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one request may hold.

    Attributes:
        is_named: whether the server named the limit; else it was guessed from a refusal without a number.
    """

    texts: int = sys.maxsize
    bytes: int = MAX_BATCH_BYTES
    is_named: bool = True

    def least(self, other: "Capacity") -> "Capacity":
        """The smaller of both limits, each by itself."""
        return Capacity(min(self.texts, other.texts), min(self.bytes, other.bytes))


@dataclass(frozen=True, slots=True)
class _Learned:
    named: Capacity = Capacity()
    guessed: Capacity = Capacity()
    runs_left: int = 0

    def with_refusal(self, capacity: Capacity) -> "_Learned":
        if capacity.is_named:
            return replace(self, named=self.named.least(capacity))
        return _Learned(self.named, self.guessed.least(capacity), RUNS_OF_A_GUESS)

    def after_a_run(self) -> "_Learned":
        return replace(self, runs_left=self.runs_left - 1) if self.runs_left > 1 else _Learned(self.named)

    @property
    def capacity(self) -> Capacity:
        return self.named.least(self.guessed)


_learned: Table[tuple[str, str], _Learned] = Table(256)  # by base URL and model


def learned(server: tuple[str, str]) -> Capacity | None:
    """The capacity learned from refusals of a base URL and model; None if there were none."""
    known = _learned.get(server)
    return None if known is None or known.capacity == Capacity() else known.capacity


def begin_run(server: tuple[str, str]) -> Capacity | None:
    """The same as `learned`, but counts a run that keeps to it."""
    capacity = learned(server)
    if capacity is not None:
        _learned.update(server, lambda known: (known or _Learned()).after_a_run())
    return capacity


def learn(server: tuple[str, str], capacity: Capacity) -> Capacity:
    """Remembers a capacity; returns what all refusals together allow."""
    return _learned.update(server, lambda known: (known or _Learned()).with_refusal(capacity)).capacity


def forget(base_url: str) -> None:
    """Forgets the capacities learned from a server; for tests."""
    _learned.forget(lambda server: server[0] == base_url)


def allowed(error: OVHCloudError, count: int, weight: int) -> Capacity | None:
    """The capacity that a refusal implies, in texts or in bytes; None if it is about something else.

    Args:
        count: number of texts in the refused request.
        weight: their size in bytes.
    """
    if not isinstance(error, BadRequestError | PayloadTooLargeError):
        return None
    words = _words(error)
    if says(words, "too many texts"):
        named = [int(number) for number in _ALLOWED.findall(words) if 0 < int(number) < count]
        return Capacity(max(named)) if named else Capacity(count // 2, is_named=False)
    if isinstance(error, PayloadTooLargeError) and weight > SURELY_TAKEN_BYTES:
        return Capacity(bytes=weight // 2, is_named=False)
    return None


def share(error: OVHCloudError) -> float:
    """The share of a refused text to keep, from the token counts that its refusal names, if it does."""
    words = _words(error)
    if "at least" in words:  # newer engines stop counting where the window ends
        return KEPT_SHARE
    named = sorted({int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]{2,7}\b", words)})
    part = named[-2] / named[-1] if len(named) > 1 else KEPT_SHARE
    return min(max(part * SAFETY, LEAST_SHARE), MOST_SHARE)


def longest(error: OVHCloudError) -> int:
    """The most letters that a text may have if a refusal names the window only; no limit otherwise."""
    words = _words(error)
    window = re.search(r"context length is (\d[\d,]*)", words)
    return LETTERS_PER_TOKEN * int(window[1].replace(",", "")) if "at least" in words and window else sys.maxsize


def _words(error: OVHCloudError) -> str:
    """The server's own message, without our advice."""
    return message_in(error.body.encode())
