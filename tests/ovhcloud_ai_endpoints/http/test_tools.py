"""What users test and trace their apps with, by the real packages, with our own connections and no client given."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import vcr
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock

from ovhcloud_ai_endpoints import APIConnectionError
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
ELSEWHERE = "https://nowhere.example/v1"
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "mocked"}, "finish_reason": "stop"}]}

Ask = Callable[[Settings], str]


@pytest.fixture(params=["blocking", "awaited"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "blocking":
        return lambda settings: Client(settings).send(ChatRequest(BODY)).messages[0].text
    return lambda settings: asyncio.run(AsyncClient(settings).send(ChatRequest(BODY))).messages[0].text


def settings_for(base_url: str, **settings: Any) -> Settings:
    return Settings(base_url=base_url, retry=Retry(max_retries=0), **settings)


def test_respx(ask: Ask) -> None:
    with respx.mock:
        route = respx.post(f"{ELSEWHERE}/chat/completions").respond(json=ANSWER)

        assert ask(settings_for(ELSEWHERE)) == "mocked"
    assert route.call_count == 1


def test_respx_that_fails(ask: Ask) -> None:
    with respx.mock:
        respx.post(f"{ELSEWHERE}/chat/completions").mock(side_effect=httpx.ConnectError("no route"))

        with pytest.raises(APIConnectionError, match="no route"):
            ask(settings_for(ELSEWHERE))


def test_respx_on_a_connection_that_is_older(server: LocalEndpoints, ask: Ask) -> None:
    settings = settings_for(server.base_url, api_key=server.api_key)
    ask(settings)
    with respx.mock:
        respx.post(f"{server.base_url}/chat/completions").respond(json=ANSWER)
        assert ask(settings) == "mocked"
    assert ask(settings) != "mocked"


def test_pytest_httpx(httpx_mock: HTTPXMock, ask: Ask) -> None:
    httpx_mock.add_response(url=f"{ELSEWHERE}/chat/completions", json=ANSWER)

    assert ask(settings_for(ELSEWHERE)) == "mocked"


def test_pytest_httpx_behind_a_proxy(httpx_mock: HTTPXMock, ask: Ask) -> None:
    proxy = "http://proxy.example:3128/"
    httpx_mock.add_response(url=f"{ELSEWHERE}/chat/completions", proxy_url=proxy, json=ANSWER)

    assert ask(settings_for(ELSEWHERE, proxy=proxy)) == "mocked"


def test_vcrpy(server: LocalEndpoints, tmp_path: Path, ask: Ask) -> None:
    settings = settings_for(server.base_url, api_key=server.api_key)
    recorder = vcr.VCR(filter_headers=["authorization"])
    with recorder.use_cassette(tmp_path / "cassette.yaml"):
        recorded = ask(settings)
    with recorder.use_cassette(tmp_path / "cassette.yaml", record_mode="none"):
        replayed = ask(settings)

    assert recorded == replayed
    assert len(server.requests) == 1
    assert server.api_key not in (tmp_path / "cassette.yaml").read_text("utf-8")


@pytest.mark.parametrize("is_async", [False, True])
def test_transport_of_ones_own(is_async: bool) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWER))

    async def awaited() -> str:
        async with httpx.AsyncClient(transport=transport) as given:
            client = AsyncClient(settings_for(ELSEWHERE, http_async_client=given))
            return (await client.send(ChatRequest(BODY))).messages[0].text

    if is_async:
        assert asyncio.run(awaited()) == "mocked"
    else:
        with httpx.Client(transport=transport) as given:
            client = Client(settings_for(ELSEWHERE, http_client=given))
            assert client.send(ChatRequest(BODY)).messages[0].text == "mocked"


def test_opentelemetry(server: LocalEndpoints, ask: Ask) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        ask(settings_for(server.base_url, api_key=server.api_key))
    finally:
        instrumentor.uninstrument()

    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["http.url"] == f"{server.base_url}/chat/completions"
    assert span.attributes["http.status_code"] == 200
    assert "traceparent" in server.requests[-1].headers
    assert server.api_key not in span.to_json()
