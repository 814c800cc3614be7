"""The arrows of docs/design.md, held."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

from ovhcloud_ai_endpoints._notices import NOT_CALLERS

ROOT = Path(__file__).parents[1]
SERVICE, LANGCHAIN, LLAMA_INDEX = "ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FRAMEWORKS = ("langchain", "llama_index")
HTTP_LIBRARIES = {"httpx", "httpcore", "httpx2", "httpcore2", "aiohttp", "anyio"}
OVER_HTTPX = f"{SERVICE}/_http/over_httpx.py"
OVER_AIOHTTP = f"{SERVICE}/_http/over_aiohttp.py"
DRIVERS = {  # which alone ask the time, sleep, and know loops and threads
    f"{SERVICE}/_http/client.py",
    f"{SERVICE}/_http/blocking_network.py",
    f"{SERVICE}/_http/loop_network.py",
    f"{SERVICE}/_http/given_client.py",
    f"{SERVICE}/_http/bodies.py",
    OVER_HTTPX,
    OVER_AIOHTTP,
    f"{SERVICE}/_http/loop_pools.py",
    f"{SERVICE}/_http/pools.py",
    f"{SERVICE}/_http/process_pools.py",
    f"{SERVICE}/_http/reaper.py",
    f"{SERVICE}/_http/limit_file.py",
    f"{SERVICE}/_embeddings/workers.py",
    f"{SERVICE}/_batches/awaited_rounds.py",
    f"{SERVICE}/_batches/batch.py",
    f"{SERVICE}/_batches/command.py",
    f"{SERVICE}/_batches/job.py",
    f"{SERVICE}/_batches/job_table.py",
    f"{SERVICE}/_batches/lease.py",
    f"{SERVICE}/_batches/ledger.py",
    f"{SERVICE}/_batches/rounds.py",
    f"{SERVICE}/_batches/run.py",
    f"{SERVICE}/_batches/workers.py",
    f"{SERVICE}/_model_list/asking.py",
    f"{SERVICE}/_sqlite.py",
    f"{SERVICE}/ray.py",
}

# The rooms of the service, and those that each may look into: the ones below it.
FLOORS = ("_wire", "_values", "_errors", "_catalogue", "_notices", "_http", "_options")
GROUND = {"_process", "_arrow", "_lazy", "_metering", "_sqlite", "_surrogates", "_wordings", "_version"}
ROOMS = {path.stem for path in (ROOT / SERVICE).glob("_*") if not path.stem.startswith("__")}
ENDPOINTS = sorted(ROOMS - set(FLOORS) - GROUND)  # which stand side by side
BELOW = {
    **{room: GROUND | set(FLOORS[:floor]) for floor, room in enumerate(FLOORS)},
    **{room: GROUND | set(FLOORS) for room in ENDPOINTS},
    **{room: set() for room in GROUND},
    "_lazy": {"_process"},
}
FACES = ("_catalogue", "_http", "_options", *ENDPOINTS)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            yield module
            place = ROOT / module.replace(".", "/")
            face = getattr(importlib.import_module(module), "__all__", ()) if place.is_dir() else ()
            yield from (
                f"{module}.{name.name}"
                for name in node.names
                if (place / f"{name.name}.py").exists() and name.name not in face
            )


def of(package: str) -> list[Path]:
    return [path for path in MODULES if path.relative_to(ROOT).parts[0] == package]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_service_knows_no_framework() -> None:
    frameworks = (*FRAMEWORKS, *(package for package in PACKAGES if package != SERVICE))
    found = {(name(path), module) for path in of(SERVICE) for module in imports(path) if module.startswith(frameworks)}

    assert found == set()


@pytest.mark.parametrize(("package", "other"), [(LANGCHAIN, "llama_index"), (LLAMA_INDEX, "langchain")])
def test_the_frameworks_do_not_know_each_other(package: str, other: str) -> None:
    found = {(name(path), module) for path in of(package) for module in imports(path) if module.startswith(other)}

    assert found == set()


def room(module: str) -> str:
    """The room of the service that a module is in."""
    return module.split(".")[1] if module.count(".") else ""


def test_every_room_and_package_has_its_place() -> None:
    """An endpoint is a folder with a face; what is below the endpoints is listed above, lowest first."""
    faces = {path.parent.name for path in (ROOT / SERVICE).glob("_*/__init__.py")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]

    assert set(FLOORS) | GROUND <= ROOMS
    assert faces == set(FACES)
    shipped = project["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert sorted(shipped) == [*PACKAGES, "pytest_ovhcloud.py"]
    assert sorted(project["mypy"]["packages"]) == PACKAGES
    assert set(PACKAGES) <= NOT_CALLERS


def test_every_room_looks_down_only() -> None:
    """The arrows of docs/design.md: no endpoint knows another, and what carries them knows none."""
    found = {
        (name(path), module)
        for path in of(SERVICE)
        for module in imports(path)
        if module.startswith(f"{SERVICE}._")
        and (own := path.relative_to(ROOT).with_suffix("").parts[1]) in BELOW
        and room(module) not in BELOW[own] | {own}
    }

    assert found == set()


def test_a_room_is_entered_by_its_face() -> None:
    found = {
        (name(path), module)
        for path in MODULES
        if "testing" not in path.parts
        for module in imports(path)
        if module.startswith(tuple(f"{SERVICE}.{face}." for face in FACES))
        and path.relative_to(ROOT).parts[:2] != (SERVICE, room(module))
    }

    assert found == set()


def test_what_faces_show_is_what_was_agreed() -> None:
    """Rewritten by `make golden`, like the other golden files."""
    faces = {face: sorted(importlib.import_module(f"{SERVICE}.{face}").__all__) for face in FACES}
    text = json.dumps(faces, indent=1) + "\n"
    if os.environ.get("GOLDEN"):
        (ROOT / "tests" / "golden" / "faces.json").write_text(text, "utf-8")

    assert text == (ROOT / "tests" / "golden" / "faces.json").read_text("utf-8")


def test_one_module_imports_an_http_library() -> None:
    imported = {(name(path), module.split(".")[0]) for path in MODULES for module in imports(path)}
    users = {(user, module) for user, module in imported if module in HTTP_LIBRARIES}

    assert users == {(OVER_HTTPX, "httpx"), (OVER_HTTPX, "httpcore"), (OVER_AIOHTTP, "aiohttp")}


def test_only_drivers_ask_the_time_and_none_sleeps() -> None:
    """The local server has a clock of its own; a client waits for an event."""
    clocks = {"time", "sched", "datetime", "asyncio", "threading", "random", "select", "concurrent"}
    users = {
        name(path) for path in MODULES if "testing" not in path.parts for module in imports(path) if module in clocks
    }
    locking = {
        f"{SERVICE}/_process.py",
        f"{SERVICE}/_http/limits.py",
        f"{SERVICE}/_http/sending.py",
        f"{SERVICE}/_embeddings/run.py",
        f"{LLAMA_INDEX}/_cache.py",
    }
    sleepers = {name(path) for path in MODULES if re.search(r"\bsleep\((?!0\))", path.read_text("utf-8"))}

    assert users - locking <= DRIVERS
    assert sleepers == set()


def test_no_pure_module_imports_a_driver() -> None:
    drivers = {driver.removesuffix(".py").replace("/", ".") for driver in DRIVERS}
    found = {
        (name(path), module)
        for path in of(SERVICE)
        for module in imports(path)
        if module in drivers and name(path) not in DRIVERS and path.name not in {"__init__.py", "closing.py"}
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
    shared = {"__init__.py", "_arguments.py", "_messages.py", "_results.py", "_structured.py", "embeddings.py"}

    assert shared == {path.name for path in of(LANGCHAIN)} & {path.name for path in of(LLAMA_INDEX)}


@pytest.mark.parametrize("package", [*PACKAGES, f"{SERVICE}.testing", *(f"{SERVICE}.{face}" for face in FACES)])
def test_all_is_what_is_public(package: str) -> None:
    module = importlib.import_module(package)
    assert {name for name in module.__all__ if not hasattr(module, name)} == set()
    public = {name for name in dir(module) if not name.startswith("_") and not _is_module(getattr(module, name))}

    assert set(module.__all__) - {"__version__"} == public


@pytest.mark.parametrize("package", [*PACKAGES, *(f"{SERVICE}.{face}" for face in FACES)])
def test_what_loads_on_first_use_is_what_type_checkers_see(package: str) -> None:
    """Both are written down; and no name is a module's too, which would hide it once that is loaded."""
    folder = ROOT / package.replace(".", "/")
    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    (branch,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, name.name) for node in branch.body if isinstance(node, ast.ImportFrom) for name in node.names}
    (assigned,) = branch.orelse
    assert isinstance(assigned, ast.Assign)
    assert isinstance(assigned.value, ast.Call)
    table = ast.literal_eval(assigned.value.args[1])
    loaded = {(f"{package}.{module}", name) for module, names in table.items() for name in names}

    assert loaded == seen
    assert {name for _, name in seen} & {path.stem for path in folder.iterdir()} == set()


