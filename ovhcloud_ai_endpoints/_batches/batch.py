"""`Batch`: runs any function that calls our classes as batch jobs, at half the price, and outlives the process.

A driver: it has an event that stops the jobs.
"""

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import nullcontext, suppress
from itertools import count
from typing import Any, Literal, Self, TypeVar

from pydantic import SecretStr

from ovhcloud_ai_endpoints._batches.awaited_rounds import AwaitedRounds, in_thread
from ovhcloud_ai_endpoints._batches.job import Jobs
from ovhcloud_ai_endpoints._batches.ledger import Ledger
from ovhcloud_ai_endpoints._batches.lines import API_PREFIX, json_body, line_of
from ovhcloud_ai_endpoints._batches.progress import Counts, Progress
from ovhcloud_ai_endpoints._batches.requests import Window
from ovhcloud_ai_endpoints._batches.rounds import Map, in_rounds
from ovhcloud_ai_endpoints._batches.run import NO_KEY, Answers
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._errors import AuthenticationError
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
        poll_seconds: seconds between two looks at a job: at first, and at the most.
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
        match poll_seconds:
            case (int() | float() as shortest, int() | float() as longest) if 0 < shortest <= longest:
                pass
            case _:
                raise ValueError(
                    f"poll_seconds must be two positive numbers, the smaller one first; got {poll_seconds}"
                )
        self._outside = outside
        self._max_open, self._max_concurrency, self._max_rounds = max_open, max_concurrency, max_rounds
        self._settings = Settings(
            api_key=environment_key() if api_key is None else SecretStr(api_key),
            base_url=environment_base_url() if base_url is None else checked_base_url(base_url),
        )
        self._stops: set[Callable[[], object]] = set()  # of the maps that are under way
        self._ledger = Ledger(path)
        self._jobs = Jobs(self._ledger, completion_window, poll_seconds)
        self._answers = Answers(self._ledger, self._jobs, share)
        self._numbers = count(1)

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
        for stop in [*self._stops]:
            stop()
        self._jobs.close()

    def map(
        self, function: Callable[[I], O], inputs: Iterable[I], *, show_progress: bool = False
    ) -> Iterator[tuple[int, O | Exception]]:
        """Yields the place of each input, from 0, and what the function returns for it, as the answers come.

        The function runs once for each round: first until it makes a call that has no answer yet, then from the
        beginning with that answer, and so on. What it does besides our calls, it does in each round.

        Args:
            function: it blocks, such as `chain.invoke`; it must ask the same again when it runs again.
            inputs: any iterable that ends.
            show_progress: whether to show a progress bar.

        Returns:
            In any order, each place once. An exception of the function is its answer.

        Raises:
            OVHCloudError: the service was never reached.
            TypeError: the first argument is no function, is to be awaited, or returns a generator; or the inputs are
                one text or dict.
            ValueError: the batch was closed.
        """
        map_ = self._map(function, inputs, shown=show_progress)
        self._stops.add(map_.stop.set)
        answers = in_rounds(function, inputs, map_)
        try:
            while True:
                with self._refusing():  # not while the consumer has the answer, whose calls are no part of it
                    found = next(answers, None)
                if found is None:
                    return
                yield found
        finally:
            answers.close()
            self._stops.discard(map_.stop.set)
            self._end(map_)

    async def amap(
        self, function: Callable[[I], Awaitable[O]], inputs: Iterable[I], *, show_progress: bool = False
    ) -> AsyncIterator[tuple[int, O | Exception]]:
        """The same as `map`, for a coroutine function such as `chain.ainvoke`.

        Its calls wait where they are, so that it runs once; only if more than `max_open` wait, some run again.
        """
        map_ = self._map(function, inputs, shown=show_progress)
        rounds = AwaitedRounds(function, inputs, map_, max_open=self._max_open, max_concurrency=self._max_concurrency)
        self._stops.add(rounds.stop)
        answers = rounds.answers()
        try:
            while True:
                with self._refusing():
                    found = await anext(answers, None)
                if found is None:
                    return
                yield found
        finally:
            await answers.aclose()
            self._stops.discard(rounds.stop)
            await in_thread(asyncio.get_running_loop(), lambda: self._end(map_))

    def _map(self, function: Any, inputs: Iterable[Any], *, shown: bool) -> Map:
        self._ledger.check()
        if not callable(function):
            raise TypeError(f"function must be a function, such as chain.invoke; got {type(function).__name__}")
        if isinstance(inputs, str | bytes | Mapping):
            kind = type(inputs).__name__
            raise TypeError(f"inputs must be an iterable of inputs; got a {kind}. For a single input, pass [it]")
        total = len(inputs) if isinstance(inputs, Sized) else None
        progress = Progress(total, shown=shown)
        return Map(next(self._numbers), self._answers, threading.Event(), self._max_rounds, progress)

    def _refusing(self) -> Any:
        return refusing_others() if self._outside == "refuse" else nullcontext()

    def _end(self, map_: Map) -> None:
        map_.progress.close()
        if not self._stops:
            self._jobs.refused.clear()
            self._jobs.disown()
        with suppress(ValueError):  # the batch is closed, and the connection with what it knew of the map
            self._ledger.leave(map_.number)

    def submit(self, requests: Iterable[Mapping[str, Any]], *, endpoint: str = "/v1/chat/completions") -> list[str]:
        """Writes down requests, given as their JSON bodies, and returns the key of each, by which `results` names it.

        Equal requests of one call are asked once for each; those of another call, or process, are the same ones. They
        go out with the next `poll`.

        Raises:
            TypeError: a request is no mapping.
            ValueError: one names no model, or the endpoint does not begin with "/v1/".
        """
        if not endpoint.startswith(f"{API_PREFIX}/"):
            raise ValueError(f"endpoint must be a path such as /v1/chat/completions; got {endpoint!r}")
        if isinstance(requests, Mapping | str):
            raise TypeError("submit takes a list of JSON bodies; for one request, pass [request]")
        seen: Counter[bytes] = Counter()
        lines = []
        for request in requests:
            if not isinstance(request, Mapping):
                raise TypeError(f"A request must be a mapping, its JSON body; got a {type(request).__name__}")
            if not request.get("model"):
                raise ValueError("A request must be the JSON body alone, with its model; one has no field 'model'")
            body = json_body(request)
            lines.append(line_of(self._settings.base_url, endpoint, str(request["model"]), body, number=seen[body]))
            seen[body] += 1
        self._ledger.submit(lines)
        return [line.key for line in lines]

    def poll(self) -> Counts:
        """Sends what was submitted, reads what has come back, and returns the counts; it does not wait.

        Jobs are looked at no sooner than `poll_seconds` say.

        Raises:
            AuthenticationError: there is no key.
            OVHCloudError: the service was never reached, or refuses a job.
        """
        if not self._settings.key():
            raise AuthenticationError(NO_KEY)
        self._ledger.want_submitted(self._settings.base_url, self._jobs.know(self._settings))
        self._jobs.move(threading.Event())
        if self._jobs.refused and not self._stops:
            error = next(iter(self._jobs.refused.values()))
            self._jobs.refused.clear()
            raise error
        return self._ledger.counts()

    def results(self) -> Iterator[tuple[str, Any]]:
        """Yields the key of each submitted request that is answered, and the answer's JSON or its error.

        They are all that were ever submitted to the ledger.
        """
        for result in self._ledger.submitted():
            yield result.key, json.loads(result.body) if result.is_answer else result.error()

    def cancel(self) -> int:
        """Asks the service to end the jobs that are under way, whose answers so far stay, and are paid.

        What has no answer is sent again by the next map that asks it. What was submitted is given up.

        Returns:
            How many jobs of the service were ended by this.
        """
        self._jobs.know(self._settings)
        self._ledger.give_up()
        return self._jobs.cancel()

    def forget_errors(self) -> int:
        """Forgets answers that are errors, so that the next map asks again; returns how many there were."""
        self._jobs.refused.clear()
        return self._ledger.forget_errors()

    def forget_jobs(self) -> int:
        """Forgets the jobs that are under way, so that their requests are asked, and paid, again; returns how many."""
        self._jobs.know(self._settings)
        return self._jobs.forget_jobs()

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
