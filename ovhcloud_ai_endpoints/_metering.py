"""Counts the tokens of the calls that a context makes, for whoever runs the code of others.

Pure.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Meter:
    """The tokens of each call, those of the prompt and those of the answer; threads may add to it."""

    calls: list[tuple[int, int]] = field(default_factory=list)  # whose append needs no lock

    @property
    def prompt_tokens(self) -> int:
        return sum(prompt for prompt, _ in self.calls)

    @property
    def completion_tokens(self) -> int:
        return sum(completion for _, completion in self.calls)


_meter: ContextVar[Meter | None] = ContextVar("ovhcloud_meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts the calls of this context during its block, and of contexts that are copied from it."""
    meter = Meter()
    before = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(before)


def count_tokens(usage: Mapping[str, Any] | None) -> None:
    """Counts an answer by its usage, if anyone counts; what the service did not say counts nothing."""
    if (meter := _meter.get()) is not None and usage:
        meter.calls.append((usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0))
