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


class _AlsoCores(service.OVHCloudError):
    @property
    def response(self) -> Response | None:
        """The failed answer, if there was one."""
        return None if self.status is None else Response(self.status, self.headers, self.body)

    @property
    def is_retryable(self) -> bool:
        """Whether LangChain's middleware may try again: what core says of the kind, and whatever we would try again."""
        return self.is_transient or bool(super().is_retryable)  # type: ignore[misc]  # core's class, further on


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
    """Raises the service's errors as their twins; works round `await` too."""
    try:
        yield
    except service.OVHCloudError as error:
        if isinstance(error, core.ModelError):
            raise
        kind = next(TWINS[kind] for kind in type(error).__mro__ if kind in TWINS)
        twin = kind.__new__(kind, *error.args)
        twin.__dict__.update(error.__dict__)
        raise twin.with_traceback(error.__traceback__) from error.__cause__
