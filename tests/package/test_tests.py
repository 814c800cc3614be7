"""The tests of the sdist, on the wheel: what is tested is what users install."""

import shutil
import tomllib
from pathlib import Path

import pytest
from distributions import Distribution, unpacked
from environments import Installed

pytestmark = pytest.mark.timeout(900)
QUICK = [  # of the folders; `make test` runs them all
    "tests/ovhcloud_ai_endpoints/catalogue",
    "tests/ovhcloud_ai_endpoints/chat",
    "tests/ovhcloud_ai_endpoints/embeddings",
    "tests/ovhcloud_ai_endpoints/model_list",
    "tests/ovhcloud_ai_endpoints/options",
    "tests/testing",
]
OURS = ["langchain_ovhcloud", "llama_index_ovhcloud", "ovhcloud_ai_endpoints"]


def group(source: Path, name: str) -> list[str]:
    """The packages of a dependency group, with those of the groups that it includes."""
    groups = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    found: list[str] = []
    for entry in groups[name]:
        found += [entry] if isinstance(entry, str) else group(source, entry["include-group"])
    return found


def test_tests_of_the_sdist_pass_on_the_wheel(ours: Distribution, installed: Installed, tmp_path: Path) -> None:
    source = unpacked(ours.sdist, tmp_path)
    environment = installed("all", *group(source, "dev"))
    for package in OURS:
        shutil.rmtree(source / package)
    (source / "pytest_ovhcloud.py").unlink()

    imported = environment.command("-c", f"import {', '.join(OURS)}; print({OURS[0]}.__file__)", cwd=source)
    assert Path(imported.strip()).is_relative_to(environment.site_packages)
    options = ["-q", "--numprocesses", "auto", "--timeout", "120"]
    assert " passed" in environment.command("-m", "pytest", *options, *QUICK, cwd=source)
