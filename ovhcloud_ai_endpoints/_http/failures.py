"""Translates exceptions of httpx, httpx2 and aiohttp into ours, by the names of their classes.

Pure: it imports none of them; httpx and httpx2 use the same names.
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

CLOCK_SECONDS = 0.1  # operating systems' timeouts are no more exact
NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout"})
HTTPX = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
# httpx's names for aiohttp's exceptions; the first match counts.
AIOHTTP = {
    "ClientHttpProxyError": "ProxyError",
    "ClientConnectorError": "ConnectError",
    "ConnectionTimeoutError": "ConnectTimeout",
    "SocketTimeoutError": "ReadTimeout",
    "InvalidURL": "InvalidURL",
    "ClientResponseError": "RemoteProtocolError",
    "HttpProcessingError": "RemoteProtocolError",
    "ClientError": "ReadError",
}


def translated(error: Any, place: str, clocks: Clocks, now: float, *, proxy: str | None = None) -> OVHCloudError | None:
    """Our error for an exception of httpx, httpx2, aiohttp or the system; None for any other exception.

    Args:
        place: the base URL.
        clocks: of the call.
        proxy: the URL of the proxy on the way, without a password.
    """
    names = _names(error)
    timed_out = isinstance(error, TimeoutError) or names & {"ReadTimeout", "WriteTimeout"}
    if timed_out and clocks.left(now) < CLOCK_SECONDS:  # else the system gave up on a dead peer
        return clocks.expired()
    words = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, RuntimeError) and "shutdown" in words:
        ending = APIConnectionError(f"No connection to {place}: the program is ending ({words}).")
        ending.may_have_taken_effect = False
        return ending
    if not names and not isinstance(error, OSError):  # httpx lets some TLS errors through
        return None
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return APIConnectionError(
            f"The certificate of {place} is not trusted: {words}. Behind a proxy that inspects TLS, "
            "set verify= or SSL_CERT_FILE to the file with the proxy's CA certificate."
        )
    if "DecodingError" in names:
        return InvalidResponseError(f"The answer can't be decompressed: {words}.")
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}:
        return BadRequestError(f"The request can't be sent: {words}.")
    if "RemoteProtocolError" in names and not words.startswith(("Server disconnected", "peer closed")):
        return InvalidResponseError(f"{place} does not answer as an HTTP server should: {words}.")
    if "ProxyError" in names:
        words = f"{error.status} {error.message}" if hasattr(error, "status") else words  # as aiohttp has it
        return proxy_refusal(proxy, words)
    if "PoolTimeout" in names:
        full = APITimeoutError(
            "No connection in time: every connection of the given client is in use. "
            "Raise its limits (httpx.Limits(max_connections=...)), or lower max_concurrency."
        )
        full.may_have_taken_effect = False
        return full
    if proxy and names & NOT_CONNECTED and "SSL" not in words and "TLS" not in words:
        unreached = APIConnectionError(f"The proxy {proxy} can't be reached: {words}. Check proxy= and HTTPS_PROXY.")
        unreached.is_transient, unreached.may_have_taken_effect = True, False
        return unreached
    lost = (
        APITimeoutError(f"No connection to {place} in time; is a proxy needed (proxy=, HTTPS_PROXY)?")
        if "ConnectTimeout" in names
        else APIConnectionError(f"No answer from {place}: {words}. Check base_url, the network and the proxy.")
    )
    lost.is_transient = True
    lost.may_have_taken_effect = not names & NOT_CONNECTED
    return lost


def _names(error: Exception) -> set[str]:
    """The names that an exception and its bases have in httpx."""
    own = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in HTTPX}
    theirs = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] == "aiohttp"}
    return {next((httpxs for name, httpxs in AIOHTTP.items() if name in theirs), "ReadError")} if theirs else own
