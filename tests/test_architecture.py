"""The arrows of docs/design.md, held."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICE, LANGCHAIN, LLAMA_INDEX = "ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud"
PACKAGES = (SERVICE, LANGCHAIN, LLAMA_INDEX)
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DRIVERS = {"_transport.py", "_alarm.py", "_connections.py", "_shielded.py", "_embedding_runs.py", "_model_list.py"}
FRAMEWORKS = ("langchain", "llama_index")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def of(package: str) -> list[Path]:
    return [path for path in MODULES if path.relative_to(ROOT).parts[0] == package]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_service_knows_no_framework() -> None:
    found = {(name(path), module) for path in of(SERVICE) for module in imports(path) if module.startswith(FRAMEWORKS)}

    assert found == set()


@pytest.mark.parametrize(("package", "other"), [(LANGCHAIN, "llama_index"), (LLAMA_INDEX, "langchain")])
def test_the_frameworks_do_not_know_each_other(package: str, other: str) -> None:
    found = {(name(path), module) for path in of(package) for module in imports(path) if module.startswith(other)}

    assert found == set()


def test_only_transport_and_its_connections_import_httpx() -> None:
    users = {
        name(path) for path in MODULES for module in imports(path) if module.split(".")[0] in {"httpx", "httpcore"}
    }

    assert users == {f"{SERVICE}/_transport.py", f"{SERVICE}/_connections.py", f"{SERVICE}/_shielded.py"}


def test_only_the_transport_sleeps_or_asks_the_time() -> None:
    """The local server has a clock of its own."""
    clocks = {"time", "sched", "datetime"}
    users = {
        name(path) for path in MODULES if "testing" not in path.parts for module in imports(path) if module in clocks
    }
    sleepers = {name(path) for path in MODULES if re.search(r"\bsleep\(", path.read_text("utf-8"))}

    assert users == {f"{SERVICE}/_transport.py"}
    assert sleepers == {f"{SERVICE}/testing/_server.py"}  # the transport waits for an event


def test_no_pure_module_imports_a_driver() -> None:
    drivers = {f"{SERVICE}.{driver.removesuffix('.py')}" for driver in DRIVERS}
    found = {
        (name(path), module)
        for path in of(SERVICE)
        for module in imports(path)
        if module in drivers and path.name not in {*DRIVERS, "__init__.py", "__main__.py"}
    }

    assert found == set()


def test_nothing_prints() -> None:
    calls = {
        name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }

    assert calls == {f"{SERVICE}/__main__.py", f"{SERVICE}/testing/__main__.py"}


def test_the_same_file_name_does_the_same_job() -> None:
    shared = {"__init__.py", "_messages.py", "_results.py", "_structured.py", "embeddings.py"}

    assert shared == {path.name for path in of(LANGCHAIN)} & {path.name for path in of(LLAMA_INDEX)}


@pytest.mark.parametrize("package", [*PACKAGES, f"{SERVICE}.testing"])
def test_all_is_what_is_public(package: str) -> None:
    module = importlib.import_module(package)
    public = {name for name, value in vars(module).items() if not name.startswith("_") and not _is_module(value)}

    assert set(module.__all__) - {"__version__"} == public


def _is_module(value: object) -> bool:
    return type(value).__name__ == "module"


def test_every_module_says_what_it_knows() -> None:
    silent = {name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))}

    assert silent == set()


def test_floors_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = [project[extra][0].partition(",")[0].replace(">=", "==") for extra in ("langchain", "llama-index")]

    assert (ROOT / "tests" / "floors.txt").read_text("utf-8").splitlines()[1:] == wanted
