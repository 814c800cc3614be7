"""How often a failure that may pass is retried, and how long to wait.

Pure: a function of the error, the attempt and the time left. It neither sleeps nor draws random numbers.
"""

from dataclasses import dataclass

from ovhcloud_ai_endpoints._errors import OVHCloudError

LONGEST_BACKOFF = 8.0  # seconds


@dataclass(frozen=True)
class Retry:
    """How often to try again and how long to wait.

    Attributes:
        max_retries: further requests after the first; 0 means one request.
        max_wait: the longest single wait in seconds; if the service asks for more, there is no retry.
        backoff: ceiling in seconds of the first wait if the service doesn't say how long; doubles each time, up to 8.
    """

    max_retries: int = 2
    max_wait: float = 60.0
    backoff: float = 0.5

    def objection(self, wait: float, *, left: float) -> str | None:
        """The argument that rules out waiting so long before a request; None if none does.

        Args:
            wait: seconds.
            left: seconds until the call's deadline.
        """
        if not self.max_retries:
            return "max_retries=0"
        if wait > self.max_wait:
            return f"max_wait={self.max_wait:g}"
        return "timeout" if wait >= left else None

    def delay(self, error: OVHCloudError, *, attempt: int, left: float, chance: float) -> float | None:
        """Seconds to wait before another attempt, or None if this was the last.

        Args:
            attempt: number of the attempt that failed, from 1.
            left: seconds until the call's deadline.
            chance: a random number in [0, 1), for jitter.
        """
        if attempt > self.max_retries or not error.is_transient:
            return None
        if error.retry_after is None:
            wait = chance * min(LONGEST_BACKOFF, self.backoff * 2 ** (attempt - 1))
        else:
            wait = error.retry_after * (1 + chance / 10)
            if error.retry_after > self.max_wait:
                return None
        return wait if wait < left else None
