"""The way to a server: what connections must have in common to be shared, and what it takes to open one.

It reads the environment and files of certificates; it opens no connection.
"""

import ssl
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ovhcloud_ai_endpoints._errors import APIConnectionError
from ovhcloud_ai_endpoints._http.settings import PORTS, HTTPBackend, Settings, checked_proxy
from ovhcloud_ai_endpoints._http.tls import Verify, tls_context


@dataclass(frozen=True)
class Route:
    """What connections must have in common to share a pool."""

    scheme: str
    host: str
    port: int
    verify: Verify
    proxy: str | None = field(repr=False)
    trust_env: bool
    http_backend: HTTPBackend

    @classmethod
    def of(cls, settings: Settings) -> "Route":
        return cls(
            *_origin(settings.base_url), settings.verify, settings.proxy, settings.trust_env, settings.http_backend
        )

    def resolved(self) -> "ResolvedRoute":
        """The route with its proxy and certificates, from files and the environment as they are now.

        Raises:
            APIConnectionError: the certificates can't be read, or the kind of proxy can't be used.
        """
        proxy = self.proxy or self._proxy_of_environment()
        if proxy is not None:
            try:
                proxy = checked_proxy(proxy)
            except ValueError as error:
                raise APIConnectionError(f"The proxy {without_password(proxy)} can't be used: {error}.") from error
        scheme = urlsplit(proxy or "").scheme
        if scheme.startswith("socks") and self.http_backend == "aiohttp":
            raise APIConnectionError(
                f'The proxy {without_password(proxy or "")} can\'t be used with http_backend="aiohttp", '
                "which takes only http and https proxies."
            )
        if scheme.startswith("socks") and find_spec("socksio") is None:
            raise APIConnectionError(
                f'The proxy {without_password(proxy or "")} needs a package: pip install "httpx[socks]".'
            )
        needs_tls = "https" in {self.scheme, scheme}
        tls = tls_context(self.verify, trust_env=self.trust_env) if needs_tls else _unused_tls()
        return ResolvedRoute(self.http_backend, tls, proxy)

    def _proxy_of_environment(self) -> str | None:
        if not self.trust_env or proxy_bypass(f"{self.host}:{self.port}"):
            return None
        proxies = getproxies()
        proxy = proxies.get(self.scheme) or proxies.get("all")
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy


@dataclass(frozen=True)
class ResolvedRoute:
    """What it takes to open a connection.

    Attributes:
        tls: which certificates to trust; without any if no connection uses TLS.
        proxy: its URL, with user name and password.
    """

    http_backend: HTTPBackend
    tls: ssl.SSLContext
    proxy: str | None = field(repr=False)


@lru_cache(maxsize=64)
def _origin(base_url: str) -> tuple[str, str, int]:
    url = urlsplit(base_url)
    return url.scheme, url.hostname or "", url.port or PORTS[url.scheme]


def without_password(url: str) -> str:
    """A URL without user name and password, for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@cache
def _unused_tls() -> ssl.SSLContext:
    """The HTTP libraries want a context for plain HTTP too; reading certificates for it would take 10 ms."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
