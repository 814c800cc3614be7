"""A simulation of the fixed minutes of the service, in which no time passes: processes, workers, what they share."""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ovhcloud_ai_endpoints import OVHCloudError, Timeouts
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest, Vectors
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.limits import LostStoreError, Window
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings

ASKED = EmbeddingRequest({"model": "m", "input": ["text"]}, count=1)
BEGUN = 13.7  # seconds of the first minute that have passed
WASTED = 8  # permits that a killed process has taken and not used


@dataclass
class Service:
    """A limit in a fixed minute, as a gateway counts it."""

    limit: int
    used: dict[int, int] = field(default_factory=dict)

    def admit(self, now: float) -> tuple[int, dict[str, str]]:
        minute = int(now // 60)
        used = self.used[minute] = self.used.get(minute, 0) + 1
        reset = str(60 - int(now % 60))
        said = {
            "x-ratelimit-limit-minute": str(self.limit),
            "x-ratelimit-remaining-minute": str(max(0, self.limit - used)),
            "ratelimit-reset": reset,
        }
        return (200, said) if used <= self.limit else (429, {**said, "retry-after": reset})


@dataclass(eq=False)
class Shared:
    """The store of one process."""

    windows: dict[str, Window]
    fails: bool = False

    def fail(self, now: float) -> None:
        self.fails = True

    def window(self, who: str) -> Window:
        if self.fails:
            raise LostStoreError
        return replace(self.windows.get(who, Window()))

    def change(self, who: str, change: Callable[[Window], float]) -> float:
        window = self.window(who)
        result = change(window)
        self.windows[who] = window
        return result


@dataclass
class Simulation:
    """Workers that ask again and again, in some processes.

    Args:
        latency: seconds from the gateway to the answer.
        reach: seconds from a worker to the gateway.
        is_shared: whether the processes share what they know; otherwise each has limiters of its own.

    Attributes:
        refused_after: seconds since the beginning, of each refusal.
        in_vain: how many were refused that began after an answer had said that the minute is used up.
        worst: attempts of one call.
    """

    service: Service
    processes: int
    workers: int
    latency: tuple[float, float]
    reach: tuple[float, float] = (0.01, 0.05)
    retry: Retry = field(default_factory=Retry)
    is_shared: bool = False
    answered: int = 0
    lost: list[OVHCloudError] = field(default_factory=list)
    refused_after: list[float] = field(default_factory=list)
    in_vain: int = 0
    worst: int = 0

    def __post_init__(self) -> None:
        self._chance, self._start, self._order = random.Random(7), 1000 * 60.0 + BEGUN, itertools.count()
        self._name = random.random()  # so that no other simulation's limiters are met
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._windows: dict[str, Window] = {}
        self._stores = [Shared(self._windows) if self.is_shared else None for _ in range(self.processes)]
        self._dead: set[int] = set()
        self._told: dict[int, float] = {}  # when an answer said first that a minute is used up

    def run(self, minutes: int) -> None:
        for process in range(self.processes):
            for _ in range(self.workers):
                self._begin(process, self._start)
        while self._events and self._events[0][0] < self._start + 60 * minutes:
            now, _, what = heapq.heappop(self._events)
            what(now)

    def kill(self, killed: Mapping[int, float]) -> None:
        """Ends processes after so many seconds, with permits that they have taken and not used."""
        for process, after in killed.items():
            self._at(self._start + after, partial(self._kill, process))

    def fail(self, after: float) -> None:
        """Fails what they share after so many seconds."""
        for store in filter(None, self._stores):
            self._at(self._start + after, store.fail)

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def _call(self, process: int) -> Call[Vectors]:
        url = f"http://{self._name}/v1" if self.is_shared else f"http://{self._name}-{process}/v1"
        settings = Settings(api_key="key", base_url=url, retry=self.retry, timeouts=Timeouts(first_event=None))
        return Call(settings, ASKED, self._stores[process])

    def _begin(self, process: int, now: float) -> None:
        self._begin_attempt(process, self._call(process), now)

    def _begin_attempt(self, process: int, call: Call[Vectors], now: float) -> None:
        if process in self._dead:
            return
        wait = call.begin_attempt(now, self._chance.random(), epoch=now)
        if wait:
            self._at(now + wait, partial(self._begin_attempt, process, call))
        else:
            self._at(now + self._chance.uniform(*self.reach), partial(self._admit, process, call, now))

    def _admit(self, process: int, call: Call[Vectors], begun: float, now: float) -> None:
        status, said = self.service.admit(now)
        minute = int(now // 60)
        if status == 429:
            self.refused_after.append(now - self._start)
            self.in_vain += self._told.get(minute, math.inf) < begun
        took = self._chance.uniform(*self.latency) if status == 200 else 0.02
        self._at(now + took, partial(self._answer, process, call, status, said, minute))

    def _answer(
        self, process: int, call: Call[Vectors], status: int, said: dict[str, str], minute: int, now: float
    ) -> None:
        self.answered += status == 200
        if process in self._dead:
            return
        call.answered(status, said)
        call.record_limits(now, now)
        if status == 429 or said.get("x-ratelimit-remaining-minute") == "0":
            self._told.setdefault(minute, now)
        if status == 429:
            try:
                wait = call.next_attempt(call.refusal(now), now=now, chance=self._chance.random())
            except OVHCloudError as error:
                self.lost.append(error)
            else:
                self._at(now + wait, partial(self._begin_attempt, process, call))
                return
        self.worst = max(self.worst, call.exchange().attempts)
        call.leave()
        self._begin(process, now)

    def _kill(self, process: int, now: float) -> None:
        for _ in range(WASTED):
            self._call(process).begin_attempt(now, 0, epoch=now)
        self._dead.add(process)
