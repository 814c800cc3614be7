"""What a user is told once; over a socket, since the service's header is a part of it."""

import asyncio
import warnings
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.settings import BASE_URL, Settings
from ovhcloud_ai_endpoints._notices import (
    warn_of_empty_answer,
    warn_of_header,
    warn_of_other_client,
    warn_of_plain_http,
)
from ovhcloud_ai_endpoints._values import Answer, Message
from ovhcloud_ai_endpoints.testing import LocalEndpoints

HELLO = [{"role": "user", "content": "Hello"}]


class _ToTheLocalServer:
    """Sends requests for OVHcloud's host to the local server; retirements are news of that host only."""

    def __init__(self, server: LocalEndpoints) -> None:
        super().__init__()
        self._url = httpx.URL(server.base_url)

    def moved(self, request: httpx.Request) -> httpx.Request:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return request


class Blocking(_ToTheLocalServer, httpx.HTTPTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return super().handle_request(self.moved(request))


class Awaited(_ToTheLocalServer, httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await super().handle_async_request(self.moved(request))


@pytest.fixture(params=["whole", "awaited", "streamed"])
def ask(request: pytest.FixtureRequest, server: LocalEndpoints) -> Any:
    def ask(model: str = "gpt-oss-120b", base_url: str = BASE_URL) -> Any:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=base_url)
        body = {"model": model, "messages": HELLO}
        if request.param == "awaited":

            async def main() -> Any:
                async with httpx.AsyncClient(transport=Awaited(server)) as given:
                    return await AsyncClient(replace(settings, http_async_client=given)).send(ChatRequest(body))

            return asyncio.run(main())
        with httpx.Client(transport=Blocking(server)) as given:
            client = Client(replace(settings, http_client=given))
            if request.param == "whole":
                return client.send(ChatRequest(body))
            with client.stream(ChatRequest({**body, "stream": True})) as deltas:
                list(deltas)
                return deltas.result()

    return ask


def heard(call: Any, times: int = 2) -> list[tuple[type[Warning], str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            call()
    return [(warning.category, str(warning.message)) for warning in caught]


def test_what_the_service_warns_of_is_told_once(server: LocalEndpoints, ask: Any) -> None:
    said = "This model is deprecated and will be redirected to LLaMA 3.1 8B Instruct instead"
    server.reply("Hi", headers={"x-warning": said}, times=2)

    told = heard(ask)

    assert told == [(service.ModelDeprecationWarning, f"gpt-oss-120b: the service says: {said}")]


def test_model_that_goes_is_told_once_with_what_to_use_instead(ask: Any) -> None:
    said = "{} and then answers with status 404; use Qwen3.5-9B, for example"
    dated = said.format("Mistral-7B-Instruct-v0.3 is to be retired on 2026-10-01")
    undated = said.format("Mistral-Nemo-Instruct-2407 is about to be retired")

    assert heard(lambda: ask("Mistral-7B-Instruct-v0.3")) == [(service.ModelDeprecationWarning, dated)]
    assert heard(lambda: ask("Mistral-Nemo-Instruct-2407")) == [(service.ModelDeprecationWarning, undated)]


def test_model_that_is_gone_is_told_once_in_the_words_of_the_error(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []

    def failing() -> None:
        ChatOptions(model="Qwen3-32B")
        with pytest.raises(service.NotFoundError) as caught:
            ask("Qwen3-32B")
        errors.append(str(caught.value))

    said = "The model 'Qwen3-32B' was retired on 2026-09-16; use Qwen3.6-27B, for example"
    assert heard(failing) == [(service.ModelDeprecationWarning, said)]
    assert all(error.count(said) == 1 for error in errors)
    assert caplog.messages == []


def test_model_of_another_server_is_not_told_of(server: LocalEndpoints, ask: Any) -> None:
    assert heard(lambda: ask("Mistral-7B-Instruct-v0.3", server.base_url)) == []


def test_model_that_stays_is_not_told_of(ask: Any) -> None:
    assert heard(ask) == []


def test_answer_of_reasoning_only_is_told_once_and_flagged(server: LocalEndpoints, ask: Any) -> None:
    server.reply("", reasoning="Thinking and thinking", finish_reason="length", times=2)

    told = heard(ask)

    said = (
        "gpt-oss-120b reasoned without answering, because it was cut at max_tokens; raise it, or lower "
        "reasoning_effort (low, medium, high). Its reasoning is in the message."
    )
    assert told == [(service.EmptyAnswerWarning, said)]


def test_warning_points_at_the_callers_line(server: LocalEndpoints, ask: Any) -> None:
    with pytest.warns(service.ModelDeprecationWarning) as caught:
        ask("Mistral-7B-Instruct-v0.3")

    assert caught[0].filename == __file__


def test_embedding_model_is_told_of_too(server: LocalEndpoints) -> None:
    settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
    server.reply(headers={"x-warning": "deprecated"})

    told = heard(lambda: Client(settings).send(EmbeddingRequest({"model": "bge-m3", "input": ["a"]}, count=1)), times=1)

    assert [kind for kind, _ in told] == [service.ModelDeprecationWarning]


def test_model_that_is_not_known_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("gpt-oss-12b", "gpt-oss-12b", "gpt-oss-120b", "mistral@latest"):
        ChatOptions(model=name)
    ChatOptions(model="other", context_window=9_000)

    unknown = (
        "{} is not in the catalogue of 2026-10-05, so its window and whether it calls tools are unknown; "
        "set context_window= and is_function_calling_model=."
    )
    near = " For chats, the nearest names are gpt-oss-120b, gpt-oss-20b."
    assert caplog.messages == [unknown.format("gpt-oss-12b") + near, unknown.format("mistral@latest")]


def test_no_answer_is_paid_for_and_lost_where_warnings_are_errors(server: LocalEndpoints, ask: Any) -> None:
    with pytest.raises(service.ModelDeprecationWarning):  # as all are in these tests
        ask("Mistral-7B-Instruct-v0.3")

    assert server.requests == []


def test_answer_that_ended_without_saying_anything_is_logged(
    server: LocalEndpoints, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply("", reasoning="hm", finish_reason="stop", times=2)

    assert heard(ask) == []
    assert caplog.messages == ["gpt-oss-120b reasoned without answering; its reasoning is in the message"]


def test_each_thing_is_told_once_for_each_that_it_is_about() -> None:
    told = heard(lambda: [warn_of_plain_http(f"http://{host}/v1") for host in ("a", "b")])

    assert told == [
        (
            UserWarning,
            f"The key is sent to http://{host}/v1 over plain HTTP, where others can read it; use https, or no key",
        )
        for host in ("a", "b")
    ]


def test_client_for_the_other_way_of_calling_is_told_of() -> None:
    told = heard(lambda: warn_of_other_client("http_client", "http_async_client"))

    said = "This call can't use http_client and opens its own connections; pass http_async_client too"
    assert told == [(UserWarning, said)]


def test_what_is_said_at_length_is_cut_and_what_replaces_a_model_is_named() -> None:
    told = heard(lambda: warn_of_header("Mistral-7B-Instruct-v0.3", "x" * 600))

    said = f"Mistral-7B-Instruct-v0.3: the service says: {'x' * 500}; use Qwen3.5-9B, for example"
    assert told == [(service.ModelDeprecationWarning, said)]


def test_answer_that_says_something_is_not_told_of() -> None:
    message = Message(text="a", reasoning="b", finish_reason="length")

    assert heard(lambda: warn_of_empty_answer("new-model", Answer(messages=(message,)))) == []


def test_model_without_efforts_is_told_of_without_them() -> None:
    message = Message(reasoning="b", finish_reason="length")

    told = heard(lambda: warn_of_empty_answer("new-model", Answer(messages=(message,))))

    assert [text.partition("because ")[2] for _, text in told] == [
        "it was cut at max_tokens; raise it, or lower reasoning_effort. Its reasoning is in the message."
    ]
