"""What a failure below HTTP means: exceptions of httpx, httpx2 and aiohttp, told by their names, into ours.

Pure: it imports none of them, and httpx and httpx2 have the same names.
"""

from typing import Any

from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    OVHCloudError,
)
from ovhcloud_ai_endpoints._http.clocks import Clocks
from ovhcloud_ai_endpoints._http.refusals import proxy_refusal

CLOCK_SECONDS = 0.1  # how exact the timeouts of a system are
NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout"})
HTTPX = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
# What aiohttp's exceptions are called in httpx; httpx-aiohttp 0.2.0 makes a ConnectTimeout of most. The first counts.
AIOHTTP = {
    "ClientHttpProxyError": "ProxyError",
    "ClientConnectorError": "ConnectError",
    "ConnectionTimeoutError": "ConnectTimeout",
    "SocketTimeoutError": "ReadTimeout",
    "InvalidURL": "InvalidURL",
    "ClientResponseError": "RemoteProtocolError",
    "ClientError": "ReadError",
}


def translated(
    error: Exception, place: str, clocks: Clocks, now: float, *, proxy: str | None = None
) -> OVHCloudError | None:
    """What an exception of httpx, httpx2 or the system means; None if it is none of theirs.

    Args:
        place: the base URL.
        clocks: of the call.
        proxy: the URL of the proxy on the way, without a password.
    """
    names = _names(error)
    timed_out = isinstance(error, TimeoutError) or names & {"ReadTimeout", "WriteTimeout"}
    if timed_out and clocks.left(now) < CLOCK_SECONDS:  # else it was the system's, of a dead peer
        return clocks.expired()
    words = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, RuntimeError) and "shutdown" in words:
        ending = APIConnectionError(f"No connection to {place}: the program is ending ({words}).")
        ending.may_have_taken_effect = False
        return ending
    if not names and not isinstance(error, OSError):  # httpx lets some of those of TLS through
        return None
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return APIConnectionError(
            f"The certificate of {place} is not trusted: {words}. Behind a proxy that inspects TLS, "
            "set verify= or SSL_CERT_FILE to the file with its certificate authority."
        )
    if "DecodingError" in names:
        return InvalidResponseError(f"The answer's content encoding can't be undone: {words}.")
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return BadRequestError(f"The request can't be sent: {words}.")
    if "RemoteProtocolError" in names and not words.startswith(("Server disconnected", "peer closed")):
        return InvalidResponseError(f"{place} does not answer as an HTTP server should: {words}.")
    if "ProxyError" in names:
        cause: Any = error.__cause__
        words = f"{cause.status} {cause.message}" if hasattr(cause, "status") else words  # as aiohttp has it
        return proxy_refusal(proxy, words)
    lost = (
        APITimeoutError(f"No connection to {place} in time; is a proxy needed (proxy=, HTTPS_PROXY)?")
        if "ConnectTimeout" in names
        else APIConnectionError(f"No answer from {place}: {words}. Are base_url, network and proxy right?")
    )
    lost.is_transient = True
    lost.may_have_taken_effect = not names & NOT_CONNECTED
    return lost


def _names(error: Exception) -> set[str]:
    """The names that an exception and its bases have in httpx."""
    own = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in HTTPX}
    for one in (error, error.__cause__):
        theirs = {kind.__name__ for kind in type(one).__mro__ if kind.__module__.partition(".")[0] == "aiohttp"}
        if theirs:
            return {next(httpxs for name, httpxs in AIOHTTP.items() if name in theirs)}
    return own
