"""The clocks of one call: the deadline for what must happen next.

Pure: callers pass in the time, in seconds of any monotonic clock.
"""

import math
from typing import Literal

from ovhcloud_ai_endpoints._errors import APITimeoutError
from ovhcloud_ai_endpoints._http.settings import Timeouts

LONGEST = 1e8  # seconds; sockets take no more than some centuries
DRAIN_SECONDS = 0.25  # for the end of the HTTP body after [DONE], so that the connection can be used again
Clock = Literal["first_event", "idle", "total", "drain"]


class Clocks:
    """The clocks of one call: made when it begins, and told of each event.

    Attributes:
        deadline: when the running clock runs out; infinite if it never does.
        started: when the call began.
        first_event: when the first event came, if it has.
    """

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self.started = now
        self.first_event: float | None = None
        self._timeouts = timeouts
        self._end = math.inf if timeouts.total is None else now + timeouts.total
        self._set("first_event", math.inf if timeouts.first_event is None else now + timeouts.first_event)

    def left(self, now: float) -> float:
        """Seconds until the deadline; infinite if there is none."""
        return self.deadline - now

    def event(self, now: float) -> None:
        """An event has come: from now on the idle clock runs."""
        if self.first_event is None:
            self.first_event = now
        self._set("idle", math.inf if self._timeouts.idle is None else now + self._timeouts.idle)

    def pause(self, seconds: float) -> None:
        """Extends the idle clock by seconds that the reader was busy: that was not the service's silence."""
        if self._clock == "idle":
            self._set("idle", self.deadline + seconds)

    def wait(self, seconds: float) -> None:
        """Extends all clocks by seconds that we made the call wait."""
        self._end += seconds
        self.deadline += seconds

    def drain(self, now: float) -> None:
        """The answer is complete: what is left of the body must come at once."""
        if self._clock != "drain":
            self._set("drain", now + DRAIN_SECONDS)

    def expired(self) -> APITimeoutError:
        """The error that says which clock ran out and what to set."""
        match self._clock:
            case "total":
                problem = f"The answer was not complete within {self._timeouts.total:g} s"
            case "first_event":
                problem = f"No answer began within {self._timeouts.first_event:g} s"
            case _:
                problem = f"The stream was silent for {self._timeouts.idle or DRAIN_SECONDS:g} s"
        return APITimeoutError(
            f"{problem}. To wait longer, raise timeout=Timeouts({self._clock}=...). "
            "A reasoning model may think for minutes: stream to watch it, or lower reasoning_effort."
        )

    def _set(self, clock: Clock, deadline: float) -> None:
        self._clock: Clock = "total" if self._end < deadline else clock
        self.deadline = min(self._end, deadline)
