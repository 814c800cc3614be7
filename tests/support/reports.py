"""Writes what differs between a service and the tests of it, ready to be pasted into an issue."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ovhcloud_ai_endpoints._errors import HIDDEN

REASON = 300  # characters of an error


class Report:
    """Collects the outcome of each test, and writes a page in the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._settles: dict[str, str] = {}
        self._passed: list[str] = []
        self._failed: list[pytest.TestReport] = []
        self._skipped: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            names = [str(name) for mark in item.iter_markers("guess") for name in mark.args]
            self._settles[item.nodeid] = ", ".join(f"`{name}`" for name in names)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped.append(report.nodeid)
        elif report.failed:
            self._failed.append(report)
        elif report.when == "call":
            self._passed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        text = "\n".join([*self._lines(), ""])
        self._page.write_text(text.replace(key, HIDDEN) if (key := os.environ.get("LIVE_KEY")) else text, "utf-8")

    def _lines(self) -> Iterator[str]:
        counts = f"{len(self._passed)} as expected, {len(self._failed)} differ, {len(self._skipped)} left out"
        yield f"# What the service does: {counts}"
        for report in self._failed:
            yield ""
            yield f"## {_sentence(report.nodeid)}"
            yield ""
            yield f"Settles: {self._settles.get(report.nodeid) or 'no guess; it was documented or seen'}"
            yield ""
            yield from _quoted("Expected", [_reason(report)])
            yield from _quoted(
                "Seen", [str(one) for name, seen in report.user_properties if name == "seen" for one in seen]
            )
        confirmed = sorted({name for one in self._passed if (name := self._settles.get(one))})
        yield ""
        yield f"## Confirmed guesses\n\n{', '.join(confirmed) or 'none'}"
        if self._skipped:
            yield f"\n## Left out\n\n{', '.join(map(_sentence, self._skipped))}"


def _quoted(title: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{title}:\n\n~~~~\n{line}\n~~~~"


def _reason(report: pytest.TestReport) -> str:
    text = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
    return str(text)[:REASON]


def _sentence(name: str) -> str:
    test = name.rpartition("::")[2].removeprefix("test_").replace("[live]", "")
    return test.replace("_", " ").capitalize()
