"""In which order the threads of pools took up what they work on.

A driver. A pool hands its work out in order, and does not say when. A thread took up its work after its last call had
ended; its first one before it was seen at work. So the order of these is an estimate. What it works on is read from
the stack, as chains run each step in a copy of the context.
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import thread as pools
from dataclasses import dataclass
from inspect import currentframe
from itertools import count
from types import FrameType
from weakref import WeakKeyDictionary, ref

# Private; without it, and in other pools, all that a thread does is one piece of work.
_RUN = getattr(getattr(getattr(pools, "_WorkItem", None), "run", None), "__code__", None)


@dataclass
class _Worker:
    """A thread.

    Attributes:
        free_since: when its last call ended, or it was first seen.
        since: when it took up its work.
        work: what a pool has it work on.
    """

    free_since: int
    since: int
    work: "ref[object] | None" = None


_workers: "WeakKeyDictionary[threading.Thread, _Worker]" = WeakKeyDictionary()
_moments: Iterator[int] = count()


def working_since() -> int:
    """When the current thread took up its work; larger if it was later."""
    thread = threading.current_thread()
    if thread not in _workers:
        _see_all()
    worker, running = _workers[thread], _running(currentframe())
    if running is not None:
        work = running.f_locals["self"]
        if worker.work is None or worker.work() is not work:
            worker.since, worker.work = worker.free_since, ref(work)
    return worker.since


def end_call() -> None:
    """A call of the current thread has ended; it takes up other work after now, if it does."""
    worker = _workers.get(threading.current_thread())
    if worker is not None:
        worker.free_since = next(_moments)


def _see_all() -> None:
    """Notes all threads that are at work, in the order in which they were started, and this one."""
    current, frames = threading.current_thread(), sys._current_frames()  # noqa: SLF001 - documented
    for thread in (*threading.enumerate(), current):
        if thread is current or _running(frames.get(thread.ident or 0)) is not None:
            moment = next(_moments)
            _workers.setdefault(thread, _Worker(moment, moment))


def _running(frame: FrameType | None) -> FrameType | None:
    """The frame, up the stack, in which a pool of the standard library runs a piece of work; None if there is none."""
    while frame is not None and frame.f_code is not _RUN:
        frame = frame.f_back
    return frame
