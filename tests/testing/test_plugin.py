"""The pytest plugin, in suites as users write them, each run in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

IMPORTS = "from langchain_ovhcloud import ChatOVHCloud\n\n"
ASKING = "ChatOVHCloud(model='gpt-oss-120b').invoke('Hello').text"
OTHERS = ("-p", "no:asyncio", "-p", "no:hypothesispytest")  # plugins that warn, or are slow to load
Run = Callable[..., str]

pytestmark = pytest.mark.timeout(60)  # each test starts a process


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a suite, with warnings as errors; returns what pytest prints."""

    def run(body: str, *options: str, head: str = IMPORTS) -> str:
        (tmp_path / "test_app.py").write_text(head + body)
        command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *OTHERS, "-q", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
        return done.stdout + done.stderr

    return run


def suite(*lines: str) -> str:
    return "\n    ".join(["def test_app(ovhcloud_endpoints):", *lines, ""])


def test_app_finds_the_server_through_the_environment(run: Run) -> None:
    printed = run(suite("ovhcloud_endpoints.reply('Hi.')", f"assert {ASKING} == 'Hi.'"))

    assert "1 passed" in printed


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([ASKING], "No answer was scripted for the chat"),
        (["ovhcloud_endpoints.reply('Hi.', times=2)", ASKING], "not played: 'Hi.'"),
        (
            [
                "ovhcloud_endpoints.reply(lambda request: request.headers['x-missing'])",
                "try:",
                f"    {ASKING}",
                "except Exception: pass",
            ],
            "KeyError: 'x-missing'",
        ),
        (
            [
                "ovhcloud_endpoints.reply('Hi.')",
                "try:",
                f"    {ASKING.replace('gpt-oss-120b', 'no-such-model')}",
                "except Exception: pass",
            ],
            "the gateway refused /v1/chat/completions 404",
        ),
    ],
    ids=["unscripted", "unplayed", "broken script", "refused"],
)
def test_wrong_script_is_noticed(run: Run, lines: list[str], problem: str) -> None:
    printed = run(suite(*lines), "-W", "ignore::UserWarning")

    assert problem in printed
    assert "1 error" in printed or "1 failed" in printed


def test_failure_of_the_test_is_the_only_one(run: Run) -> None:
    printed = run(suite("ovhcloud_endpoints.reply('Hi.')", "assert 1 == 2"))

    assert "1 failed" in printed
    assert "error" not in printed.splitlines()[-1]


def test_failure_shows_what_a_function_raised(run: Run) -> None:
    printed = run(suite("ovhcloud_endpoints.reply(lambda request: request.headers['x-missing'])", ASKING))

    assert "1 failed" in printed
    assert "raised in ovhcloud_endpoints" in printed
    assert "request.headers['x-missing']" in printed


def test_test_that_is_skipped_is_not_checked(run: Run) -> None:
    printed = run("import pytest\n\n" + suite("ovhcloud_endpoints.reply('Hi.')", "pytest.skip('not today')"))

    assert "1 skipped" in printed
    assert "error" not in printed.splitlines()[-1]


def test_mark_changes_the_server(run: Run) -> None:
    printed = run(
        "import pytest\n\n@pytest.mark.ovhcloud_endpoints(unscripted='rules')\n" + suite(f"assert {ASKING}"),
        "--strict-markers",
    )

    assert "1 passed" in printed


def test_pytest_itself_loads_none_of_our_modules(tmp_path: Path) -> None:
    code = (
        "import sys, pytest; pytest.main(['--version']); "
        "print([name for name in sys.modules if name.startswith(('ovhcloud_ai', 'langchain_ovh', 'llama_index_ovh'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_plugin_imports_pytest_only() -> None:
    code = "import sys, pytest; old = set(sys.modules); import pytest_ovhcloud; print(sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)

    assert done.stdout.strip() == "['pytest_ovhcloud']"
