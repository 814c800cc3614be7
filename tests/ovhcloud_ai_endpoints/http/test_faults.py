"""The table of faults: each fault, for each kind of request that it can hit, blocking and awaited, once and always."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from unreachable import unreachable
from waiting import eventually

from ovhcloud_ai_endpoints import APITimeoutError, OVHCloudError, StreamInterruptedError, Timeouts
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import FAULTS, LocalEndpoints
from ovhcloud_ai_endpoints.testing._faults import TEXT

ATTEMPTS = 3
MODEL, OTHER_MODEL = "gpt-oss-120b", "gpt-oss-20b"
EMBEDDED = {"model": "bge-m3", "input": ["one"]}

PATIENT = Timeouts(connect=5, first_event=15, idle=15)  # as a busy machine takes it
HURRIED = Timeouts(connect=0.2, first_event=0.5, idle=0.2)  # for servers that fall silent, which are waited for

Ask = Callable[[str, Settings], Any]


def chat_body(model: str, **fields: Any) -> ChatRequest:
    return ChatRequest({"model": model, "messages": [{"role": "user", "content": "Say it"}], **fields})


def ask(kind: str, settings: Settings, model: str = MODEL) -> Any:
    client = Client(settings)
    if kind == "chat":
        return client.send(chat_body(model)).messages[0].text
    if kind == "embeddings":
        return client.send(EmbeddingRequest(EMBEDDED, count=1)).vectors
    with client.stream(chat_body(model, stream=True)) as deltas:
        return "".join(delta.text for delta in deltas)


async def aask(kind: str, settings: Settings, model: str = MODEL) -> Any:
    client = AsyncClient(settings)
    if kind == "chat":
        return (await client.send(chat_body(model))).messages[0].text
    if kind == "embeddings":
        return (await client.send(EmbeddingRequest(EMBEDDED, count=1))).vectors
    async with client.stream(chat_body(model, stream=True)) as deltas:
        return "".join([delta.text async for delta in deltas])


class Asker:
    """Asks, and then another model: the only slot must have been given back, and no connection be spoilt."""

    def __init__(self, settings: Settings, *, is_async: bool) -> None:
        self.settings = settings
        self.patience = PATIENT
        self._is_async = is_async

    def __call__(self, kind: str) -> Any:
        return asyncio.run(self._aask(kind)) if self._is_async else self._ask(kind)

    def hurry(self) -> None:
        self.settings = replace(self.settings, timeouts=HURRIED)

    def _ask(self, kind: str) -> Any:
        try:
            return ask(kind, self.settings)
        finally:
            with suppress(OVHCloudError):
                ask("chat", replace(self.settings, timeouts=self.patience), OTHER_MODEL)

    async def _aask(self, kind: str) -> Any:
        try:
            return await aask(kind, self.settings)
        finally:
            with suppress(OVHCloudError):
                await aask("chat", replace(self.settings, timeouts=self.patience), OTHER_MODEL)


@pytest.fixture(params=["blocking", "httpx", "aiohttp"])
def asker(request: pytest.FixtureRequest, server: LocalEndpoints) -> Asker:
    settings = Settings(
        api_key=server.api_key,
        base_url=server.base_url,
        max_concurrency=1,
        retry=Retry(max_retries=ATTEMPTS - 1, backoff=0.001),
        timeouts=PATIENT,
    )
    if request.param == "blocking":
        return Asker(settings, is_async=False)
    return Asker(replace(settings, http_backend=request.param), is_async=True)


def asked(server: LocalEndpoints) -> int:
    """How often it was asked, but for the question by which it is seen that all is well again."""
    bodies = [request.json for request in server.requests]
    assert bodies[-1]["model"] == OTHER_MODEL
    return len(bodies) - 1


CASES = [(name, kind) for name, fault in FAULTS.items() for kind in fault.kinds if fault.reply is not None]


SILENT = {"deaf", "mute", "stream-deaf", "stream-mute", "stream-pings", "stream-idle-events"}
NOT_WAITED_FOR = [(name, kind) for name, kind in CASES if name in {*SILENT, "stream-huge", "stream-held-open"}]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fault_at_each_attempt(server: LocalEndpoints, asker: Asker, name: str, kind: str) -> None:
    fault = FAULTS[name]
    server.fail(name, times=ATTEMPTS if fault.is_tried_again else 1)
    if name in SILENT:
        asker.hurry()

    if fault.error is None:
        assert asker(kind).startswith(TEXT)
    else:
        with pytest.raises(fault.error) as caught:
            asker(kind)
        assert type(caught.value) is fault.error
        assert caught.value.attempts == asked(server)
        if isinstance(caught.value, StreamInterruptedError) and caught.value.partial.text:
            assert caught.value.partial.text == TEXT
    assert asked(server) == (ATTEMPTS if fault.is_tried_again else 1)
    assert server.unplayed == 0


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fault_at_the_first_attempt(server: LocalEndpoints, asker: Asker, name: str, kind: str) -> None:
    fault = FAULTS[name]
    right = asker(kind)
    server.reset()
    server.fail(name)
    if name in SILENT:
        asker.hurry()

    if fault.is_tried_again:
        assert asker(kind) == right
        assert asked(server) == 2
    elif fault.error:
        with pytest.raises(fault.error):
            asker(kind)
        assert asked(server) == 1


@pytest.mark.parametrize(("name", "kind"), NOT_WAITED_FOR)
def test_server_that_goes_on_is_hung_up_on(server: LocalEndpoints, asker: Asker, name: str, kind: str) -> None:
    server.fail(name)
    asker.hurry()
    with suppress(OVHCloudError):
        asker(kind)

    assert eventually(lambda: server.hung_up == 1)


@pytest.mark.parametrize("kind", FAULTS["refused"].kinds)
class TestNoConnection:
    def test_refused_at_each_attempt(self, server: LocalEndpoints, asker: Asker, kind: str) -> None:
        with server.down(), pytest.raises(OVHCloudError) as caught:
            asker(kind)

        assert type(caught.value) is FAULTS["refused"].error
        assert caught.value.attempts == ATTEMPTS
        assert server.requests == []

    def test_refused_at_the_first_attempt(
        self, server: LocalEndpoints, asker: Asker, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        patient = Retry(max_retries=1000, backoff=0.01)
        asker.settings = replace(asker.settings, retry=patient, timeouts=Timeouts(first_event=10))
        right, answers = asker(kind), []
        server.reset()
        with server.down():
            thread = threading.Thread(target=lambda: answers.append(asker(kind)))
            thread.start()
            while "failed (APIConnectionError)" not in caplog.text:
                threading.Event().wait(0.001)
        thread.join()

        assert answers == [right]
        assert asked(server) == 1

    def test_unreachable(self, asker: Asker, kind: str) -> None:
        asker.patience = HURRIED
        with unreachable() as port:
            asker.settings = replace(
                asker.settings, base_url=f"http://127.0.0.1:{port}/v1", timeouts=Timeouts(connect=0.1)
            )
            with pytest.raises(APITimeoutError, match="No connection to http://127") as caught:
                asker(kind)

        assert caught.value.attempts == ATTEMPTS


class TestReaders:
    """Faults of our own side: readers that leave."""

    def test_who_stops_early_hangs_up(self, server: LocalEndpoints, asker: Asker) -> None:
        server.fail("stream-mute")
        if asker._is_async:

            async def first() -> str:
                async with AsyncClient(asker.settings).stream(chat_body(MODEL, stream=True)) as deltas:
                    return (await anext(deltas)).text

            said = asyncio.run(first())
        else:
            with Client(asker.settings).stream(chat_body(MODEL, stream=True)) as deltas:
                said = next(deltas).text

        assert said == TEXT
        asker("chat")
        assert eventually(lambda: server.hung_up == 1)


def test_what_is_tried_again_is_an_error_in_the_end() -> None:
    for name, fault in FAULTS.items():
        assert not (fault.is_tried_again and fault.error is None), name
