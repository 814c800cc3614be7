"""What a request for embeddings may hold, as refusals have told.

Pure but for what it remembers, which is as old as the process.
"""

import re
import sys
import threading
from dataclasses import dataclass

from ovhcloud_ai_endpoints._errors import BadRequestError, OVHCloudError, PayloadTooLargeError, message_in

MAX_BATCH_BYTES = 1_900_000  # the gateway takes 2 MB (OVHcloud's capabilities guide); this leaves room for the rest
SURELY_TAKEN_BYTES = 64_000  # a 413 for less has another reason than the size, and teaches nothing
CUT = 0.7  # what is left of a text that is too long, where the refusal doesn't say by how much
SAFETY = 0.97  # where it does: what is cut off may have had fewer tokens than the rest
LEAST_SHARE, MOST_SHARE = 0.5, 0.9  # of a text that is cut once more; numbers that say else mean something else

_TOO_MANY = re.compile(  # words of several servers, since OVHcloud's own are not known
    r"batch.?size|too many (inputs|items|texts)|array (is )?too long|(less|more|fewer) than \d+ (inputs|items|texts)",
    re.IGNORECASE,
)

_ALLOWED = re.compile(r"(?:max\w*|most|than|only|up to|limit(?: is| of|:))\D{0,40}?(\d{1,6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one request may hold."""

    texts: int
    bytes: int = MAX_BATCH_BYTES


_learning = threading.Lock()
_learned: dict[tuple[str, str], Capacity] = {}  # from refusals, by base URL and model


def learned(server: tuple[str, str]) -> Capacity | None:
    """What refusals have told of a base URL and model, if any has."""
    return _learned.get(server)


def learn(server: tuple[str, str], capacity: Capacity) -> Capacity:
    """Remembers a capacity, and gives the least of all that were told."""
    with _learning:
        known = _learned.get(server, capacity)
        _learned[server] = Capacity(min(known.texts, capacity.texts), min(known.bytes, capacity.bytes))
        return _learned[server]


def forget(base_url: str) -> None:
    """Forgets what a server has refused for its size; for tests."""
    with _learning:
        for server in [server for server in _learned if server[0] == base_url]:
            del _learned[server]


def allowed(error: OVHCloudError, count: int, weight: int) -> Capacity | None:
    """What a refusal says of the number of texts or of the size in bytes; None if it is about something else.

    Args:
        count: texts in the request that was refused.
        weight: their bytes.
    """
    if not isinstance(error, BadRequestError | PayloadTooLargeError):
        return None
    said = _words(error)
    if _TOO_MANY.search(said):
        named = [int(number) for number in _ALLOWED.findall(said)]
        return Capacity(max((number for number in named if 0 < number < count), default=count // 2))
    if isinstance(error, PayloadTooLargeError) and weight > SURELY_TAKEN_BYTES:
        return Capacity(sys.maxsize, weight // 2)
    return None


def share(error: OVHCloudError) -> float:
    """How much of a text to keep, if its refusal names how many tokens it has and how many it may have."""
    said = _words(error)
    named = sorted({int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]{2,7}\b", said)})
    part = named[-2] / named[-1] if len(named) > 1 else CUT
    return min(max(part * SAFETY, LEAST_SHARE), MOST_SHARE)


def _words(error: OVHCloudError) -> str:
    """What the server said, without our advice."""
    return message_in(error.body.encode())
