"""Which of the calls that a function makes at once may go first, when none of them has an answer.

Pure: the time comes in as a value. A call that goes raises, which may end the function before its other calls are made;
so it is held until nothing new was asked for a while.
"""

from bisect import insort_right
from collections.abc import Callable
from operator import itemgetter

QUIET_SECONDS = 0.03  # If a function asks nothing new for so long, it has asked all that it can.
TICKS = 3  # The quiet time is counted in so many ticks of the oldest call.
QUICK_SECONDS = 0.003  # A tick, while each call that goes makes room for another one.
STUCK_SECONDS = 0.5  # If the oldest call has not ticked for so long, another one does.
LATE_TICKS = 10  # A tick that comes late counts as this part of one.

LetGo = Callable[[], object]


class Turns:
    """The calls of one run that are held."""

    def __init__(self) -> None:
        self._held: list[tuple[int, LetGo]] = []  # that of the oldest work first
        self._released = 0  # calls that went together the last time, if nothing was asked since
        self._is_queue = False  # whether something was asked each time that calls went
        self._punctual = 0.0  # by when a tick is to end
        self._ticked = 0.0  # when the last one was
        self._ticks = 0.0  # since something was asked, or calls went

    def ask(self) -> None:
        """Something new was asked."""
        self._is_queue, self._released, self._ticks = self._released > 0, 0, 0.0

    def hold(self, since: int, let_go: LetGo, now: float) -> None:
        """Holds a call until `let_go` is called.

        Args:
            since: when its thread took up the work that it belongs to; larger if it was later.
        """
        insort_right(self._held, (since, let_go), key=itemgetter(0))
        self._ticked = max(self._ticked, now)

    def drop(self, let_go: LetGo) -> None:
        """A call is not held any more."""
        self._held = [held for held in self._held if held[1] is not let_go]

    def begin_tick(self, by: LetGo, now: float) -> float:
        """Seconds for which a held call is to wait."""
        pause = QUICK_SECONDS if self._is_queue else QUIET_SECONDS / TICKS
        if self._held and by is self._held[0][1]:
            self._punctual = now + 1.5 * pause
        return pause

    def tick(self, by: LetGo, now: float) -> list[LetGo]:
        """The calls that may go, after a held call has waited.

        The call of the oldest work ticks. After some ticks in which nothing was asked, that of the youngest goes: in a
        pool, its thread then takes up the next work. Each time in vain, twice as many go. The oldest is what the pool
        is to answer first, and would end it, so it goes last and alone. On a busy machine ticks are late, and the other
        threads may be late, too.
        """
        is_first = bool(self._held) and by is self._held[0][1]
        if not is_first and now - self._ticked < STUCK_SECONDS:
            return []
        self._ticked = now if is_first else self._ticked
        self._ticks += 1 if now < self._punctual or not is_first else 1 / LATE_TICKS
        if self._ticks < (1 if self._is_queue else TICKS):
            return []
        self._ticks = 0.0
        if self._is_queue and self._released:
            self._is_queue = False  # it has ended, or is slow
            return []
        self._released = max(1, min(2 * self._released, len(self._held) - 1))
        leaving = self._held[-self._released :]
        del self._held[-self._released :]
        return [let_go for _, let_go in leaving]
