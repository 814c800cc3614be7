"""The pytest plugin, in a suite as users write it, which runs once in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

OTHERS = ("-p", "no:asyncio", "-p", "no:hypothesispytest")  # plugins that warn, or are slow to load
SUITE = """
import pytest

from langchain_ovhcloud import ChatOVHCloud


def ask(model="gpt-oss-120b"):
    return ChatOVHCloud(model=model).invoke("Hello").text


def ask_in_vain(**more):
    with pytest.raises(Exception):
        ask(**more)


def test_right(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert ask() == "Hi."


def test_unscripted(ovhcloud_endpoints):
    ask_in_vain()


def test_unplayed(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.", times=2)
    ask()


def test_broken_function(ovhcloud_endpoints):
    ovhcloud_endpoints.reply(lambda request: request.headers["x-missing"])
    ask_in_vain()


@pytest.mark.filterwarnings("ignore:.* is not in the catalogue")
def test_refused(ovhcloud_endpoints):
    ask_in_vain(model="no-such-model")


def test_own_failure(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert 1 == 2


def test_failure_by_a_function(ovhcloud_endpoints):
    ovhcloud_endpoints.reply(lambda request: pytest.fail("wrong prompt"))
    ask()


def test_skipped(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    pytest.skip("not today")


@pytest.mark.ovhcloud_endpoints(unscripted="rules")
def test_marked(ovhcloud_endpoints):
    assert ask()


@pytest.fixture
def failing(ovhcloud_endpoints):
    ovhcloud_endpoints.reply(lambda request: pytest.fail("wrong in a fixture"))
    ask()


def test_failure_of_a_fixture(failing):
    pass


@pytest.mark.ovhcloud_endpoints(unscripted="rules")
def test_mark_alone():
    pass


@pytest.mark.ovhcloud_endpoints(unscripted="rules")
def test_mark_and_fixture_by_name(request):
    request.getfixturevalue("ovhcloud_endpoints")
    assert ask()


@pytest.mark.ovhcloud_endpoints("rules")
def test_marked_without_a_name(ovhcloud_endpoints):
    pass
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints of the suite, with warnings as errors."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_app.py").write_text(SUITE)
    options = ["-W", "error", "-p", "no:cacheprovider", "--strict-markers", "-rA", *OTHERS]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=50)
    return done.stdout + done.stderr


def outcomes(printed: str, test: str) -> list[str]:
    """What the summary says of a test, without its name."""
    return re.findall(rf"^(\w+ )test_app\.py::{test}( - .*|)$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("test_right", [("PASSED ", "")]),
        ("test_marked", [("PASSED ", "")]),
        ("test_mark_and_fixture_by_name", [("PASSED ", "")]),
        ("test_own_failure", [("FAILED ", " - assert 1 == 2")]),
    ],
)
def test_ends_as_the_test_itself_does(printed: str, test: str, found: list[tuple[str, str]]) -> None:
    assert outcomes(printed, test) == found


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("test_unscripted", "No answer was scripted for the chat"),
        ("test_unplayed", "not played: 'Hi.'"),
        ("test_broken_function", "KeyError: 'x-missing'"),
        ("test_refused", "the gateway refused /v1/chat/completions 404"),
        ("test_marked_without_a_name", "takes arguments by their names"),
    ],
)
def test_wrong_script_is_an_error(printed: str, test: str, problem: str) -> None:
    errors = [words for kind, words in outcomes(printed, test) if kind == "ERROR "]

    assert len(errors) == 1
    assert re.search(rf"^E .*{re.escape(problem)}", printed, re.MULTILINE)


def test_failure_shows_what_a_function_raised(printed: str) -> None:
    assert [kind for kind, _ in outcomes(printed, "test_failure_by_a_function")] == ["FAILED "]
    assert "raised in ovhcloud_endpoints" in printed
    assert 'pytest.fail("wrong prompt")' in printed
    assert 'pytest.fail("wrong in a fixture")' in printed


def test_mark_without_the_fixture_is_a_failure(printed: str) -> None:
    assert [kind for kind, _ in outcomes(printed, "test_mark_alone")] == ["FAILED "]
    assert "the test must ask for the fixture ovhcloud_endpoints" in printed


def test_test_that_is_skipped_is_not_checked(printed: str) -> None:
    assert "1 skipped" in printed
    assert outcomes(printed, "test_skipped") == []


def test_pytest_itself_loads_none_of_our_modules(tmp_path: Path) -> None:
    code = (
        "import sys, pytest; pytest.main(['--version']); "
        "print([name for name in sys.modules if name.startswith(('ovhcloud_ai', 'langchain_ovh', 'llama_index_ovh'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_plugin_imports_pytest_only() -> None:
    code = "import sys, pytest; old = set(sys.modules); import pytest_ovhcloud; print(sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "['pytest_ovhcloud']"
