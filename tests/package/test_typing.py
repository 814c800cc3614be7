"""What type checkers say of users' code, with the wheel installed and not the checkout."""

import json
from pathlib import Path

import pytest
from distributions import REPOSITORY, run
from environments import Environment, Installed
from examples import examples, name

pytestmark = pytest.mark.timeout(600)

# By something in them, blocks that are not checked.
NOT_CHECKED = {
    "from standard import": "a part of a class",
    "temprature": "a misspelt argument, to show the error",
    "import _chat": "private modules, which contributors may use",
    "_http import": "the same",
    "aclosing(model.astream": "LangChain's astream is an async generator, which its type does not say",
    "runtime.context": "LangChain types the context of middleware as None",
    'stream_mode="messages"': "LangGraph types what it streams as a dict or Any",
}
# The frameworks' types say that usage, raw answers and the like may be None or lack keys; our classes always set them.
PYRIGHT = {
    "reportOptionalSubscript": False,
    "reportOptionalMemberAccess": False,
    "reportTypedDictNotRequiredAccess": False,
}


@pytest.fixture(scope="module")
def environment(installed: Installed) -> Environment:
    return installed("all", "mypy>=2,<3", "pyright[nodejs]", "fastapi", "langchain", "pytest", "vcrpy")


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    """A folder with `tests/typing`."""
    for app in (REPOSITORY / "tests" / "typing").glob("*.py"):
        (tmp_path / app.name).write_text(app.read_text("utf-8"), "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code blocks of the docs that need nothing but LangChain, LlamaIndex and a test tool."""
    folder = tmp_path_factory.mktemp("blocks")
    for example in examples("python"):
        if not any(marked in example.source for marked in NOT_CHECKED):
            file = name(example).replace(".md:", "_").replace("-", "_")
            (folder / f"{file}.py").write_text(example.source, "utf-8")
    return folder


def mypy(environment: Environment, folder: Path, settings: str) -> str:
    (folder / "mypy.ini").write_text(f"[mypy]\n{settings}ignore_missing_imports = True\n")
    files = map(str, sorted(folder.glob("*.py")))
    return run([str(environment.python), "-m", "mypy", "--config-file", "mypy.ini", *files], cwd=folder)


def pyright(environment: Environment, folder: Path, **settings: object) -> str:
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    python = ["--pythonpath", str(environment.python)]
    return run([str(environment.python), "-m", "pyright", *python, "--project", str(folder)], cwd=folder)


def test_mypy_takes_what_users_write(environment: Environment, apps: Path) -> None:
    assert "Success" in mypy(environment, apps, "strict = True\n")


def test_pyright_takes_what_users_write(environment: Environment, apps: Path) -> None:
    assert pyright(environment, apps).startswith("0 errors")


def test_mypy_takes_what_the_docs_show(environment: Environment, blocks: Path) -> None:
    assert "Success" in mypy(environment, blocks, "strict_optional = False\n")


def test_pyright_takes_what_the_docs_show(environment: Environment, blocks: Path) -> None:
    assert pyright(environment, blocks, **PYRIGHT).startswith("0 errors")
