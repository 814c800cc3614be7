"""What a script has the local AI Endpoints do."""

import contextlib
import gc
import json
import re
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from waiting import eventually

from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, _server


def key(server: LocalEndpoints) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.api_key}"}


def post(server: LocalEndpoints, path: str, **body: Any) -> Any:
    return (
        httpx.post(f"{server.base_url}{path}", headers=key(server), json=body, verify=False).raise_for_status().json()
    )


def ask(server: LocalEndpoints, *, timeout: float = 10.0, **more: Any) -> httpx.Response:
    body = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "Hello"}], **more}
    return httpx.post(
        f"{server.base_url}/chat/completions", headers=key(server), json=body, timeout=timeout, verify=False
    )


def streamed(server: LocalEndpoints) -> bytes:
    """A request for a stream, as it is sent."""
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": "gpt-oss-20b", "messages": messages, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: {key(server)['Authorization']}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chat(server: LocalEndpoints) -> str:
    body = post(server, "/chat/completions", model="gpt-oss-20b", messages=[{"role": "user", "content": "Hello"}])
    return str(body["choices"][0]["message"]["content"])


def test_what_a_model_says_waits_for_a_chat(server: LocalEndpoints) -> None:
    server.reply("Hello you")

    assert len(post(server, "/embeddings", model="bge-m3", input="one")["data"]) == 1
    assert chat(server) == "Hello you"


def test_stream_waits_for_a_chat(server: LocalEndpoints) -> None:
    server.reply(events=[{"choices": [{"delta": {"content": "half an"}}]}, CUT])

    assert len(post(server, "/embeddings", model="bge-m3", input="one")["data"]) == 1
    assert server.unplayed == 1


def test_failure_is_for_whatever_comes_next(server: LocalEndpoints) -> None:
    server.reply(status=500)

    headers = {"Authorization": f"Bearer {server.api_key}"}
    body = {"model": "bge-m3", "input": "one"}
    assert httpx.post(f"{server.base_url}/embeddings", headers=headers, json=body).status_code == 500


def test_answers_may_wait_for_other_requests(server: LocalEndpoints) -> None:
    waiting: list[int] = []

    def three_wait() -> bool:
        waiting.append(len(server.requests))
        return waiting[-1] >= 3

    server.reply("together", until=three_wait, times=3)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(chat, server)
        while not waiting:
            pass
        assert not first.done()
        others = [pool.submit(chat, server) for _ in range(2)]

        assert [answer.result() for answer in (first, *others)] == ["together"] * 3


def test_how_an_answer_ends_may_be_all_that_is_scripted(server: LocalEndpoints) -> None:
    server.reply(finish_reason="length", usage={"total_tokens": 7})

    body = post(server, "/chat/completions", model="gpt-oss-20b", messages=[{"role": "user", "content": "Hello"}])

    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"total_tokens": 7}
    assert server.unplayed == 0


def test_function_answers_from_the_request(server: LocalEndpoints) -> None:
    server.reply(lambda request: f"You said {request.json['messages'][-1]['content']}")

    assert chat(server) == "You said Hello"


def test_function_may_return_any_answer(server: LocalEndpoints) -> None:
    server.reply(lambda _: {"tool_calls": [("look", {"at": "me"})]})
    body = post(server, "/chat/completions", model="gpt-oss-20b", messages=[{"role": "user", "content": "Hello"}])

    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"


@pytest.mark.parametrize("vectors", [[[1.0, 0.0], [0.0, 1.0]], lambda text: [float(text == "a"), float(text == "b")]])
def test_vectors_wait_for_embeddings(server: LocalEndpoints, vectors: Any) -> None:
    server.reply(vectors=vectors)
    chat(server)
    data = post(server, "/embeddings", model="bge-m3", input=["a", "b"])["data"]

    assert [item["embedding"] for item in data] == [[1.0, 0.0], [0.0, 1.0]]


def test_what_goes_wrong_in_the_server_is_raised_at_its_end() -> None:
    answers: list[httpx.Response] = []

    def session() -> None:
        with LocalEndpoints() as server:
            server.reply(lambda request: request.headers["x-missing"])
            answers.append(ask(server))

    with pytest.raises(KeyError, match="x-missing"):
        session()
    assert answers[0].status_code == 400
    message = answers[0].json()["message"]
    assert re.fullmatch(r"A script raised KeyError \(test_scripts.py:\d+\); the server's problems have .*", message)


def test_failure_within_a_function_is_the_tests(server: LocalEndpoints) -> None:
    """pytest.fail raises what is no Exception."""
    server.reply(lambda _: pytest.fail("wrong prompt"))

    assert ask(server).status_code == 400
    with pytest.raises(pytest.fail.Exception, match="wrong prompt"):
        server.check()
    server.reset()


def test_client_that_resets_is_no_problem_of_the_server(server: LocalEndpoints) -> None:
    for _ in range(20):
        server.reply("some words " * 200)
        with socket.create_connection(("127.0.0.1", int(server.base_url.split(":")[2].partition("/")[0]))) as client:
            client.sendall(streamed(server))
            client.recv(1)  # what is left unread makes the end a reset
    eventually(lambda: server.hung_up, seconds=1)

    assert server.problems == []


