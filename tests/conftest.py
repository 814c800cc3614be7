import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from reports import Report

from ovhcloud_ai_endpoints import _process
from ovhcloud_ai_endpoints._catalogue.models import bundled_models
from ovhcloud_ai_endpoints.testing import LocalEndpoints

settings.register_profile("machine may be busy", deadline=None)
settings.load_profile("machine may be busy")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL, proxy or certificates of whoever runs the tests."""
    for name in list(os.environ):
        is_ours = name.startswith(("OVH", "LANGCHAIN_", "LANGSMITH_", "LC_", "SSL_CERT_"))
        if is_ours or name.endswith("CA_BUNDLE") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_told_or_learned() -> None:
    """What is told once in a process is told once in each test, and what one test learns is no other's."""
    _process.forget()


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
    parser.addoption("--report", type=Path, help="where to write what differs between the service and these tests")
    parser.addoption("--matrix", action="store_true", help="run the tests of each model, too, and not of a few only")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than processors: a third of the time, tests wait for sockets and clocks."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--report", None):
        config.pluginmanager.register(Report(path))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("live", "matrix"):
        if not config.getoption(f"--{name}"):
            deselected = [item for item in items if item.get_closest_marker(name)]
            config.hook.pytest_deselected(items=deselected)
            items[:] = [item for item in items if item not in deselected]


# One of each family, of those with images and without, with tools and without.
SAMPLE = {
    "Qwen3.6-27B",
    "gpt-oss-20b",
    "Meta-Llama-3_3-70B-Instruct",
    "Mistral-7B-Instruct-v0.3",
    "Qwen2.5-VL-72B-Instruct",
    "Qwen3Guard-Gen-0.6B",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for `each_model` with all chat models of the catalogue; beyond the sample by `--matrix`."""
    if "each_model" in metafunc.fixturenames:
        metafunc.parametrize(
            "each_model",
            [
                pytest.param(found, id=found.id, marks=[] if found.id in SAMPLE else [pytest.mark.matrix])
                for found in bundled_models()
                if found.kind in {"chat", "guard"}
            ],
        )
