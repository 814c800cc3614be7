"""The service's errors for LangChain: each is also one of core's `Model…Error`, so that middleware handles it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core import exceptions as core
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun

import ovhcloud_ai_endpoints as service


@dataclass(frozen=True)
class Response:
    """The parts of a failed answer that LangChain's tracing reads."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class _ModelError(service.OVHCloudError):
    """What LangChain reads of an error beside its class."""

    is_retryable: bool

    @property
    def response(self) -> Response:
        """The failed answer.

        Raises:
            AttributeError: there was none; core looks at nothing else to know.
        """
        if self.status is None:
            raise AttributeError("response")
        return Response(self.status, self.headers, self.body)


class OVHCloudError(_ModelError, service.OVHCloudError, core.ModelError):
    __doc__ = service.OVHCloudError.__doc__


class BadRequestError(_ModelError, service.BadRequestError, core.ModelInvalidRequestError):
    __doc__ = service.BadRequestError.__doc__


class ContextOverflowError(_ModelError, service.ContextOverflowError, core.ContextOverflowError):
    __doc__ = service.ContextOverflowError.__doc__


class AuthenticationError(_ModelError, service.AuthenticationError, core.ModelAuthenticationError):
    __doc__ = service.AuthenticationError.__doc__


class PermissionDeniedError(_ModelError, service.PermissionDeniedError, core.ModelPermissionDeniedError):
    __doc__ = service.PermissionDeniedError.__doc__


class NotFoundError(_ModelError, service.NotFoundError, core.ModelNotFoundError):
    __doc__ = service.NotFoundError.__doc__


class PayloadTooLargeError(_ModelError, service.PayloadTooLargeError, core.ModelInvalidRequestError):
    __doc__ = service.PayloadTooLargeError.__doc__


class RateLimitError(_ModelError, service.RateLimitError, core.ModelRateLimitError):
    __doc__ = service.RateLimitError.__doc__


class InternalServerError(_ModelError, service.InternalServerError, core.ModelAPIError):
    __doc__ = service.InternalServerError.__doc__


# LangGraph's default policy retries no OSError but ConnectionError; a timeout's TimeoutError is an OSError.
class APIConnectionError(_ModelError, service.APIConnectionError, core.ModelConnectionError, ConnectionError):
    __doc__ = service.APIConnectionError.__doc__


class APITimeoutError(_ModelError, service.APITimeoutError, core.ModelTimeoutError, ConnectionError):
    __doc__ = service.APITimeoutError.__doc__


class StreamInterruptedError(_ModelError, service.StreamInterruptedError, core.ModelConnectionError):
    __doc__ = service.StreamInterruptedError.__doc__


class InvalidResponseError(_ModelError, service.InvalidResponseError, core.ModelAPIError):
    __doc__ = service.InvalidResponseError.__doc__


class EmbeddingsInterruptedError(_ModelError, service.EmbeddingsInterruptedError, core.ModelError):
    __doc__ = service.EmbeddingsInterruptedError.__doc__


TWINS: dict[type[service.OVHCloudError], type[_ModelError]] = {
    service.OVHCloudError: OVHCloudError,
    service.BadRequestError: BadRequestError,
    service.ContextOverflowError: ContextOverflowError,
    service.AuthenticationError: AuthenticationError,
    service.PermissionDeniedError: PermissionDeniedError,
    service.NotFoundError: NotFoundError,
    service.PayloadTooLargeError: PayloadTooLargeError,
    service.RateLimitError: RateLimitError,
    service.InternalServerError: InternalServerError,
    service.APIConnectionError: APIConnectionError,
    service.APITimeoutError: APITimeoutError,
    service.StreamInterruptedError: StreamInterruptedError,
    service.InvalidResponseError: InvalidResponseError,
    service.EmbeddingsInterruptedError: EmbeddingsInterruptedError,
}


class WaitingError(Exception):
    """A `Waiting` on its way through core's `agenerate`, which takes what is no `Exception` for an answer."""

    def __init__(self, waiting: service.Waiting) -> None:
        super().__init__(str(waiting))
        self.waiting = waiting


@contextmanager
def langchain_errors(run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None) -> Iterator[None]:
    """Raises the service's errors as their twins; works around `await` too.

    Args:
        run: is marked in traces if it ends because its answer comes with a later batch job.
    """
    try:
        yield
    except service.Waiting:
        if run is not None:
            run.metadata["ovhcloud_batch"] = "waits"  # the dict that tracers show; they copied the tags
        raise
    except service.OVHCloudError as error:
        if isinstance(error, core.ModelError):
            raise
        kind = next(TWINS[kind] for kind in type(error).__mro__ if kind in TWINS)
        twin = kind.__new__(kind, *error.args)
        twin.args = error.args  # which OSError.__new__ leaves empty
        twin.__dict__.update(error.__dict__)
        twin.is_retryable = error.is_transient or twin.is_retryable  # so that middleware may do what we would do
        raise twin.with_traceback(error.__traceback__) from error.__cause__
