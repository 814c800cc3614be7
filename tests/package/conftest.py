import sys
from pathlib import Path

import pytest
from distributions import REPOSITORY, THIN, Distribution, build
from environments import Environment, Installed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--files", type=Path, help="a folder with the files to test, instead of what would be built")


@pytest.fixture(scope="session")
def dist(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions."""
    given: Path | None = pytestconfig.getoption("--files")
    if given is not None:
        return given.resolve()
    folder = tmp_path_factory.mktemp("dist")
    for source in (REPOSITORY, THIN):
        build(source, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="session")
def ours(dist: Path) -> Distribution:
    return Distribution.in_folder(dist, "ovhcloud_ai_endpoints")


@pytest.fixture(scope="session")
def thin(dist: Path) -> Distribution:
    return Distribution.in_folder(dist, "langchain_ovhcloud")


@pytest.fixture(scope="session")
def installed(ours: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Gives an environment with the wheel, an extra of it and other packages; each is made once."""
    made: dict[tuple[str, ...], Environment] = {}

    def environment(extra: str = "", *more: str, python: str = sys.executable) -> Environment:
        key = (extra, *more, python)
        if key not in made:
            made[key] = Environment(tmp_path_factory.mktemp(f"with-{extra or 'no-extra'}") / "venv", python)
            wheel = f"ovhcloud-ai-endpoints{f'[{extra}]' if extra else ''} @ {ours.wheel.as_uri()}"
            made[key].install(wheel, *more)
        return made[key]

    return environment
