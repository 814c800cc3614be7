"""What a wrong script, or a wrong use of the kit, says: where it is written, and what to do."""

import importlib
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from _pytest.assertion.rewrite import AssertionRewriter
from langchain_core.messages import AIMessage

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import Model
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

DONE: dict[str, Any] = {"choices": [{"delta": {"content": "Hi."}, "finish_reason": "stop"}]}


def ask(server: LocalEndpoints) -> httpx.Response:
    body = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return httpx.post(f"{server.base_url}/chat/completions", headers=headers, json=body)


async def awaited(request: object) -> str:
    return "Hi."


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"text": {"subject": "a"}}, r"text must be a text; .*json\.dumps"),
        ({"text": ["a", "b"]}, r"for several answers, call reply\(\) for each"),
        ({"text": AIMessage("a")}, "give the message's text"),
        ({"text": Model(id="m")}, "json.dumps"),
        ({"text": ChatOVHCloud(model="m")}, r"for its JSON, model_dump_json\(\)"),
        ({"tool_calls": ("look", {})}, r"must be a list, as \[\(name, arguments\)\]"),
        ({"text": awaited}, "must not be async"),
        ({"text": lambda: "a"}, "must take the request"),
        ({"text": "a", "pause": "1"}, "pause must be a number"),
        ({"text": "a", "headers": [("a", "b")]}, "headers must be a dict"),
        ({"text": "a", "usage": {"prompt_tokens": "9"}}, "usage"),
        ({"tool_calls": [("look", {}, 1)]}, "tool_calls are tuples"),
        ({"tool_calls": [("look", {"at": object()})]}, "tool_calls"),
        ({"vectors": [1.0, 0.0]}, "vectors are lists of numbers"),
        ({"vectors": "ab"}, "vectors are lists of numbers"),
        ({"events": [{"at": object()}]}, "events"),
        ({"raw": ["HTTP/1.1 200 OK"]}, "raw .*bytes, Pause, CUT or RESET"),
        ({"raw": [b"HTTP/1.1 200 OK\r\n\r\n"], "headers": {"a": "b"}}, "takes raw and headers in different answers"),
    ],
)
def test_script_of_a_wrong_type_is_refused_where_it_is_written(
    server: LocalEndpoints, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        server.reply(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"vectors": np.eye(2)},
        {"vectors": (row for row in [[1.0], [0.5]])},
        {"text": "a", "usage": {"prompt_tokens": 1.0, "prompt_audio_seconds": 3}},
        {"text": "a", "finish_reason": "function_call"},
        {"tool_calls": [("look", {}, None)]},
        {"text": "a", "headers": {"X.Y": "b"}},
    ],
)
def test_script_that_is_unusual_is_taken(server: LocalEndpoints, arguments: dict[str, Any]) -> None:
    server.reply(**arguments)


def test_events_may_come_from_a_generator(server: LocalEndpoints) -> None:
    server.reply(events=(event for event in [DONE, "[DONE]"]))  # type: ignore[arg-type]

    body = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    headers = {"Authorization": f"Bearer {server.api_key}"}
    assert "Hi." in httpx.post(f"{server.base_url}/chat/completions", headers=headers, json=body).text


def test_pause_that_is_no_number_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="Pause takes a number of seconds; got '1'"):
        Pause("1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"text": "a", "usage": {"prompt_token": 9}}, "usage has no 'prompt_token'; its keys are prompt_tokens"),
        ({"text": "a", "usage": {"input_tokens": 9}}, "usage has no 'input_tokens'; its keys are prompt_tokens"),
        ({"text": "a", "usage": {"prompt_tokens": -9}}, "usage"),
        ({"text": "a", "finish_reason": "lenght"}, "finish_reason must be one of .*length.*; got 'lenght'"),
        ({"text": "a", "finish_reason": ""}, "finish_reason must be one of"),
        ({"vectors": [[1.0, 0.0], [1.0]]}, "vectors .* width"),
        ({"vectors": [[]]}, "vectors"),
        ({"vectors": [[float("nan")]]}, "vectors"),
        ({"status": 204}, "status"),
        ({"text": "a", "headers": {"a b": "c"}}, "headers"),
        ({"text": "a", "headers": {"a": "b\r\nc"}}, "headers"),
        ({"text": "half \ud800"}, "text"),
    ],
)
def test_script_of_a_wrong_value_is_refused_where_it_is_written(
    server: LocalEndpoints, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        server.reply(**arguments)


class TestCheck:
    def test_names_the_line_of_an_answer_that_was_not_played(self, server: LocalEndpoints) -> None:
        server.reply("Hi.")
        line = sys._getframe().f_lineno - 1

        with pytest.raises(AssertionError, match=rf"'Hi\.'.*test_messages\.py:{line}"):
            server.check()
        server.reset()

    def test_says_what_to_look_for_if_no_request_came(self, server: LocalEndpoints) -> None:
        server.reply("Hi.")

        with pytest.raises(AssertionError, match=r"No request came.*built before"):
            server.check()
        server.reset()

    def test_counts_one_request_in_the_singular(self, server: LocalEndpoints) -> None:
        server.reply("Hi.", times=2)
        ask(server)

        with pytest.raises(AssertionError, match="After 1 request:"):
            server.check()
        server.reset()

    def test_says_how_to_expect_a_refusal(self, server: LocalEndpoints) -> None:
        httpx.post(f"{server.base_url}/chat/completions", json={})

        with pytest.raises(AssertionError, match=r"refusals\.clear\(\)"):
            server.check()
        server.reset()

    def test_finds_a_stream_that_was_scripted_for_a_call_that_does_not_stream(self, server: LocalEndpoints) -> None:
        server.reply(events=[DONE, "[DONE]"])
        ask(server)

        with pytest.raises(AssertionError, match=r"reply\(events=.*does not stream"):
            server.check()
        server.reset()


class TestUnscripted:
    @pytest.mark.parametrize("arguments", [{}, {"finish_reason": "length"}, {"pause": 0.01}, {"text": lambda _: {}}])
    def test_chat_is_an_error_after_an_answer_without_words(self, arguments: dict[str, Any]) -> None:
        """These let the rules answer, which must not where a chat without a script is an error."""
        with LocalEndpoints(unscripted="error") as server:
            server.reply(**arguments)
            ask(server)

            with pytest.raises(AssertionError, match="No answer was scripted"):
                server.check()
            server.reset()

    def test_chat_names_the_fault_that_waits_for_another_kind_of_request(self) -> None:
        with LocalEndpoints(unscripted="error") as server:
            server.fail("stream-cut")
            ask(server)

            with pytest.raises(AssertionError, match="'stream-cut', which waits for a stream"):
                server.check()
            server.reset()

    def test_chat_says_so_to_the_app(self) -> None:
        with LocalEndpoints(unscripted="error") as server:
            answer = ask(server)
            server.reset()

        assert "No answer was scripted" in answer.json()["message"]


def test_key_of_the_app_is_told_of_the_servers(server: LocalEndpoints) -> None:
    body = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "Hello"}]}
    httpx.post(f"{server.base_url}/chat/completions", headers={"Authorization": "Bearer own"}, json=body)

    with pytest.raises(AssertionError, match=f"The key that this server takes is '{server.api_key}'.* give api_keys="):
        server.check()


