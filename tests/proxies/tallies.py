"""What came of a load: a count for each call, and all of them as a table of a page."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ovhcloud_ai_endpoints import EmbeddingsInterruptedError, OVHCloudError, StreamInterruptedError

BEGIN = "<!-- What follows is written by `make proxies`. -->\n"
END = "<!-- What is above was written by `make proxies`. -->\n"
SHOWN = 5  # of each kind of problem


class Tally:
    """The calls of one scenario.

    Attributes:
        errors: by class; a run of embeddings that was interrupted counts as the class of its cause.
        interrupted: runs of embeddings that ended with some vectors.
        wrong: answers that are not the expected ones, and exceptions of any other class.
        hung: calls that took longer than their clocks allow.
        leaked: what was still open, running or alive after the load.
    """

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.right = Counter[str]()
        self.errors = Counter[str]()
        self.interrupted = 0
        self.wrong: list[str] = []
        self.hung: list[str] = []
        self.leaked: list[str] = []
        self.slowest = 0.0
        self._examples: dict[str, str] = {}

    @property
    def calls(self) -> int:
        return self.right.total() + self.errors.total() + len(self.wrong) + len(self.hung)

    def answered(self, way: str, got: object, expected: object) -> None:
        if got == expected:
            self.right[way] += 1
        else:
            self.wrong.append(f"{way}: {got!r:.300} instead of {expected!r:.300}")

    def failed(self, way: str, error: OVHCloudError, expected: Any) -> None:
        """Counts a typed error, if what it holds is part of the answer."""
        cause: BaseException | None = error
        if isinstance(error, EmbeddingsInterruptedError):
            self.interrupted += 1
            cause = error.__cause__
        if isinstance(cause, OVHCloudError) and _holds_part(error, expected):
            self.errors[type(cause).__name__] += 1
            self._examples.setdefault(type(cause).__name__, f"{way}: {error!s:.300}")
        else:
            self.wrong.append(f"{way}: {error!r:.300} does not hold a part of the answer")

    def problems(self, *, allowed: Collection[str] = ()) -> list[str]:
        """What must not have been; the names of the errors that the scenario causes are allowed."""
        found = [f"{kind}: {one}" for kind in ("wrong", "hung", "leaked") for one in getattr(self, kind)[:SHOWN]]
        unexpected = {name: count for name, count in self.errors.items() if name not in allowed}
        found += [f"{count} {name}, such as {self._examples[name]}" for name, count in unexpected.items()]
        return found + ([] if self.right else ["no call was right"])


def _holds_part(error: OVHCloudError, expected: Any) -> bool:
    if isinstance(error, EmbeddingsInterruptedError):
        is_right = all(expected[place] == vector for place, vector in error.vectors.items())
        return is_right and sorted([*error.vectors, *error.remaining]) == list(range(len(expected)))
    if isinstance(error, StreamInterruptedError):
        return str(expected).startswith(error.partial.text)
    return True


def lines(tallies: Iterable[Tally], seconds: float) -> Iterator[str]:
    yield f"64 tasks and 16 threads for {seconds:g} seconds each:"
    yield ""
    yield "| scenario | calls | right | typed errors | wrong | hung | leaked | slowest call |"
    yield "|---|---|---|---|---|---|---|---|"
    for tally in tallies:
        errors = ", ".join(f"{count:,} `{name}`" for name, count in tally.errors.most_common()) or "none"
        counts = f"{tally.calls:,} | {tally.right.total():,} | {errors}"
        problems = f"{len(tally.wrong)} | {len(tally.hung)} | {len(tally.leaked)}"
        yield f"| {tally.scenario} | {counts} | {problems} | {tally.slowest:.1f} s |"


def write(page: Path, tallies: Iterable[Tally], seconds: float) -> None:
    """Writes the table between its two marks; below all else, if the page does not have them."""
    text = page.read_text("utf-8") if page.exists() else ""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text("\n".join([before + BEGIN, *lines(tallies, seconds), "", END + after]), "utf-8")
