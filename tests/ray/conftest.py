"""One Ray of this machine for all tests, which ends with them and leaves nothing in the home folder."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from workers import KEY

from ovhcloud_ai_endpoints.testing import LocalEndpoints


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(240))  # a Ray starts within some seconds, and actors too
        for kind in ("DeprecationWarning", "FutureWarning", "UserWarning", "ResourceWarning"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}:ray.*"))
        item.add_marker(pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEndpoints]:
    with LocalEndpoints(requests_per_minute=10**6) as found:
        for name, value in found.environ.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoints]:
    """A server, and a Ray whose workers have its address and a key in their environment, as they had at its start."""
    home: Path = tmp_path_factory.mktemp("home")
    before = dict(os.environ)
    with LocalEndpoints(api_keys=[KEY], requests_per_minute=10**6) as found:
        os.environ |= {"HOME": str(home), "RAY_TMPDIR": "/tmp/ovhcloud-ray", **found.environ}
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        try:
            yield from _with_ray(found)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _with_ray(found: LocalEndpoints) -> Iterator[LocalEndpoints]:
    import ray

    ray.init(
        num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20, logging_level="ERROR", log_to_driver=False
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield found
    finally:
        ray.shutdown()


@pytest.fixture
def clean(cluster: LocalEndpoints) -> Iterator[LocalEndpoints]:
    import ray

    cluster.reset()
    yield cluster
    ray.data.DataContext.get_current().checkpoint_config = None
