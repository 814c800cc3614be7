from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import load
import programs
import pytest
import tallies
from origins import Origin, running_origin
from packets import FAR
from processes import free_port
from servers import Certificates
from tallies import Tally
from ways import API_KEY, CORPUS, Service

from langchain_ovhcloud import OVHCloudEmbeddings

SECONDS = 60.0
MARGIN = 180.0  # seconds of a test besides its load
TALLIES = pytest.StashKey[list[Tally]]()
UnderLoad = Callable[..., Tally]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, default=SECONDS, help="how long each scenario is under load")
    parser.addoption("--table", type=Path, help="page to write what came of the scenarios to")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLIES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    own = [item for item in items if Path(__file__).parent in item.path.parents]
    if own and (missing := programs.missing()):
        raise pytest.UsageError(missing)
    for item in own:
        item.add_marker(pytest.mark.timeout(_seconds(config) + MARGIN))


def pytest_sessionfinish(session: pytest.Session) -> None:
    page, found = session.config.getoption("--table", None), session.config.stash[TALLIES]
    if page and found and session.exitstatus == pytest.ExitCode.OK:
        tallies.write(page, found, _seconds(session.config))


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    return _seconds(request.config)


@pytest.fixture
def origin() -> Iterator[Origin]:
    """The local AI Endpoints in another process."""
    with running_origin(free_port()) as process:
        yield process


@pytest.fixture
def slow() -> Iterator[Origin]:
    """Another, whose streams take a while, so that something can happen to them."""
    with running_origin(free_port(), "slow") as process:
        yield process


@pytest.fixture(scope="session")
def vectors() -> dict[str, list[float]]:
    """The vectors of the corpus, as direct calls give them."""
    with running_origin(free_port()) as process:
        embeddings = OVHCloudEmbeddings(base_url=process.base_url, api_key=API_KEY, trust_env=False)
        return dict(zip(CORPUS, embeddings.embed_documents(CORPUS), strict=True))


@pytest.fixture
def under_load(request: pytest.FixtureRequest, seconds: float, vectors: dict[str, list[float]]) -> UnderLoad:
    """Puts a service under load; the tally goes into the table."""

    def run(scenario: str, service: Service, **more: Any) -> Tally:
        tally = Tally(scenario)
        request.config.stash[TALLIES].append(tally)
        load.run(service, seconds, tally, vectors, **more)
        return tally

    return run


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "127.0.0.1", FAR)


def _seconds(config: pytest.Config) -> float:
    return float(config.getoption("--seconds", SECONDS))  # pytest does not know it if all tests are run