def _is_module(value: object) -> bool:
    return type(value).__name__ == "module"


def test_every_module_says_what_it_knows() -> None:
    silent = {name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))}

    assert silent == set()


def test_floors_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = [project[extra][0].partition(",")[0].replace(">=", "==") for extra in ("langchain", "llama-index")]

    assert (ROOT / "tests" / "floors.txt").read_text("utf-8").splitlines()[1:] == wanted


@pytest.mark.parametrize(
    ("package", "framework", "extra"),
    [(LANGCHAIN, "langchain_core", "langchain"), (LLAMA_INDEX, "llama_index", "llama-index")],
)
def test_package_without_its_framework_says_what_to_install(package: str, framework: str, extra: str) -> None:
    script = f"""
import sys

class Without:
    def find_spec(self, name, *_):
        if name == {framework!r}:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Without())
import {package}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.stderr.splitlines()[-1].endswith(f'is not installed: pip install "ovhcloud-ai-endpoints[{extra}]"')


def test_every_cache_of_a_function_has_a_bound() -> None:
    """One without parameters holds one value."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in MODULES if path.stem != "__main__")
    modules = [importlib.import_module(".".join(path.parts).removesuffix(".__init__")) for path in paths]
    caches = {member for module in modules for member in vars(module).values() if hasattr(member, "cache_info")}
    endless = {cache for cache in caches if cache.cache_info().maxsize is None}

    assert {cache.__name__ for cache in endless if signature(cache).parameters} == set()
    assert len(caches - endless) > 3


@pytest.mark.parametrize("package", [*PACKAGES, *(f"{SERVICE}.{face}" for face in FACES)])
def test_dir_shows_what_is_public(package: str) -> None:
    module = importlib.import_module(package)

    assert set(module.__all__) <= set(dir(module))
