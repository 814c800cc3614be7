"""Runs a function for many inputs, in rounds: what all of them ask goes out in jobs, and then they run again.

A driver. `awaited_rounds` does the same for functions that are awaited.
"""

import inspect
import threading
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from ovhcloud_ai_endpoints._batches.ledger import Notes
from ovhcloud_ai_endpoints._batches.progress import Progress
from ovhcloud_ai_endpoints._batches.run import Answers, Run
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import set_sender

I = TypeVar("I")  # noqa: E741 - an input
WRITTEN_TOGETHER = 5_000  # notes
CLOSED = "The Batch was closed while a map was under way; the next map on its ledger goes on"
OTHER = (
    "The function asked something else this time, so that its first answers are of no use: does a prompt hold the time "
    "or a random value, or does it continue a conversation that a checkpointer or memory keeps? Nothing more was sent "
    "for this input."
)
MOST_STRIKES = 2
SHORTEST_SECONDS = 0.01  # between two looks at jobs, when nothing came of the first
Answer = tuple[int, Any]


@dataclass(frozen=True)
class Map:
    """One map of a batch.

    Attributes:
        number: by which the ledger tells it from others.
        stop: is set when it is to end.
    """

    number: int
    answers: Answers
    stop: threading.Event
    max_rounds: int
    progress: Progress

    def write(self, notes: Notes) -> None:
        if len(notes):
            self.answers.ledger.write(self.number, notes)

    def problem(self, run: Run, state: "State") -> OVHCloudError | None:
        """Why an input can't wait for what it has asked; None if it can.

        What it waited for in the round before it should ask again. A cache may have answered it meanwhile, or a thread
        been stopped before it asked; so it may fail to some times, but not ask other things at each run.
        """
        if missing := state.waited_for - run.asked:
            state.strikes += 1
            if state.strikes > MOST_STRIKES or (missing == state.waited_for and state.seen != frozenset(run.asked)):
                return OVHCloudError(OTHER)
        if state.rounds >= self.max_rounds:
            return OVHCloudError(
                f"The function still asks something new after {self.max_rounds} rounds, {len(run.new)} requests now. "
                "Allow more with max_rounds=. If it is the same small number in each round, a limit of calls at once "
                "holds it up: raise max_concurrency, num_workers or workers. What was answered is in the ledger."
            )
        return None


@dataclass
class State:
    """How far an input is.

    Attributes:
        rounds: how often it has waited.
        waited_for: what it asked for the first time in the last of them.
        strikes: how often it did not ask that again.
        seen: what it asked when it ran again to see whether it asks the same; None if it did not.
    """

    rounds: int = 0
    waited_for: frozenset[str] = frozenset()
    strikes: int = 0
    seen: frozenset[str] | None = None

    def is_odd(self, run: Run) -> bool:
        """Whether it asks nothing of what it waited for, and was not run again to see whether it asks the same."""
        return self.seen is None and bool(self.waited_for) and not self.waited_for & run.asked


def note(notes: Notes, run: Run, rounds: int) -> None:
    """An input waits, in this round, for what a run has asked."""
    notes.new |= run.new
    notes.wanted |= run.wanted
    notes.asked += ((run.place, key) for key in run.asked)
    notes.waiting[run.place] = rounds
    run.new, run.wanted = {}, {}


def in_rounds(function: Callable[[I], Any], inputs: Iterable[I], map_: Map) -> Generator[Answer, None, None]:
    """Yields the place of each input and its answer: what the function returned, or an error."""
    ledger, jobs, notes = map_.answers.ledger, map_.answers.jobs, Notes()
    values: dict[int, I] = {}
    strikes: dict[int, int] = {}
    for place, value in enumerate(inputs):
        answer = _attempt(function, place, value, map_, notes, State())
        if answer is not None:
            yield answer
        else:
            values[place] = value
        notes = _written(notes, map_)
    changes = (-1, -1)
    while values:
        map_.write(notes)
        notes = Notes()
        seconds = jobs.move(map_.stop)
        map_.progress.show(ledger.counts)
        before, changes = changes, jobs.changes
        ready = ledger.ready(map_.number) if changes != before or not seconds else []
        for place in ready:
            state = State(*ledger.state(map_.number, place), strikes.get(place, 0))
            answer = _attempt(function, place, values[place], map_, notes, state)
            if answer is not None:
                notes.done.append(place)
                del values[place]
                yield answer
            elif state.strikes:
                strikes[place] = state.strikes
            notes = _written(notes, map_)
        if not ready and map_.stop.wait(max(seconds, SHORTEST_SECONDS)):
            raise ValueError(CLOSED)


def _written(notes: Notes, map_: Map) -> Notes:
    """The same notes, or none once there were so many that they were written down."""
    if len(notes) < WRITTEN_TOGETHER:
        return notes
    map_.write(notes)
    map_.progress.show(map_.answers.ledger.counts)
    return Notes()


def _attempt(
    function: Callable[[I], Any], place: int, value: I, map_: Map, notes: Notes, state: State
) -> Answer | None:
    """The answer to an input; None if it waits."""
    run = Run(map_.answers, place)
    answer: Any = None
    try:
        answer = copy_context().run(_called, run, function, value)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # whatever it is, the function's own exception is its answer
        if not isinstance(error, Exception) and not run.waits_for:
            raise
        answer = error
    finally:
        run.is_over = True
    if run.failure is not None:
        raise run.failure
    _check_answer(answer)
    if run.waits_for:
        if state.is_odd(run):
            state.seen = frozenset(run.asked)
            return _attempt(function, place, value, map_, notes, state)
        answer = map_.problem(run, state)
        if answer is None:
            note(notes, run, state.rounds + 1)
            return None
    map_.progress.add()
    return place, answer


def _called(run: Run, function: Callable[[I], Any], value: I) -> Any:
    set_sender(run)
    return function(value)


def _check_answer(answer: Any) -> None:
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("map takes a function that blocks, such as chain.invoke; for chain.ainvoke there is amap")
    if inspect.isgenerator(answer):
        answer.close()
        raise TypeError(
            "The function returned a generator, which would call outside of the batch; return list(...) of it"
        )
