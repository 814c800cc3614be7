"""How to reach the service and how long to wait for it: one frozen value, with defaults from the environment.

Pure, except that it reads environment variables.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from platform import python_version
from types import MappingProxyType
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from ovhcloud_ai_endpoints._errors import KEY_ADVICE, AuthenticationError
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.tls import Verify
from ovhcloud_ai_endpoints._version import __version__

KEY_VARIABLES = ("OVHCLOUD_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN")
BASE_URL_VARIABLE = "OVHCLOUD_API_BASE"
BASE_URL = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"
CHAT_CONCURRENCY = 256
EMBEDDING_CONCURRENCY = 8

QUOTES = ("'", '"', "`")
PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}  # of servers and proxies that name none
HEADERS = {
    "User-Agent": f"ovhcloud-ai-endpoints/{__version__} python/{python_version()}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}

HTTPBackend = Literal["httpx", "aiohttp"]
Key = str | SecretStr | Callable[[], str | SecretStr]


class TimeoutLike(Protocol):
    """The timeouts of an HTTP client, such as an `httpx.Timeout`, of which only these are read."""

    @property
    def connect(self) -> float | None: ...

    @property
    def read(self) -> float | None: ...


@dataclass(frozen=True)
class Timeouts:
    """The clocks of a call, in seconds; None means no limit.

    Attributes:
        connect: for opening one connection.
        first_event: from the call to the whole answer, or to a stream's first event, retries included.
        idle: between two events of a stream. Pings don't count as events.
        total: from the call to the end of the answer or stream.
    """

    connect: float | None = 10.0
    first_event: float | None = 600.0
    idle: float | None = 120.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name, seconds in vars(self).items():
            if seconds is not None and (
                isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0
            ):
                raise ValueError(f"Timeouts.{name} must be positive, or None for no limit; got {seconds!r}")

    @classmethod
    def of(cls, timeout: "float | Timeouts | Mapping[str, Any] | TimeoutLike | None") -> "Timeouts":
        """Timeouts from what users pass: nothing, seconds, Timeouts (also as a dict), or a client's own Timeout."""
        match timeout:
            case None:
                return DEFAULT_TIMEOUTS
            case Timeouts():
                return timeout
            case int() | float():
                if not timeout > 0:
                    raise ValueError(f"timeout must be a positive number of seconds, or None; got {timeout:g}")
                return cls(min(10.0, timeout), timeout, timeout)
            case dict():
                return cls(**timeout)
            case object(connect=connect, read=read):  # httpx.Timeout and its like
                return cls(connect, read, read)
        raise TypeError(f"timeout must be seconds or ovhcloud_ai_endpoints.Timeouts; got {timeout!r}")


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the transport needs to know of a model object."""

    api_key: Key | None = field(default=None, repr=False)
    base_url: str = BASE_URL
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    retry: Retry = field(default_factory=Retry)
    max_concurrency: int = CHAT_CONCURRENCY
    share_limits: bool | str = True  # or the path of a file
    default_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    verify: Verify = True
    proxy: str | None = field(default=None, repr=False)
    trust_env: bool = True
    http_backend: HTTPBackend = "httpx"
    http_client: Any = None  # of httpx or httpx2, which are not imported before they are needed
    http_async_client: Any = None

    def headers(self) -> dict[str, str]:
        """The headers of every request, but for the key."""
        return {**HEADERS, **self.default_headers}

    def key(self) -> str:
        """The key to send; empty if there is none.

        Raises:
            AuthenticationError: the key can't be sent, because it isn't printable ASCII, or is more than a key.
        """
        key = secret(self.api_key)
        if key[:7].lower() == "bearer ":
            raise AuthenticationError("The API key begins with 'Bearer ', which is no part of it. Leave that out.")
        if key[:1] in QUOTES:
            raise AuthenticationError("The API key begins with a quotation mark, which is no part of it. Leave it out.")
        if key and (not (key.isascii() and key.isprintable()) or " " in key):
            raise AuthenticationError(f"The API key has a blank or a character that no header can hold. {KEY_ADVICE}")
        return key


def secret(key: Key | None) -> str:
    """The key itself, without surrounding blanks; empty if there is none."""
    found = key() if callable(key) else key
    if not isinstance(found, str | SecretStr | None):
        raise TypeError(f"The function given as api_key must return a string; got {type(found).__name__}")
    return (found.get_secret_value() if isinstance(found, SecretStr) else found or "").strip()


def environment_key() -> SecretStr | None:
    """The key that the environment holds: OVHCLOUD_API_KEY, else OVH_AI_ENDPOINTS_ACCESS_TOKEN."""
    found = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    return None if found is None else SecretStr(found)


def environment_base_url() -> str:
    """The base URL that the environment holds, else the service's own.

    Raises:
        ValueError: as `checked_base_url`.
    """
    return checked_base_url(os.environ.get(BASE_URL_VARIABLE) or BASE_URL, BASE_URL_VARIABLE)


def checked_proxy(url: str) -> str:
    """The URL of a proxy, its host name in ASCII.

    Raises:
        ValueError: it isn't an http, https or socks5 URL.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        is_good = parts.scheme in PORTS and host and parts.port != 0
    except ValueError:  # of its port or its host
        is_good = False
    if not is_good:
        raise ValueError("proxy must be an http, https or socks5 URL such as http://proxy.example:3128")
    if (parts.hostname or "").isascii():
        return url
    user, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{host}{''.join(place.partition(':')[1:])}").geturl()


def is_in_the_clear(url: str) -> bool:
    """Whether others can read what is sent to this URL: plain HTTP, and not to this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


@lru_cache(maxsize=64)
def checked_base_url(url: str, name: str = "base_url") -> str:
    """The URL without a trailing slash, `/chat/completions` or `/embeddings`.

    Raises:
        ValueError: it isn't http(s), or holds a user name, a query or a fragment.
    """
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and (parts.hostname or "").encode("idna") and parts.port != 0
    except ValueError:  # of its port or its host
        is_good = False
    if not is_good:
        raise ValueError(f"{name} must be an http(s) URL such as {BASE_URL}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{name} must have no user name, query or fragment; pass keys as api_key=")
    return url.removesuffix("/chat/completions").removesuffix("/embeddings")