def test_function_that_does_not_return_does_not_hang_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "END_SECONDS", 0.1)
    over = threading.Event()

    def session() -> None:
        with LocalEndpoints() as server:
            server.reply(lambda _: str(over.wait(10)))
            with pytest.raises(httpx.ReadTimeout):
                ask(server, timeout=0.1)

    with pytest.raises(RuntimeError, match="has not returned"):
        session()
    over.set()


def test_other_words_for_unscripted_are_refused() -> None:
    with pytest.raises(ValueError, match="unscripted must be one of rules, error; got 'rule'"):
        LocalEndpoints(unscripted="rule")  # type: ignore[arg-type]


def test_function_may_not_answer_with_vectors(server: LocalEndpoints) -> None:
    server.reply(lambda _: {"vectors": [[1.0]]})

    assert ask(server).status_code == 400
    with pytest.raises(TypeError, match=r"The function of reply\(\) may return"):
        server.check()
    server.reset()


def test_error_of_the_test_comes_before_those_of_the_server() -> None:
    def session() -> None:
        with LocalEndpoints() as server:
            server.reply(vectors=[[1.0]])
            httpx.post(
                f"{server.base_url}/embeddings", headers=key(server), json={"model": "bge-m3", "input": ["a", "b"]}
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        session()


def test_condition_that_fails_is_raised_at_the_end() -> None:
    def session() -> None:
        with LocalEndpoints() as server:
            server.reply("Hello", until=lambda: 1 / 0 > 0)
            assert ask(server).status_code == 400

    with pytest.raises(ZeroDivisionError):
        session()


def test_chat_without_a_script_is_an_error_where_that_is_asked() -> None:
    def session() -> None:
        with LocalEndpoints(unscripted="error") as server:
            server.reply("once")
            assert chat(server) == "once"
            assert len(post(server, "/embeddings", model="bge-m3", input="one")["data"]) == 1
            assert ask(server).status_code == 400

    with pytest.raises(AssertionError, match=r"No answer was scripted for the chat that ends with.*'Hello'"):
        session()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"text": "a", "events": []}, "takes text and events in different answers"),
        ({"text": "a", "status": 500}, "takes text and status"),
        ({"vectors": [[1.0]], "body": {}}, "takes vectors and body"),
        ({"text": len, "reasoning": "b"}, "takes a function alone"),
        ({"text": 5}, "text must be a text; got 5"),
        ({"tool_calls": ["look"]}, r"tool_calls are tuples: \(name, arguments\)"),
        ({"tool_calls": [{"name": "look"}]}, "tool_calls are tuples"),
        ({"status": "500"}, "status must be an int"),
        ({"until": 3}, "until must be a function"),
        ({"events": "abc"}, "events must be a list"),
        ({"usage": 3}, "usage must be a dict"),
    ],
)
def test_script_that_can_not_be_played_is_refused_at_once(
    server: LocalEndpoints, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        server.reply(**arguments)


@pytest.mark.parametrize("arguments", [{"times": 0}, {"times": "2"}, {"pause": -1}, {"status": 99}])
def test_numbers_out_of_range_are_refused(server: LocalEndpoints, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        server.reply(**({"text": "a"} if "status" not in arguments else {}), **arguments)


class TestCheck:
    def test_is_silent_if_all_went_as_scripted(self, server: LocalEndpoints) -> None:
        server.reply("a")
        chat(server)
        server.check()

    def test_finds_what_was_not_played(self, server: LocalEndpoints) -> None:
        server.reply("a", times=2)

        with pytest.raises(AssertionError, match=r"not played: 'a' \(test_scripts\.py:\d+\), 'a' "):
            server.check()

    def test_finds_refusals(self, server: LocalEndpoints) -> None:
        ask(server, foo=1)

        with pytest.raises(AssertionError, match=r"the gateway refused .*extra arguments"):
            server.check()

    def test_raises_what_went_wrong_in_the_server(self, server: LocalEndpoints) -> None:
        server.reply(lambda request: request.headers["x-missing"])
        ask(server)

        with pytest.raises(KeyError, match="x-missing"):
            server.check()
        server.reset()


def test_port_in_use_is_named(server: LocalEndpoints) -> None:
    port = server.base_url.split(":")[2].removesuffix("/v1")

    with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 can't be used: Address already in use; leave it out"):
        LocalEndpoints(port=int(port)).__enter__()

    ran = subprocess.run(
        [sys.executable, "-m", "ovhcloud_ai_endpoints.testing", "--port", port],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert f"port {port} of 127.0.0.1 can't be used" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("end", ["exit", "down"])
def test_no_socket_is_lost_that_was_accepted_at_the_end(end: str) -> None:
    def knock(port: int, has_ended: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while not has_ended.is_set():
                socket.create_connection(("127.0.0.1", port), 1).close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            has_ended = threading.Event()
            with ThreadPoolExecutor(3) as pool:
                with LocalEndpoints() as server:
                    port = int(server.base_url.split(":")[2].removesuffix("/v1"))
                    for _ in range(3):
                        pool.submit(knock, port, has_ended)
                    if end == "down":
                        with server.down():
                            has_ended.set()
                has_ended.set()
        gc.collect()
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []


def test_a_proxy_of_the_environment_is_not_asked(server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "own.example")
    environ = server.environ
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert environ["no_proxy"] == "own.example,127.0.0.1"
    assert chat(server)  # httpx.post, too, reads the environment
