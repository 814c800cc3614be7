"""An alarm for a blocking read, and someone to close what nobody reads any more: a thread for each body.

A driver. A blocking read can be bounded only when the body begins, and that bound starts anew with each byte, also
with those of pings.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from ovhcloud_ai_endpoints._watch import Watch

PARKED_SECONDS = 0.2  # how soon an alarm sees that a slow reader reads again


class Alarm:
    """The pieces of a body; cuts its connection when the watch runs out while one is being read.

    The body is held by a thread, so that when its reader is collected as garbage the body is not: closing it takes
    locks, and the collector may run while they are taken.

    Args:
        cut: wakes whoever blocks in reading a piece.
        clock: tells the time as the watch knows it.
    """

    def __init__(
        self, watch: Watch, chunks: Iterator[bytes], *, cut: Callable[[], object], clock: Callable[[], float]
    ) -> None:
        self._watch = watch
        self._chunks = chunks
        self._cut = cut
        self._clock = clock
        self._deadline = watch.deadline
        self._wake: SimpleQueue[None] = SimpleQueue()  # which may be told also while it is at work in this very thread
        self._lock = threading.Lock()  # so that nothing is cut once it is read
        self._is_reading = False
        self._has_rung = False
        self._is_over = False
        self._last: Callable[[], object] = lambda: None
        threading.Thread(target=self._run, name="ovhcloud-alarm", daemon=True).start()

    def next(self) -> bytes | None:
        """The next piece, or None at the end; TimeoutError when the time is up."""
        if self._watch.deadline < self._deadline:
            self._wake.put(None)
        self._deadline = self._watch.deadline
        self._is_reading = True
        try:
            data = next(self._chunks, None)
        except Exception as error:
            if self._has_rung:
                raise TimeoutError from error
            raise
        finally:
            with self._lock:
                self._is_reading = False
        if data is None and self._has_rung:
            raise TimeoutError
        return data

    def end(self, last: Callable[[], object] = lambda: None) -> None:
        """Nothing is read any more.

        Args:
            last: what is then still to be done, by the alarm's thread.
        """
        self._last = last
        self._is_over = True
        self._wake.put(None)

    def _run(self) -> None:
        while not self._is_over:
            is_reading = self._is_reading  # looked at first: who begins to read has moved the deadline before
            left = self._watch.left(self._clock())
            if self._has_rung:
                self._wake.get()
            elif left > 0:
                self._wait(min(left, threading.TIMEOUT_MAX))
            elif is_reading:
                self._ring()
            else:
                self._wait(PARKED_SECONDS)
        self._last()

    def _wait(self, seconds: float) -> None:
        with suppress(Empty):
            self._wake.get(timeout=seconds)

    def _ring(self) -> None:
        with self._lock:
            if self._is_reading:
                self._has_rung = True
                self._cut()
