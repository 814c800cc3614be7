"""The service's limits, as its answers state them, for all calls that share a key and a model.

Pure: callers pass in the time. No call is held back until the service says that the limit is reached; from then on,
each of its minutes gets no more requests than it allows, in the order in which the calls began.
"""

import hashlib
import math
import re
import threading
from bisect import bisect_left, insort
from collections.abc import Mapping

from ovhcloud_ai_endpoints._http.refusals import retry_after
from ovhcloud_ai_endpoints._process import Table

WINDOW = 60.0  # seconds: the service's limits are requests a minute, and its minutes are fixed (a guess)
LONGEST = 86400.0  # seconds; nothing longer is believed
KEPT = 1024  # limiters; those that were used last stay
LIMIT_HEADER = "x-ratelimit-limit-minute"
REMAINING_HEADER = "x-ratelimit-remaining-minute"
RESET_HEADER = "ratelimit-reset"
_NUMBER = re.compile(r"\s*\d{1,9}(\.\d{1,9})?\s*", re.ASCII)


class Limiter:
    """The limit of one key for one model."""

    def __init__(self) -> None:
        self._limit = math.inf  # requests in a window
        self._remaining = math.inf  # requests that may still go in this window; infinite while nobody is held back
        self._window_end = -math.inf  # when this window ends
        self._closed_until = -math.inf  # as the service said; we ask it again after each window
        self._queue: list[int] = []  # the tickets of those who wait
        self._lock = threading.RLock()

    def record(
        self, now: float, status: int, headers: Mapping[str, str], *, age: float = 0.0, epoch: float = 0.0
    ) -> float:
        """Records the limits that an answer states; returns the seconds for which it newly holds back all calls, or 0.

        Args:
            headers: with lower-case names.
            age: seconds since the request was sent; the answer's numbers may be that old.
            epoch: seconds since 1970, for a Retry-After that is a date.
        """
        remaining, reset = _number(headers, REMAINING_HEADER), _number(headers, RESET_HEADER)
        with self._lock:
            self._limit = _number(headers, LIMIT_HEADER) or self._limit
            self._begin_window(now)
            if status == 429:
                return self._close(now, now + (retry_after(status, headers, epoch) or 0.0))
            end = now if reset is None else now - age + min(reset, WINDOW)
            if remaining is None or end <= now:
                return 0.0
            if remaining == 0:
                return self._close(now, end)
            if 0 < self._remaining < math.inf:
                self._remaining, self._window_end = min(self._remaining, remaining), end
            return 0.0

    def seconds_until_free(self, now: float, ticket: int) -> float:
        """Seconds until it is worth asking again; 0 if the request may go now, which counts it.

        Args:
            ticket: the call's place in the order; a waiting call keeps it until `leave`.
        """
        with self._lock:
            self._begin_window(now)
            place = bisect_left(self._queue, ticket)
            if place < self._remaining:
                self.leave(ticket)
                self._remaining -= 1
                return 0.0
            self.join(ticket)
            return max(self._window_end, self._closed_until) - now

    def join(self, ticket: int) -> None:
        """Joins the queue of waiting calls."""
        with self._lock:
            self.leave(ticket)
            insort(self._queue, ticket)

    def leave(self, ticket: int) -> None:
        """Leaves the queue of waiting calls, if the ticket is in it."""
        with self._lock:
            place = bisect_left(self._queue, ticket)
            if self._queue[place : place + 1] == [ticket]:
                del self._queue[place]

    @property
    def holds_back(self) -> bool:
        """Whether it holds calls back, or has done so and was not asked since."""
        return self._remaining < math.inf or bool(self._queue)

    def _begin_window(self, now: float) -> None:
        if now < self._window_end or self._remaining == math.inf:
            return
        self._closed_until = -math.inf
        if self._remaining > 0:  # the window that has ended was not used up
            self._remaining = math.inf
        else:
            self._remaining = self._limit
            self._window_end += WINDOW * (1 + (now - self._window_end) // WINDOW)

    def _close(self, now: float, end: float) -> float:
        if end <= now:  # the service didn't say until when
            return 0.0
        was_open = self._remaining > 0
        self._closed_until = max(min(end, now + LONGEST), self._closed_until)
        end = min(end, now + WINDOW)
        self._remaining, self._window_end = 0.0, end if was_open else max(end, self._window_end)
        return self._closed_until - now if was_open else 0.0


_limiters: Table[tuple[str, bytes, str], Limiter] = Table(KEPT, is_needed=lambda limiter: limiter.holds_back)


def limiter(base_url: str, key: str, model: str) -> Limiter:
    """The process's limiter for this server, key and model; it keeps only a hash of the key."""
    who = (base_url, hashlib.blake2b(key.encode(), digest_size=16).digest(), model)
    return _limiters.setdefault(who, Limiter)


def forget(base_url: str) -> None:
    """Forgets a server's limits; for tests."""
    _limiters.forget(lambda who: who[0] == base_url)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    value = headers.get(name)
    return float(value) if value and _NUMBER.fullmatch(value) else None
