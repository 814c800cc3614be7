"""The pytest plugin in suites of all kinds, each in a process of its own, with warnings as errors."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)  # a process each, and some of them start others

PLAIN = """
from langchain_ovhcloud import ChatOVHCloud


def test_blocking(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert ChatOVHCloud(model="gpt-oss-120b").invoke("Hello").text == "Hi."


def test_next(ovhcloud_endpoints):
    assert ovhcloud_endpoints.requests == []
"""
AWAITED = """
import pytest

from langchain_ovhcloud import ChatOVHCloud


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.MARK
async def test_awaited(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert (await ChatOVHCloud(model="gpt-oss-120b").ainvoke("Hello")).text == "Hi."


@pytest.mark.MARK
async def test_other_loop(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert "".join([chunk.text async for chunk in ChatOVHCloud(model="gpt-oss-120b").astream("Hello")]) == "Hi."
"""
UNITTEST = """
import unittest

import pytest

from langchain_ovhcloud import ChatOVHCloud


class TestApp(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _server(self, ovhcloud_endpoints):
        self.server = ovhcloud_endpoints

    def test_answer(self):
        self.server.reply("Hi.")
        self.assertEqual(ChatOVHCloud(model="gpt-oss-120b").invoke("Hello").text, "Hi.")

    def test_unplayed(self):
        self.server.reply("Hi.")

    def test_failure(self):
        self.server.reply("Hi.")
        self.assertEqual(1, 2)

    def test_failure_in_a_function(self):
        self.server.reply(lambda request: self.fail("wrong prompt"))
        ChatOVHCloud(model="gpt-oss-120b").invoke("Hello")
"""


def run(folder: Path, suite: str, *options: str) -> str:
    """What pytest prints of a suite."""
    (folder / "test_app.py").write_text(suite, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", "utf-8")
    always = ["-W", "error", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-rA"]
    # pytest-benchmark says so when xdist is on.
    always += ["-p", "no:benchmark", "-p", "no:codspeed"]
    command = [sys.executable, "-m", "pytest", *always, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=55)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["-n", "2"],
        ["--import-mode=importlib"],
        ["--allow-hosts=127.0.0.1"],
        ["--disable-socket", "--allow-hosts=127.0.0.1"],
        ["-p", "pytest_ovhcloud"],
        ["--assert=plain"],
    ],
    ids=" ".join,
)
def test_fixture_works_whatever_options_pytest_gets(tmp_path: Path, options: list[str]) -> None:
    assert "2 passed in" in run(tmp_path, PLAIN, *options)


@pytest.mark.parametrize("mark", ["asyncio", "anyio"])
def test_fixture_works_in_awaited_tests(tmp_path: Path, mark: str) -> None:
    assert "2 passed in" in run(tmp_path, AWAITED.replace("MARK", mark), "-o", "asyncio_mode=strict")


def test_fixture_works_in_classes_of_unittest(tmp_path: Path) -> None:
    printed = run(tmp_path, UNITTEST)

    assert "PASSED test_app.py::TestApp::test_answer" in printed
    assert "ERROR test_app.py::TestApp::test_unplayed" in printed
    assert "ERROR test_app.py::TestApp::test_failure" not in printed
    assert "2 failed, 2 passed, 1 error" in printed
    assert "AssertionError: wrong prompt" in printed.partition("raised in ovhcloud_endpoints")[2]


def test_suite_without_the_fixture_loads_the_plugin_alone(tmp_path: Path) -> None:
    suite = """
import sys

OURS = ("pytest_ovhcloud", "ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud")


def test_nothing():
    assert [name for name in sys.modules if name.startswith(OURS)] == ["pytest_ovhcloud"]
"""
    assert "1 passed in" in run(tmp_path, suite)
