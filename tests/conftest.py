import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ovhcloud_ai_endpoints import _notices
from ovhcloud_ai_endpoints.testing import LocalEndpoints

settings.register_profile("machine may be busy", deadline=None)
settings.load_profile("machine may be busy")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL or proxy of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OVH", "LANGCHAIN_", "LANGSMITH_", "LC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """What is told once in a process is told once in each test."""
    _notices._told.clear()


@pytest.fixture
def server() -> Iterator[LocalEndpoints]:
    """A local AI Endpoints that forgets nothing between its block's ends."""
    with LocalEndpoints() as endpoints:
        yield endpoints


@pytest.fixture
def environ(server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> LocalEndpoints:
    """The same, found through environment variables."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the tests that talk to the real service, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--live"):
        deselected = [item for item in items if item.get_closest_marker("live")]
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
