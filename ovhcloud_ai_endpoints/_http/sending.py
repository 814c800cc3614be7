"""Who answers the requests of a context, if not the service itself: a batch does, from what it has of answers.

Pure. Endpoints and frameworks know nothing of it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http.request import Correctable, Request, Whole
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._process import after_fork

OUTSIDE = (
    "A batch is running, and this call is not part of it, so it would be paid at full price. In a thread that the "
    "function starts by itself, call contextvars.copy_context().run(...); processes can't be part of a batch. If the "
    'call has nothing to do with the batch, make that with Batch(..., outside="send").'
)
REFUSED_BY = "OVHCLOUD_BATCH_PROCESS"  # which processes inherit that are started meanwhile, for example by a pool

T = TypeVar("T")


class Waiting(BaseException):
    """A call's answer comes with a later batch job, after which the calling function runs again.

    It is no `Exception`, so that neither a fallback nor a retry takes it for a failure. Let it pass.
    """


class Sender(Protocol):
    """Answers the requests of a context."""

    def answer(self, settings: Settings, request: Request[Any]) -> Whole:
        """The answer to a request.

        Raises:
            Waiting: it comes later.
            OVHCloudError: it is an error.
        """

    async def aanswer(self, settings: Settings, request: Request[Any]) -> Whole:
        """The same as `answer`, to be awaited; it may wait for an answer that comes later."""


_sender: ContextVar[Sender | None] = ContextVar("ovhcloud_sender", default=None)
_lock = threading.Lock()
_refusing = 0  # batches of this process that refuse calls outside of them
_is_refused = REFUSED_BY in os.environ  # by a batch of the process that started this one


def sender_for(request: Request[Any]) -> Sender | None:
    """Who answers a request in this context; None if the service does. It answers each request that names no model.

    Raises:
        OVHCloudError: a batch of this process refuses calls outside of it.
    """
    if request.model is None:
        return None
    sender = _sender.get()
    if sender is None and (_refusing or _is_refused):
        raise OVHCloudError(OUTSIDE)
    return sender


def has_sender() -> bool:
    """Whether someone else answers the requests of this context."""
    return _sender.get() is not None


def set_sender(sender: Sender) -> None:
    """Has the requests of this context answered by `sender` from now on."""
    _sender.set(sender)


@contextmanager
def refusing_others() -> Iterator[None]:
    """Refuses the calls of other contexts, of all threads, during its block."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def answered(sender: Sender, settings: Settings, request: Request[T]) -> tuple[Request[T], Whole]:
    """The answer, and the request that was answered: a refused one may be corrected first."""
    while True:
        try:
            return request, sender.answer(settings, request)
        except OVHCloudError as error:
            request = _corrected(request, error)


async def aanswered(sender: Sender, settings: Settings, request: Request[T]) -> tuple[Request[T], Whole]:
    """The same as `answered`, to be awaited."""
    while True:
        try:
            return request, await sender.aanswer(settings, request)
        except OVHCloudError as error:
            request = _corrected(request, error)


def _corrected(request: Request[T], error: OVHCloudError) -> Request[T]:
    other = request.corrected(error) if isinstance(request, Correctable) else None
    if other is None:
        raise error
    return other


def _count(change: int) -> None:
    global _refusing  # noqa: PLW0603
    with _lock:
        _refusing += change
        if _refusing:
            os.environ[REFUSED_BY] = str(os.getpid())
        else:
            os.environ.pop(REFUSED_BY, None)


def _forget() -> None:
    global _lock, _refusing, _is_refused  # noqa: PLW0603
    _is_refused = _is_refused or _refusing > 0
    _lock, _refusing = threading.Lock(), 0


after_fork(_forget)
