"""The service's errors for LangChain: each is also one of core's `Model…Error`, so that middleware handles it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core import exceptions as core

import ovhcloud_ai_endpoints as service


@dataclass(frozen=True)
class Response:
    """The parts of a failed answer that LangChain's tracing reads."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class _AlsoCores(service.OVHCloudError):
    @property
    def response(self) -> Response | None:
        """The failed answer, if there was one."""
        return None if self.status is None else Response(self.status, self.headers, self.body)

    @property
    def is_retryable(self) -> bool:
        """Whether LangChain's middleware may retry: if core says so of the class, or if we would retry ourselves."""
        return self.is_transient or bool(super().is_retryable)  # type: ignore[misc]  # from core's class


CORES: dict[type[service.OVHCloudError], type[core.ModelError]] = {
    service.OVHCloudError: core.ModelError,
    service.BadRequestError: core.ModelInvalidRequestError,
    service.ContextOverflowError: core.ContextOverflowError,
    service.AuthenticationError: core.ModelAuthenticationError,
    service.PermissionDeniedError: core.ModelPermissionDeniedError,
    service.NotFoundError: core.ModelNotFoundError,
    service.PayloadTooLargeError: core.ModelInvalidRequestError,
    service.RateLimitError: core.ModelRateLimitError,
    service.InternalServerError: core.ModelAPIError,
    service.APIConnectionError: core.ModelConnectionError,
    service.APITimeoutError: core.ModelTimeoutError,
    service.StreamInterruptedError: core.ModelConnectionError,
    service.InvalidResponseError: core.ModelAPIError,
    service.EmbeddingsInterruptedError: core.ModelError,
}
TWINS: dict[type[service.OVHCloudError], type[service.OVHCloudError]] = {
    ours: type(ours.__name__, (_AlsoCores, ours, cores), {"__module__": __name__, "__doc__": ours.__doc__})
    for ours, cores in CORES.items()
}
globals().update({twin.__name__: twin for twin in TWINS.values()})  # where pickle looks for them


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raises the service's errors as their twins; works around `await` too."""
    try:
        yield
    except service.OVHCloudError as error:
        if isinstance(error, core.ModelError):
            raise
        kind = next(TWINS[kind] for kind in type(error).__mro__ if kind in TWINS)
        twin = kind.__new__(kind, *error.args)
        twin.__dict__.update(error.__dict__)
        raise twin.with_traceback(error.__traceback__) from error.__cause__
