"""What a script has the local AI Endpoints do."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints


def post(server: LocalEndpoints, path: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return httpx.post(f"{server.base_url}{path}", headers=headers, json=body).raise_for_status().json()


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
