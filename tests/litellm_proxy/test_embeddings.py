"""Our embedding classes through LiteLLM's proxy."""

from typing import Any

import httpx
import pytest

from langchain_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints import BadRequestError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

TEXTS = [f"text number {number}" for number in range(60)]

pytestmark = pytest.mark.timeout(120)  # the first test waits for the proxy to start
each_route = pytest.mark.parametrize("model", ["my-embeddings", "my-vllm-embeddings", "my-openai-embeddings"])


@pytest.fixture
def expected(server: LocalEndpoints, way: Any) -> list[list[float]]:
    """What the service itself answers."""
    direct = {"base_url": server.base_url, "api_key": server.api_key, "model": "bge-m3", "encoding_format": "float"}
    vectors: list[list[float]] = way.embed(TEXTS, **direct)
    server.reset()
    return vectors


def are_near(found: list[list[float]], expected: list[list[float]]) -> bool:
    """Whether they differ by rounding only; a comparison by pytest would print each number."""
    same_size = [len(vector) for vector in found] == [len(vector) for vector in expected]
    pairs = (pair for vectors in zip(found, expected, strict=True) for pair in zip(*vectors, strict=True))
    return same_size and all(abs(one - other) < 1e-6 for one, other in pairs)


@each_route
def test_vectors_come_in_order_from_requests_of_25_texts(
    server: LocalEndpoints, way: Any, model: str, expected: list[list[float]]
) -> None:
    assert are_near(way.embed(TEXTS, model=model), expected)

    sent = sorted((request.json for request in server.requests), key=lambda body: TEXTS.index(body["input"][0]))
    assert [body["input"] for body in sent] == [TEXTS[:25], TEXTS[25:50], TEXTS[50:]]
    assert {body["model"] for body in sent} == {"bge-m3"}
    assert server.refusals == []


def test_numbers_are_asked_for_where_litellm_refuses_base64(server: LocalEndpoints, way: Any) -> None:
    assert len(way.embed(TEXTS[:2])[1]) == 1024

    assert [sorted(request.json) for request in server.requests] == [["input", "model"]]


def test_what_litellm_refused_is_not_asked_again(server: LocalEndpoints, proxy: str) -> None:
    answers: list[int] = []
    hooks = {"response": [lambda response: answers.append(response.status_code)]}

    with httpx.Client(event_hooks=hooks) as client:
        for text in TEXTS[:2]:
            to = {"base_url": proxy, "api_key": "sk-1234", "http_client": client}
            OVHCloudEmbeddings(model="my-embeddings", **to).embed_query(text)

    assert answers == [400, 200, 200]


@pytest.mark.parametrize("model", ["my-vllm-embeddings", "my-openai-embeddings"])
def test_base64_goes_through_on_other_routes(
    server: LocalEndpoints, way: Any, model: str, expected: list[list[float]]
) -> None:
    assert are_near(way.embed(TEXTS[:2], model=model, encoding_format="base64"), expected[:2])
    assert server.requests[-1].json["encoding_format"] == "base64"


def test_dimensions_are_refused_by_litellm_with_its_reason(server: LocalEndpoints, way: Any) -> None:
    with pytest.raises(BadRequestError, match=r"does not support parameters.*dimensions.*256"):
        way.embed(TEXTS[:2], dimensions=256)

    assert server.requests == []


def test_dimensions_reach_the_service_on_the_vllm_route(server: LocalEndpoints, way: Any) -> None:
    vectors = way.embed(TEXTS[:2], model="my-vllm-wide", dimensions=256)

    assert [len(vector) for vector in vectors] == [256, 256]
    assert server.requests[-1].json["dimensions"] == 256


def test_usage_is_the_services(server: LocalEndpoints, way: Any) -> None:
    usages: list[Any] = []
    way.embed(TEXTS[:3], base_url=server.base_url, api_key=server.api_key, model="bge-m3", on_usage=usages.append)

    way.embed(TEXTS[:3], on_usage=usages.append)

    direct, proxied = usages
    assert (proxied.tokens, proxied.texts) == (direct.tokens, direct.texts) == (proxied.tokens, 3)
    assert proxied.tokens > 0
