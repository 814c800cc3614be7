"""The clocks of one call: by when must the next thing have happened?

Pure: it is told the time, in seconds of any monotonic clock.
"""

import math

from ovhcloud_ai_endpoints._errors import APITimeoutError
from ovhcloud_ai_endpoints._settings import Timeouts

DRAIN_SECONDS = 0.25  # for the end of the HTTP body after [DONE], so that the connection can be used again


class Watch:
    """Started when the call begins; told of each event.

    Attributes:
        deadline: when the clock that now runs will have run out.
        started: when the call began.
        first_event: when the first event came, if it has.
    """

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self.started = now
        self.first_event: float | None = None
        self._timeouts = timeouts
        self._is_draining = False
        self._end = math.inf if timeouts.total is None else now + timeouts.total
        self.deadline = min(self._end, math.inf if timeouts.first_event is None else now + timeouts.first_event)

    def left(self, now: float) -> float:
        """Seconds until the deadline; infinite if there is none."""
        return self.deadline - now

    def event(self, now: float) -> None:
        """An event has come: from now on the idle clock runs."""
        if self.first_event is None:
            self.first_event = now
        idle = self._timeouts.idle
        self.deadline = min(self._end, math.inf if idle is None else now + idle)

    def pause(self, seconds: float) -> None:
        """The reader was busy with an event for so long, which is not the service's silence."""
        if self.first_event is not None and not self._is_draining:
            self.deadline = min(self._end, self.deadline + seconds)

    def drain(self, now: float) -> None:
        """The answer is complete: what is left of the body must come at once."""
        if not self._is_draining:
            self._is_draining = True
            self.deadline = now + DRAIN_SECONDS

    def expired(self) -> APITimeoutError:
        """The error that says which clock ran out and what to set."""
        if self.deadline == self._end:
            return APITimeoutError(
                f"The answer was not complete within {self._timeouts.total:g} s. "
                "Set timeout=Timeouts(total=...) higher to wait longer."
            )
        if self.first_event is None:
            return APITimeoutError(
                f"No answer began within {self._timeouts.first_event:g} s. Set timeout=... higher to wait longer; "
                "a reasoning model may think for minutes, which a stream shows and a lower reasoning_effort shortens."
            )
        return APITimeoutError(
            f"The stream was silent for {self._timeouts.idle:g} s. "
            "Set timeout=Timeouts(idle=...) higher to wait longer."
        )
