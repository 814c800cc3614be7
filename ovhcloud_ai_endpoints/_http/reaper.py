"""The process's one thread that closes what the garbage collector found, and what was idle for too long.

A driver. The collector may run at any moment, even on a thread that holds the lock that closing would wait for; so what
it finds is closed on a thread of its own, which ends when there is nothing left to do.
"""

import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ovhcloud_ai_endpoints._process import after_fork

LINGER_SECONDS = 5.0  # how long the idle thread waits for more to do; starting one takes 0.1 ms


class Reaper:
    """Closes things on a thread, which is started when it is needed.

    Args:
        sweep: given the time, closes what has been idle for too long; returns when the next will have been, infinite
            if nothing is idle.
    """

    def __init__(self, sweep: Callable[[float], float]) -> None:
        self._sweep = sweep
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # reentrant, as a finalizer that runs while it is held may ask for it
        self._jobs: queue.SimpleQueue[Callable[[], object]] | None = None
        self._thread: threading.Thread | None = None
        self._is_wanted = False

    def close(self, closing: Callable[[], object]) -> None:
        """Calls `closing` soon on the thread; at once if no thread can be had, as when the process ends."""
        jobs = self._opened()
        jobs.put(closing)
        if not self.watch():
            with suppress(queue.Empty):
                while True:
                    jobs.get_nowait()()

    def _opened(self) -> "queue.SimpleQueue[Callable[[], object]]":
        """The jobs; made at first use, since gevent may patch `queue` after a fork."""
        if self._jobs is None:
            with self._lock:
                self._jobs = self._jobs or queue.SimpleQueue()
        return self._jobs

    def watch(self) -> bool:
        """Makes sure that the thread runs, which closes what is idle; False if no thread can be had."""
        self._is_wanted = True
        if self._thread is not None:
            return True
        with self._lock:
            if self._thread is not None:
                return True
            self._thread = threading.Thread(target=self._run, name="ovhcloud-reaper", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # "can't start new thread": there are too many, or the interpreter shuts down
                self._thread = None
                return False
        return True

    def _run(self) -> None:
        try:
            while not self._is_finished():
                pass
        except BaseException:
            self._thread = None
            raise

    def _is_finished(self) -> bool:
        """Does the next job; True if there is nothing left to do."""
        now = time.monotonic()
        expiry = self._sweep(now)
        wait = LINGER_SECONDS if expiry == math.inf else max(0.0, expiry - now)
        try:
            job = self._opened().get(timeout=wait)
        except queue.Empty:
            return expiry == math.inf and self._has_ended()
        job()
        return False

    def _has_ended(self) -> bool:
        with self._lock:
            own, self._thread = self._thread, None
            if self._is_wanted or not self._opened().empty():
                self._is_wanted, self._thread = False, own
                return False
        return True
