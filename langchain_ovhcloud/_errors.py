"""The service's errors as LangChain knows them: each is also core's `Model…Error`, so that middleware reacts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core import exceptions as core

import ovhcloud_ai_endpoints as service


@dataclass(frozen=True)
class Response:
    """What LangChain's tracing reads of a failed answer."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class _Traced(service.OVHCloudError):
    @property
    def response(self) -> Response | None:
        """The failed answer, if there was one."""
        return None if self.status is None else Response(self.status, self.headers, self.body)


class OVHCloudError(_Traced, service.OVHCloudError, core.ModelError):
    """Any failure."""


class BadRequestError(_Traced, service.BadRequestError, core.ModelInvalidRequestError):
    """400, 422 and other 4xx."""


class ContextOverflowError(_Traced, service.ContextOverflowError, core.ContextOverflowError):
    """The messages don't fit the model's window."""


class AuthenticationError(_Traced, service.AuthenticationError, core.ModelAuthenticationError):
    """The key is wrong."""


class PermissionDeniedError(_Traced, service.PermissionDeniedError, core.ModelPermissionDeniedError):
    """The project may not do this."""


class NotFoundError(_Traced, service.NotFoundError, core.ModelNotFoundError):
    """No such model or path."""


class PayloadTooLargeError(_Traced, service.PayloadTooLargeError, core.ModelInvalidRequestError):
    """More than 2 MB."""


class RateLimitError(_Traced, service.RateLimitError, core.ModelRateLimitError):
    """Too many requests."""


class InternalServerError(_Traced, service.InternalServerError, core.ModelAPIError):
    """5xx."""


class APIConnectionError(_Traced, service.APIConnectionError, core.ModelConnectionError):
    """No connection."""


class APITimeoutError(_Traced, service.APITimeoutError, core.ModelTimeoutError):
    """A clock ran out."""


class StreamInterruptedError(_Traced, service.StreamInterruptedError, core.ModelConnectionError):
    """A stream was cut."""


class InvalidResponseError(_Traced, service.InvalidResponseError, core.ModelAPIError):
    """An answer that can't be read."""


class EmbeddingsInterruptedError(_Traced, service.EmbeddingsInterruptedError, core.ModelError):
    """A run of embedding requests failed part of the way."""


TWINS: dict[type[service.OVHCloudError], type[service.OVHCloudError]] = {
    twin.__bases__[1]: twin
    for twin in (
        OVHCloudError,
        BadRequestError,
        ContextOverflowError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        PayloadTooLargeError,
        RateLimitError,
        InternalServerError,
        APIConnectionError,
        APITimeoutError,
        StreamInterruptedError,
        InvalidResponseError,
        EmbeddingsInterruptedError,
    )
}


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raises the service's errors as their twins; works round `await` too."""
    try:
        yield
    except service.OVHCloudError as error:
        kind = TWINS[type(error)]
        twin = kind.__new__(kind, *error.args)
        twin.args = error.args
        twin.__dict__.update(error.__dict__)
        raise twin.with_traceback(error.__traceback__) from error.__cause__
