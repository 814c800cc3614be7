"""How faults are played; what becomes of them is in ../ovhcloud_ai_endpoints/test_faults.py."""

import pydoc
from collections import Counter
from typing import Any

import httpx
import pytest

from ovhcloud_ai_endpoints.testing import FAULTS, LocalEndpoints


def post(server: LocalEndpoints, path: str, http: Any = httpx, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return http.post(f"{server.base_url}{path}", headers=headers, json=body)


def embed(server: LocalEndpoints, http: Any = httpx) -> int:
    return post(server, "/embeddings", http, model="bge-m3", input="one").status_code


def chat(server: LocalEndpoints, **fields: Any) -> int:
    messages = [{"role": "user", "content": "Hello"}]
    return post(server, "/chat/completions", model="gpt-oss-20b", messages=messages, **fields).status_code


def test_fault_waits_for_a_request_that_it_can_hit(server: LocalEndpoints) -> None:
    server.fail("vectors-missing")
    server.fail("error-in-body")

    assert server.failures == []
    assert chat(server) == 200
    assert server.failures == ["error-in-body"]
    assert embed(server) == 200
    assert server.failures == ["error-in-body", "vectors-missing"]


def test_fault_may_be_played_several_times(server: LocalEndpoints) -> None:
    server.fail("503", times=2)

    assert [embed(server) for _ in range(3)] == [503, 503, 200]
    assert server.failures == ["503", "503"]


@pytest.mark.parametrize("name", ["503s", "refused", "unreachable"])
def test_fault_that_can_not_be_played_is_an_error(server: LocalEndpoints, name: str) -> None:
    with pytest.raises(ValueError, match=r"503|down\(\)"):
        server.fail(name)


def test_share_of_requests_fails_by_chance_and_the_same_again(server: LocalEndpoints) -> None:
    seen = []
    with httpx.Client() as http:
        for _ in range(2):
            server.fail_at_random(0.3, faults=["500", "503", "stream-cut"], seed=5)
            seen.append([embed(server, http) for _ in range(60)])
            server.reset()

    assert seen[0] == seen[1]
    counts = Counter(seen[0])
    assert set(counts) == {200, 500, 503}
    assert 30 < counts[200] < 55
    assert [embed(server) for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("arguments", [{"share": 5}, {"share": -1}, {"share": 0.5, "faults": ["no such"]}])
def test_chance_that_can_not_be_is_an_error(server: LocalEndpoints, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share must be from 0 to 1|no fault"):
        server.fail_at_random(**arguments)


def test_server_that_is_down_refuses_and_comes_back(server: LocalEndpoints) -> None:
    with httpx.Client() as client:
        client.get(f"{server.base_url}/models")
        with server.down(), pytest.raises(httpx.ConnectError):
            client.get(f"{server.base_url}/models")
        assert client.get(f"{server.base_url}/models").status_code == 200


def test_faults_are_shown_in_a_line(server: LocalEndpoints) -> None:
    assert max(len(repr(fault)) for fault in FAULTS.values()) < 300
    assert len(pydoc.render_doc(LocalEndpoints)) < 20_000