def test_error_of_a_script_begins_in_the_script(server: LocalEndpoints) -> None:
    server.reply(lambda request: request.json["missing"])

    assert re.search(r"raised KeyError \(test_messages.py:\d+\)", ask(server).json()["message"])
    names = [frame.name for frame in traceback.extract_tb(server.problems.pop().__traceback__)]
    assert names == ["<lambda>"]


def test_repr_tells_where_it_is_and_what_it_has(server: LocalEndpoints) -> None:
    server.reply("Hi.", times=2)
    ask(server)

    assert repr(server) == f"<LocalEndpoints {server.base_url} requests=1 unplayed=1>"


STARTING = """
import os, runpy, signal, subprocess


class Popen(subprocess.Popen):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGTERM)


subprocess.Popen = Popen
runpy.run_module("ovhcloud_ai_endpoints.testing", run_name="__main__", alter_sys=True)
"""


class TestCommand:
    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "ovhcloud_ai_endpoints.testing", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_status_of_a_command_is_ours(self) -> None:
        assert self.run("--", "sh", "-c", "exit 7").returncode == 7
        assert self.run("--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL

    def test_command_without_dashes_is_told_of_them(self) -> None:
        ran = self.run(sys.executable, "-m", "pytest")

        assert ran.returncode == 2
        assert "unrecognized arguments: -m pytest; a command comes after --" in ran.stderr

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
    def test_signal_ends_it_with_its_command(self, sent: signal.Signals) -> None:
        command = [sys.executable, "-m", "ovhcloud_ai_endpoints.testing", "--", "sh", "-c", "echo ready; exec sleep 60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"ready\n"
            if sent is signal.SIGINT:
                os.killpg(process.pid, sent)  # as a terminal does
            else:
                process.send_signal(sent)

            assert process.wait(20) == 128 + sent
            assert process.stderr.read() == b""

    def test_signal_that_comes_while_the_command_starts_ends_it_too(self) -> None:
        """It would be left to run else, since we don't know it yet."""
        command = [sys.executable, "-c", STARTING, "--", "sh", "-c", "exec sleep 60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, errors = process.communicate(timeout=15)

        assert (process.returncode, out, errors) == (128 + signal.SIGTERM, b"", b"")


def test_port_out_of_range_is_a_sentence_on_the_command_line() -> None:
    command = [sys.executable, "-m", "ovhcloud_ai_endpoints.testing", "--port", "99999", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "Traceback" not in done.stderr
    assert "99999" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("package", ["ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud"])
def test_package_that_is_imported_before_pytest_causes_no_warning(package: str) -> None:
    """A distribution with a plugin has all its packages' asserts rewritten; pytest warns of those already imported."""
    assert AssertionRewriter.is_rewrite_disabled(importlib.import_module(package).__doc__ or "")


SUITE = """
from langchain_ovhcloud import ChatOVHCloud

model = ChatOVHCloud(model="gpt-oss-120b", max_retries=0)


def test_model_built_at_import(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Hi.")
    assert model.invoke("Hello").text == "Hi."
"""


def test_failure_with_a_model_built_too_early_says_so(tmp_path: Path, server: LocalEndpoints) -> None:
    """The answer comes from elsewhere, here from another local server, which stands for the service."""
    (tmp_path / "test_app.py").write_text(SUITE, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:hypothesispytest",
    ]
    environ = {"PATH": "", **server.environ}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=50)

    assert "1 failed" in done.stdout
    assert "No request came" in done.stdout


def test_plugin_may_be_named_by_its_module_too(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text("def test_nothing(ovhcloud_endpoints):\n    pass\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "pytest_ovhcloud", "-p", "no:asyncio", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)

    assert "1 passed in" in done.stdout, done.stderr
