"""What the files hold that are put on PyPI."""

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from distributions import REPOSITORY, Distribution, build, run, sdist_files, unpacked, wheel_files
from environments import VERSIONS

pytestmark = pytest.mark.timeout(180)
PACKAGES = ("langchain_ovhcloud", "llama_index_ovhcloud", "ovhcloud_ai_endpoints")
OURS = (*PACKAGES, "pytest_ovhcloud.py")
INFO = "ovhcloud_ai_endpoints-{}.dist-info"
NOT_IN_SDIST = (".ci/", ".github/", ".gitignore")
LINK = re.compile(r"\]\((?!https?://|#)([^)]*)\)")


def test_wheel_of_the_sdist_is_that_of_the_tree(ours: Distribution, tmp_path: Path) -> None:
    build(unpacked(ours.sdist, tmp_path / "source"), tmp_path, "wheel")
    (of_sdist,) = tmp_path.glob("*.whl")

    assert wheel_files(of_sdist) == wheel_files(ours.wheel)


def test_wheel_has_our_packages_only(ours: Distribution) -> None:
    tops = {name.partition("/")[0] for name in wheel_files(ours.wheel)}

    assert tops == {*OURS, INFO.format(ours.version)}


def test_wheel_has_every_file_of_the_packages(ours: Distribution) -> None:
    of_sdist = {name for name in sdist_files(ours.sdist) if name.startswith(OURS)}

    assert {name for name in wheel_files(ours.wheel) if ".dist-info/" not in name} == of_sdist


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_has_types(ours: Distribution, package: str) -> None:
    assert f"{package}/py.typed" in wheel_files(ours.wheel)


def test_wheel_has_the_catalogue_and_the_licence(ours: Distribution) -> None:
    files = wheel_files(ours.wheel)

    assert b"gpt-oss-120b" in files["ovhcloud_ai_endpoints/_catalogue/models.json"]
    licence = files[f"{INFO.format(ours.version)}/licenses/LICENSE"]
    assert licence == (REPOSITORY / "LICENSE").read_bytes()


def test_wheel_has_the_plugin_and_no_other_entry_point(ours: Distribution) -> None:
    found = ConfigParser()
    found.read_string(wheel_files(ours.wheel)[f"{INFO.format(ours.version)}/entry_points.txt"].decode())

    assert found.sections() == ["pytest11"]
    assert dict(found["pytest11"]) == {"pytest_ovhcloud": "pytest_ovhcloud"}


def listed(*options: str) -> set[str]:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout")
    return set(run(["git", "ls-files", *options], cwd=REPOSITORY).splitlines())


def test_sdist_has_all_of_the_repository(ours: Distribution) -> None:
    there = {name for name in listed("--cached") if (REPOSITORY / name).exists()}

    assert {name for name in there - sdist_files(ours.sdist) if not name.startswith(NOT_IN_SDIST)} == set()


def test_sdist_has_nothing_that_git_ignores(ours: Distribution) -> None:
    there = listed("--cached", "--others", "--exclude-standard")

    assert sdist_files(ours.sdist) - there == {"PKG-INFO"}


@pytest.mark.parametrize("name", ["ours", "thin"])
def test_twine_accepts_it(request: pytest.FixtureRequest, name: str) -> None:
    found: Distribution = request.getfixturevalue(name)

    run([sys.executable, "-m", "twine", "check", "--strict", str(found.wheel), str(found.sdist)])


def test_check_wheel_contents_accepts_it(ours: Distribution) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_wheel_contents", "--no-config", "--toplevel", ",".join(OURS), str(ours.wheel)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["ours", "thin"])
def test_page_on_pypi_has_no_relative_link(request: pytest.FixtureRequest, name: str) -> None:
    found: Distribution = request.getfixturevalue(name)

    assert LINK.findall(found.page) == []


def test_classifiers_name_the_pythons_that_ci_runs(ours: Distribution) -> None:
    classifiers = "\n".join(ours.metadata.get_all("Classifier", []))
    named = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.MULTILINE)
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text("utf-8"))

    assert named == list(VERSIONS)
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == list(VERSIONS)


def test_extras_are_those_of_the_docs(ours: Distribution) -> None:
    assert set(ours.metadata.get_all("Provides-Extra", [])) == {"aiohttp", "all", "langchain", "llama-index", "ray"}
