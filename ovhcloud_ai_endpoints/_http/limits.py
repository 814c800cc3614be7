"""The service's limits, as its answers state them, for all calls that share a key and a model.

Pure: callers pass in the time. No call is held back until the service says that the limit is reached; from then on,
each of its minutes gets no more requests than it allows, in the order in which the calls began.
"""

import hashlib
import json
import math
import re
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ovhcloud_ai_endpoints._http.refusals import retry_after
from ovhcloud_ai_endpoints._process import Table

WINDOW = 60.0  # seconds: the service's limits are requests a minute, and its minutes are fixed (a guess)
LATE = 5.0  # seconds that a request may take to the gateway; on a busy machine it leaves late
LONGEST = 86400.0  # seconds; nothing longer is believed
KEPT = 1024  # limiters; those that were used last stay
LIMIT_HEADER = "x-ratelimit-limit-minute"
REMAINING_HEADER = "x-ratelimit-remaining-minute"
RESET_HEADER = "ratelimit-reset"
_NUMBER = re.compile(r"\s*\d{1,9}(\.\d{1,9})?\s*", re.ASCII)


@dataclass(slots=True)
class Window:
    """What is known of a limit, which is a number of requests in each window.

    Attributes:
        limit: requests in a window.
        remaining: requests that may still go in this window; infinite while nobody is held back.
        end: when this window ends.
        closed_until: as the service said; we ask it again after each window.
    """

    limit: float = math.inf
    remaining: float = math.inf
    end: float = -math.inf
    closed_until: float = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether nobody is held back."""
        return self.remaining == math.inf

    def record(self, now: float, status: int, headers: Mapping[str, str], *, age: float, epoch: float) -> float:
        """Records the limits that an answer states, as `Limiter.record`."""
        remaining, reset = _number(headers, REMAINING_HEADER), _number(headers, RESET_HEADER)
        self.limit = _number(headers, LIMIT_HEADER) or self.limit
        self._begin(now)
        if status == 429:
            return self._close(now, now + (retry_after(status, headers, epoch) or 0.0))
        counted = now - age  # when the gateway counted the request, or up to `LATE` seconds later
        if remaining is None or reset is None or counted + reset <= now:
            return 0.0
        end = counted + min(age, LATE) + min(reset, WINDOW)
        if remaining == 0:
            return self._close(now, end)
        if 0 < self.remaining < math.inf:
            self.remaining, self.end = min(self.remaining, remaining), min(self.end, end)
        return 0.0

    def take(self, now: float, place: int) -> float:
        """Counts a request that may go now, and returns 0; or the seconds until it is worth asking again.

        Args:
            place: how many others are to go first.
        """
        self._begin(now)
        if place < self.remaining:
            self.remaining -= 1
            return 0.0
        return max(self.end, self.closed_until) - now

    def _begin(self, now: float) -> None:
        if now < self.end or self.is_open:
            return
        self.closed_until = -math.inf
        if self.remaining > 0:  # the window that has ended was not used up
            self.remaining = math.inf
        else:
            self.remaining = self.limit
            self.end += WINDOW * (1 + (now - self.end) // WINDOW)

    def _close(self, now: float, end: float) -> float:
        if end <= now:  # the service didn't say until when
            return 0.0
        had_permits = self.remaining > 0
        self.closed_until = max(min(end, now + LONGEST), self.closed_until)
        end = min(end, now + WINDOW)
        self.remaining, self.end = 0.0, end if had_permits else max(end, self.end)
        return self.closed_until - now if had_permits else 0.0


Change = Callable[[Window], float]  # returns seconds


class LimitStore(Protocol):
    """Keeps windows for several processes, with times in seconds since 1970, since they share no other clock."""

    def window(self, who: str) -> Window:
        """The window of a limit, which is open if nothing is kept of it; asked before each request, so it must be fast.

        Raises:
            LostStoreError: it can't be read.
        """
        ...

    def change(self, who: str, change: Change) -> float:
        """Applies a change to the window of a limit while no other process does, and returns what it returned.

        Raises:
            LostStoreError: it can't be changed, or it is not known whether it was.
        """
        ...


class LostStoreError(Exception):
    """A store has failed, so the process goes on alone with what it knows."""


class Limiter:
    """The limit of one key for one model."""

    def __init__(self) -> None:
        self._window = Window()
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
        with self._lock:
            at = self._now(now, epoch)
            return self._changed(lambda window: window.record(at, status, headers, age=age, epoch=epoch), at)

    def seconds_until_free(self, now: float, ticket: int, epoch: float = 0.0) -> float:
        """Seconds until it is worth asking again; 0 if the request may go now, which counts it.

        Args:
            ticket: the call's place in the order; a waiting call keeps it until `leave`.
            epoch: seconds since 1970.
        """
        with self._lock:
            at, place = self._now(now, epoch), bisect_left(self._queue, ticket)
            wait = self._changed(lambda window: window.take(at, place), at)
            if wait:
                self.join(ticket)
            else:
                self.leave(ticket)
            return wait

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
        return not self._window.is_open or bool(self._queue)

    def _now(self, now: float, epoch: float) -> float:
        """The time by the clock of the window."""
        return now

    def _changed(self, change: Change, now: float) -> float:
        """Applies a change to the window, and returns what it returned."""
        return change(self._window)


class SharedLimiter(Limiter):
    """The limit of one key for one model in several processes, while their store works."""

    def __init__(self, store: LimitStore, who: str) -> None:
        super().__init__()
        self._store = store
        self._who = who

    def _now(self, now: float, epoch: float) -> float:
        return epoch

    def _changed(self, change: Change, now: float) -> float:
        limit = self._window.limit

        def believed(window: Window) -> float:
            if window.end > now + WINDOW + LATE:  # no window is so long; perhaps the clock was set back
                window.remaining = math.inf
            if window.is_open:
                window.limit = limit
            self._window = window
            return change(window)

        before = self._window
        try:
            kept = before = self._store.window(self._who)
            wait = believed(replace(kept))
            if self._window == kept or (self._window.is_open and kept.is_open):
                return wait  # others need not know
            return self._store.change(self._who, believed)
        except LostStoreError:
            return believed(before)


_limiters: Table[tuple[str, bytes, str, LimitStore | None], Limiter] = Table(
    KEPT, is_needed=lambda limiter: limiter.holds_back
)


def limiter(base_url: str, key: str, model: str, store: LimitStore | None = None) -> Limiter:
    """The process's limiter for this server, key and model; it keeps only a hash of the key.

    Args:
        store: where other processes find what is known of the limit; None if it is for this process only.
    """
    who = (base_url, hashlib.blake2b(key.encode(), digest_size=16).digest(), model, store)
    return _limiters.setdefault(who, lambda: _made(base_url, key, model, store))


def _made(base_url: str, key: str, model: str, store: LimitStore | None) -> Limiter:
    if store is None:
        return Limiter()
    who = json.dumps([base_url, key, model]).encode()
    return SharedLimiter(store, hashlib.blake2b(who, digest_size=20).hexdigest())


def forget(base_url: str) -> None:
    """Forgets a server's limits; for tests."""
    _limiters.forget(lambda who: who[0] == base_url)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    value = headers.get(name)
    return float(value) if value and _NUMBER.fullmatch(value) else None
