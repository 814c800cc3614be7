"""TLS contexts: one for all connections that trust the same certificates.

It reads files and environment variables, once for each setting; it opens no connection.
"""

import os
import ssl
from functools import lru_cache
from pathlib import Path

from ovhcloud_ai_endpoints._errors import APIConnectionError

Verify = bool | str | os.PathLike[str] | ssl.SSLContext
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def tls_context(verify: Verify, *, trust_env: bool) -> ssl.SSLContext:
    """The context for `verify`, which is True, False, a file or folder of certificates, or a context.

    True means SSL_CERT_FILE and its like if `trust_env`, else the certificates of the system, else those of certifi.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is True and trust_env:
        named = [os.environ[name] for name in CA_VARIABLES if os.environ.get(name)]
        folder = os.environ.get("SSL_CERT_DIR")
        return _context(named[0] if named else folder or True)
    if verify is True and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        return _context_of_the_system()  # OpenSSL itself would look at these two
    return _context(verify if isinstance(verify, bool) else os.fspath(verify))


def _context(verify: bool | str) -> ssl.SSLContext:
    try:
        return _cached_context(verify)
    except (OSError, ssl.SSLError) as error:
        raise APIConnectionError(
            f"The certificates in {verify} can't be read: {error}. "
            "Their path comes from verify=, or from an environment variable such as SSL_CERT_FILE."
        ) from error


@lru_cache(maxsize=16)
def _cached_context(verify: bool | str) -> ssl.SSLContext:
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if isinstance(verify, str):
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    context = ssl.create_default_context()
    if not context.get_ca_certs() and not _system_has_certificates():
        import certifi  # noqa: PLC0415 - comes with httpx; only for systems that have no certificates

        context.load_verify_locations(certifi.where())
    return context


@lru_cache(maxsize=1)
def _context_of_the_system() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if not file.is_file() and not folder.is_dir():
        import certifi  # noqa: PLC0415 - as above

        return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context(
        cafile=str(file) if file.is_file() else None, capath=str(folder) if folder.is_dir() else None
    )


def _system_has_certificates() -> bool:
    """Whether OpenSSL's folder holds any; it reads them only when it needs one, so the context can't tell."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and Path(folder).is_dir() and any(Path(folder).iterdir())
