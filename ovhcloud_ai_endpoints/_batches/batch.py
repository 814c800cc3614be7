"""`Batch`: runs any function that calls our classes as batch jobs, at half the price, and outlives the process.

A driver: it has an event that stops the jobs.
"""

import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import nullcontext
from itertools import count
from typing import Any, Literal, Self, TypeVar

from pydantic import SecretStr

from ovhcloud_ai_endpoints._batches.job import Jobs
from ovhcloud_ai_endpoints._batches.ledger import Ledger
from ovhcloud_ai_endpoints._batches.lines import line_of
from ovhcloud_ai_endpoints._batches.progress import Counts, Progress
from ovhcloud_ai_endpoints._batches.requests import Window
from ovhcloud_ai_endpoints._batches.rounds import AsyncRounds, Plan, in_rounds
from ovhcloud_ai_endpoints._batches.run import Answers
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._http import (
    Settings,
    checked_base_url,
    environment_base_url,
    environment_key,
    refusing_others,
)

HALF = 0.5  # of the price of a call (blog.ovhcloud.com/ovhcloud-ai-endpoints-batch-mode)
I = TypeVar("I")  # noqa: E741 - an input
O = TypeVar("O")  # noqa: E741 - what the function returns
Outside = Literal["refuse", "send"]


class Batch:
    """Runs functions for many inputs, whose calls of our chat and embedding classes are answered by batch jobs.

    Args:
        path: the ledger, an SQLite file that is made if there is none. It holds prompts and answers in clear, and no
            key; only its owner may read it. The same file later goes on where it was.
        completion_window: within what time the service is to finish a job: "24h", "48h" or "72h".
        share: whether equal requests of different inputs have one answer, and are paid once.
        outside: what becomes of a call that is made during a map, but not by its function: "refuse" raises an error,
            "send" sends it at once, at full price.
        max_open: functions of `amap` that wait where they are; those above it run again once they are answered.
        max_concurrency: functions of `amap` that are under way and do not wait.
        max_rounds: how often the function of one input may ask something new.
        poll_seconds: after how many seconds a job is asked for, in its first minutes and later.
        api_key: the key of `submit` and `poll`; by default that of the environment. `map` takes that of each call.
        base_url: the server of `submit` and `poll`.

    Raises:
        ValueError: the file is no ledger, or an argument is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        completion_window: Window = "48h",
        share: bool = True,
        outside: Outside = "refuse",
        max_open: int = 10_000,
        max_concurrency: int = 64,
        max_rounds: int = 10,
        poll_seconds: tuple[float, float] = (10, 300),
        api_key: str | None = None,
        base_url: str | None = None,
    ) -> None:
        _check("completion_window", completion_window, ("24h", "48h", "72h"))
        _check("outside", outside, ("refuse", "send"))
        for name, value in (("max_open", max_open), ("max_concurrency", max_concurrency), ("max_rounds", max_rounds)):
            if value < 1:
                raise ValueError(f"{name} must be positive; got {value}")
        shortest, longest = poll_seconds
        if not 0 < shortest <= longest:
            raise ValueError(f"poll_seconds must be two positive numbers, the smaller one first; got {poll_seconds}")
        self._outside = outside
        self._max_open, self._max_concurrency, self._max_rounds = max_open, max_concurrency, max_rounds
        self._settings = Settings(
            api_key=environment_key() if api_key is None else SecretStr(api_key),
            base_url=environment_base_url() if base_url is None else checked_base_url(base_url),
        )
        self._stops: set[threading.Event] = set()  # of the maps that are under way
        self._ledger = Ledger(path)
        self._jobs = Jobs(self._ledger, completion_window, poll_seconds)
        self._answers = Answers(self._ledger, self._jobs, share)
        self._maps = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the ledger. Jobs that are under way go on at the service; the next map on the ledger reads them."""
        for stop in self._stops:
            stop.set()
        self._jobs.close()

    def map(
        self, function: Callable[[I], O], inputs: Iterable[I], *, show_progress: bool = False
    ) -> Iterator[tuple[int, O | Exception]]:
        """Yields the place of each input, from 0, and what the function returns for it, as the answers come.

        The function runs once for each round: first until it makes a call that has no answer yet, then from the
        beginning with that answer, and so on. What it does besides our calls, it does in each round.

        Args:
            function: it blocks, such as `chain.invoke`; it must ask the same again when it runs again.
            inputs: any iterable.
            show_progress: whether to show a progress bar.

        Returns:
            In any order, each place once. An exception of the function is its answer.

        Raises:
            OVHCloudError: the service was never reached.
            TypeError: the function is to be awaited.
        """
        plan = self._plan(inputs, shown=show_progress)
        answers = in_rounds(function, inputs, plan)
        try:
            while True:
                with self._refusing():  # not while the consumer has the answer, whose calls are no part of it
                    found = next(answers, None)
                if found is None:
                    return
                yield found
        finally:
            answers.close()
            self._end(plan)

    async def amap(
        self, function: Callable[[I], Awaitable[O]], inputs: Iterable[I], *, show_progress: bool = False
    ) -> AsyncIterator[tuple[int, O | Exception]]:
        """The same as `map`, for a coroutine function such as `chain.ainvoke`.

        Its calls wait where they are, so that it runs once; only if more than `max_open` wait, some run again.
        """
        plan = self._plan(inputs, shown=show_progress)
        rounds = AsyncRounds(function, inputs, plan)
        try:
            with self._refusing():
                answers = rounds.answers()
                try:
                    async for found in answers:
                        yield found
                finally:
                    await answers.aclose()
        finally:
            self._end(plan)

    def _plan(self, inputs: Iterable[Any], *, shown: bool) -> Plan:
        self._ledger.check()
        stop = threading.Event()
        self._stops.add(stop)
        total = len(inputs) if isinstance(inputs, Sized) else None
        return Plan(
            number=next(self._maps),
            answers=self._answers,
            stop=stop,
            max_rounds=self._max_rounds,
            max_open=self._max_open,
            max_concurrency=self._max_concurrency,
            progress=Progress(total, shown=shown),
        )

    def _refusing(self) -> Any:
        return refusing_others() if self._outside == "refuse" else nullcontext()

    def _end(self, plan: Plan) -> None:
        plan.stop.set()
        self._stops.discard(plan.stop)
        plan.progress.close()
        if self._ledger.is_open:
            self._ledger.leave(plan.number)

    def submit(self, requests: Iterable[Mapping[str, Any]], *, endpoint: str = "/v1/chat/completions") -> list[str]:
        """Writes down requests, given as their JSON bodies, and returns the key of each, by which `results` names it.

        Equal requests of one call are asked once for each. They go out with the next `poll`.
        """
        server = self._settings.base_url
        bodies = [json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() for request in requests]
        seen: dict[bytes, int] = {}
        lines = []
        for request, body in zip(requests, bodies, strict=False):
            seen[body] = seen.get(body, -1) + 1
            lines.append(line_of(server, endpoint, str(request.get("model")), body, number=seen[body]))
        self._ledger.submit(lines)
        return [line.key for line in lines]

    def poll(self) -> Counts:
        """Sends what was submitted, reads what has come back, and returns the counts; it does not wait.

        Raises:
            OVHCloudError: the service was never reached.
        """
        self._ledger.want_submitted(self._settings.base_url, self._jobs.reach(self._settings))
        self._jobs.move(threading.Event())
        return self._ledger.counts()

    def results(self) -> Iterator[tuple[str, Any]]:
        """Yields the key of each submitted request that is answered, and the answer's JSON or its error."""
        for result in self._ledger.submitted():
            yield result.key, json.loads(result.body) if result.is_answer else result.error()

    def cancel(self) -> int:
        """Asks the service to end the jobs that are under way, whose answers so far stay; returns how many.

        What they leave unanswered goes out again with the next map or poll that asks it.
        """
        self._jobs.reach(self._settings)
        return self._jobs.cancel()

    def forget_errors(self) -> int:
        """Forgets answers that are errors, so that the next map asks again; returns how many there were."""
        return self._ledger.forget_errors()

    @property
    def counts(self) -> Counts:
        """How many requests the ledger has: waiting, under way, answered and failed."""
        return self._ledger.counts()

    @property
    def cost(self) -> float:
        """US dollars that the answers in the ledger cost, at half the catalogue's prices.

        Raises:
            ValueError: the price of a model is not known.
        """
        return HALF * sum(
            model_facts(name).cost(input_tokens=asked, output_tokens=answered)
            for name, asked, answered in self._ledger.tokens()
        )


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
