"""What a failure below HTTP means: exceptions of httpx and httpx2, told by their names, into ours.

Pure: it imports neither, and both families have the same names.
"""

from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    OVHCloudError,
)
from ovhcloud_ai_endpoints._watch import Watch

CLOCK_SECONDS = 0.1  # how exact the timeouts of a system are
HTTPX = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})


def translated(error: Exception, place: str, watch: Watch, now: float) -> OVHCloudError | None:
    """What an exception of httpx, httpx2 or the system means; None if it is none of theirs.

    Args:
        place: the base URL.
        watch: the clocks of the call.
    """
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in HTTPX}
    timed_out = isinstance(error, TimeoutError) or names & {"ReadTimeout", "WriteTimeout"}
    if timed_out and watch.left(now) < CLOCK_SECONDS:  # else it was the system's, of a dead peer
        return watch.expired()
    if not names and not isinstance(error, OSError):  # httpx lets some of those of TLS through
        return None
    said = str(error).rstrip(".") or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return APIConnectionError(
            f"The certificate of {place} is not trusted: {said}. Behind a proxy that inspects TLS, "
            "set verify= or SSL_CERT_FILE to the file with its certificate authority."
        )
    if "DecodingError" in names:
        return InvalidResponseError(f"The answer's content encoding can't be undone: {said}.")
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return BadRequestError(f"The request can't be sent: {said}.")
    if "RemoteProtocolError" in names and not said.startswith(("Server disconnected", "peer closed")):
        return InvalidResponseError(f"{place} does not answer as an HTTP server should: {said}.")
    ours = (
        APITimeoutError(f"No connection to {place} in time; is a proxy needed (proxy=, HTTPS_PROXY)?")
        if "ConnectTimeout" in names
        else APIConnectionError(f"No answer from {place}: {said}. Are base_url, network and proxy right?")
    )
    ours.is_transient = True
    return ours
