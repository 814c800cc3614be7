"""The pytest plugin: the fixture `ovhcloud_endpoints`, a local AI Endpoints for one test.

It imports pytest only; all else waits until a test asks for the fixture. (PYTEST_DONT_REWRITE)
"""

import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints.testing import LocalEndpoints

MARK = "ovhcloud_endpoints"
HAS_ENDED_EARLY = pytest.StashKey[bool]()
SERVER: "pytest.StashKey[LocalEndpoints]" = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(**options): arguments of the fixture's LocalEndpoints")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Notes how the test has ended so far, and adds what went wrong in the server to a failure."""
    report = yield
    had_failed = call.when != "setup" and item.stash.get(HAS_ENDED_EARLY, False)
    item.stash[HAS_ENDED_EARLY] = had_failed or call.excinfo is not None  # failed, or skipped
    server = item.stash.get(SERVER, None)
    if report.failed and call.when != "teardown" and server is not None:
        report.sections += [(f"raised in {MARK}", "".join(traceback.format_exception(one))) for one in server.problems]
        if not server.problems:
            try:
                server.check()
            except AssertionError as error:
                report.sections.append((MARK, f"{error}\n"))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test that has the mark and never asked for the fixture, so that it may have asked the service itself."""
    result = yield
    if any(mark.name == MARK for mark in item.own_markers) and SERVER not in item.stash:
        pytest.fail(f"@pytest.mark.{MARK} starts no server; the test must ask for the fixture {MARK}", pytrace=False)
    return result


@pytest.fixture
def ovhcloud_endpoints(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "Iterator[LocalEndpoints]":
    """A local AI Endpoints, which models find that set neither key nor URL.

    A chat that no script answers is an error. So are, at the end of a test that has not failed otherwise: scripted
    answers that were not played, requests that the gateway refused, and what went wrong in the server.
    `@pytest.mark.ovhcloud_endpoints(unscripted="rules")` and the like change its arguments.
    """
    from ovhcloud_ai_endpoints.testing import LocalEndpoints

    options: dict[str, Any] = {"unscripted": "error"}
    for mark in reversed(list(request.node.iter_markers(MARK))):
        if mark.args:
            raise TypeError(f"@pytest.mark.{MARK} takes arguments by their names; got {mark.args}")
        options |= mark.kwargs
    with LocalEndpoints(**options) as server:
        request.node.stash[SERVER] = server
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server
        if request.node.stash.get(HAS_ENDED_EARLY, False):
            server.problems.clear()  # they are shown with the failure
        else:
            server.check()
