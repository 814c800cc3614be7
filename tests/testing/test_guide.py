"""The tests that docs/guides/testing.md shows, run by pytest as a reader would; and its recording, made and played."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import examples
from pytest_examples import CodeExample

from ovhcloud_ai_endpoints.testing import LocalEndpoints

BLOCKS = [example for example in examples("python") if example.path.name == "testing.md"]
TESTS = [example for example in BLOCKS if "def test_" in example.source]
OTHERS = ("-p", "no:asyncio", "-p", "no:hypothesispytest")  # plugins that warn, or are slow to load
# llama-index-workflows looks at all attributes of an agent, also at pydantic's deprecated ones.
AGENTS = ("-W", "ignore::pydantic.warnings.PydanticDeprecationWarning:inspect")


def name(example: CodeExample) -> str:
    return f"test_line_{example.start_line}.py"


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the guide's tests, with warnings as errors and without a network."""
    folder = tmp_path_factory.mktemp("guide")
    for example in TESTS:
        (folder / name(example)).write_text(example.source, "utf-8")
    options = [
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--strict-markers",
        "--allow-hosts=127.0.0.1",
        "-rA",
        *OTHERS,
        *AGENTS,
    ]
    command = [sys.executable, "-m", "pytest", *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OVH")}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=110)
    return done.stdout + done.stderr


@pytest.mark.timeout(120)  # the first one imports all of both frameworks
@pytest.mark.parametrize("example", TESTS, ids=name)
def test_tests_of_the_guide_pass(summary: str, example: CodeExample) -> None:
    ended = re.findall(rf"^(\w+) {re.escape(name(example))}::(\w+)", summary, re.MULTILINE)
    shown = re.findall(r"^def (test_\w+)", example.source, re.MULTILINE)

    assert sorted(ended) == sorted(("PASSED", test) for test in shown), summary


@pytest.fixture
def recording(environ: LocalEndpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The guide's block for vcrpy, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (example,) = [example for example in BLOCKS if "import vcr" in example.source]
    return example.source


def test_recording_is_played_the_second_time(recording: str, environ: LocalEndpoints) -> None:
    environ.reply("Paris.")
    exec(recording, first := {})
    exec(recording, second := {})

    assert first["answer"].text == second["answer"].text == "Paris."
    assert len(environ.requests) == 1


def test_recording_needs_no_key_to_be_played(
    recording: str, environ: LocalEndpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ.reply("Paris.")
    exec(recording, {})
    monkeypatch.delenv("OVHCLOUD_API_KEY")
    exec(recording, played := {})

    assert played["answer"].text == "Paris."
    assert len(environ.requests) == 1


def test_recording_holds_no_secret(recording: str, environ: LocalEndpoints) -> None:
    environ.reply("Paris.", headers={"Set-Cookie": "session=a-cookie"})
    exec(recording, {})
    written = Path("cassettes/capital.yaml").read_text("utf-8")

    assert "gpt-oss-120b" in written
    assert environ.api_key not in written
    assert "a-cookie" not in written


def test_recording_is_not_played_for_another_question(recording: str, environ: LocalEndpoints) -> None:
    exec(recording, {})

    with pytest.raises(Exception, match=r"(?i)can't (overwrite existing cassette|play back)"):
        exec(recording.replace("France", "Spain"), {})


def test_recording_of_a_reached_limit_does_not_slow_down_a_replay(
    recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = recording.replace('"gpt-oss-120b"', '"gpt-oss-120b", max_wait=0')
    with LocalEndpoints(anonymous_requests_per_minute=1) as server:
        monkeypatch.setenv("OVHCLOUD_API_BASE", server.base_url)
        monkeypatch.setenv("OVHCLOUD_API_KEY", "")
        exec(impatient, {})
        server.reset()  # forgets that the limit is reached
        for _ in range(2):
            exec(impatient, {})

        assert server.requests == []
