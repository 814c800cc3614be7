"""The distribution `langchain-ovhcloud`, whose name is what LangChain makes of the package's."""

import subprocess
import sys
from pathlib import Path

import pytest
from distributions import ENVIRON, Distribution, run, wheel_files
from environments import Environment

pytestmark = pytest.mark.timeout(600)

ENTRY = """
from langchain.chat_models import base

base._BUILTIN_PROVIDERS["ovhcloud"] = ("langchain_ovhcloud", "ChatOVHCloud", lambda cls, **options: cls(**options))
base.init_chat_model("ovhcloud:gpt-oss-120b")
"""


@pytest.fixture(scope="module")
def by_its_name(dist: Path, thin: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which pip installed it by its name, from a folder of wheels and from nowhere else."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run([*pip, "download", "--dest", str(wheels), "--find-links", str(dist), str(thin.wheel)])
    environment = Environment(tmp_path_factory.mktemp("thin") / "venv")
    target = ["--python", str(environment.python)]
    run([*pip, *target, "install", "--no-index", "--find-links", str(wheels), f"langchain-ovhcloud=={thin.version}"])
    return environment


def test_langchain_would_name_it(tmp_path: Path) -> None:
    without = Environment(tmp_path / "venv")
    without.install("langchain>=1,<2")

    assert without.error(ENTRY).endswith("Please install it with `pip install langchain-ovhcloud`")


def test_has_no_files(thin: Distribution) -> None:
    tops = {name.partition("/")[0] for name in wheel_files(thin.wheel)}

    assert tops == {f"langchain_ovhcloud-{thin.version}.dist-info"}


def test_is_of_our_version_and_asks_for_it(ours: Distribution, thin: Distribution) -> None:
    assert thin.version == ours.version
    assert thin.metadata.get_all("Requires-Dist") == [f"ovhcloud-ai-endpoints[langchain]>={ours.version}"]
    assert thin.metadata["Requires-Python"] == ours.metadata["Requires-Python"]


def test_brings_langchain_and_our_class(by_its_name: Environment) -> None:
    assert {"langchain-core", "langchain-ovhcloud", "ovhcloud-ai-endpoints"} <= by_its_name.installed()
    code = "from langchain_ovhcloud import ChatOVHCloud; print(ChatOVHCloud(model='gpt-oss-120b').invoke('Hello').text)"
    assert "Hello" in by_its_name.with_endpoints("-c", code)


def test_package_belongs_to_one_distribution(by_its_name: Environment) -> None:
    code = "from importlib.metadata import packages_distributions as found; print(found()['langchain_ovhcloud'])"

    assert by_its_name.run(code).strip() == "['ovhcloud-ai-endpoints']"


def test_pip_finds_nothing_wrong(by_its_name: Environment) -> None:
    assert run([sys.executable, "-m", "pip", "--python", str(by_its_name.python), "check"]).startswith("No broken")


def test_our_packages_stay_when_it_goes(dist: Path, by_its_name: Environment, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("langchain-ovhcloud", "--find-links", str(dist), "--no-index", "--no-deps")
    environment.install("ovhcloud-ai-endpoints", "--find-links", str(dist), "--no-index", "--no-deps")

    pip = [sys.executable, "-m", "pip", "--python", str(environment.python)]
    subprocess.run([*pip, "uninstall", "--yes", "--quiet", "langchain-ovhcloud"], env=ENVIRON, check=True)

    assert environment.installed() == {"ovhcloud-ai-endpoints"}
    assert (environment.site_packages / "langchain_ovhcloud" / "__init__.py").exists()
