"""The pytest plugin: the fixture `ovhcloud_endpoints`, a local AI Endpoints for one test.

It imports pytest only; all else waits until a test asks for the fixture. (PYTEST_DONT_REWRITE)
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints.testing import LocalEndpoints

MARK = "ovhcloud_endpoints"
HAS_FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(**options): arguments of the fixture's LocalEndpoints")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[HAS_FAILED] = item.stash.get(HAS_FAILED, False) or report.failed
    return report


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
        options |= mark.kwargs
    with LocalEndpoints(**options) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server
        if request.node.stash.get(HAS_FAILED, False):
            server.problems.clear()  # the test has failed already, and perhaps because of them
        else:
            server.check()
