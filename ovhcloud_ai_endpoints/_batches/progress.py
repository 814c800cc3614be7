"""How far a batch is: its inputs answered, and what has become of its requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Counts:
    """How many requests a ledger has, by what has become of them."""

    unsent: int = 0
    under_way: int = 0
    answered: int = 0
    failed: int = 0

    @property
    def open(self) -> int:
        """How many have no answer yet."""
        return self.unsent + self.under_way


class Progress:
    """Counts answers, and shows them if that is asked for.

    Args:
        total: number of inputs; None if unknown.
    """

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self._bar: Any = None
        if shown:
            try:
                from tqdm.auto import tqdm  # noqa: PLC0415 - only a progress bar needs it
            except ModuleNotFoundError as error:
                raise ImportError("show_progress=True needs tqdm: pip install tqdm") from error
            self._bar = tqdm(total=total, unit="input", desc="Batch")

    def add(self) -> None:
        """One more input is answered."""
        if self._bar is not None:
            self._bar.update()

    def show(self, counts: Callable[[], Counts]) -> None:
        """Shows what has become of the requests, which takes a look at all of them."""
        if self._bar is not None:
            found = counts()
            self._bar.set_postfix_str(f"{found.under_way:,} of {found.open:,} requests under way")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
