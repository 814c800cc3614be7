"""Calls without a framework, and batches that lose no time."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ovhcloud_ai_endpoints import Batch
from ovhcloud_ai_endpoints._batches import turns
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http import AsyncClient, Client, Retry, Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

MODEL = "gpt-oss-120b"


def batch_on(path: Path, **options: Any) -> Batch:
    """A batch whose ledger is in a folder, and which asks for its jobs all the time."""
    return Batch(path / "ledger.sqlite", **{"poll_seconds": (0.01, 0.05), **options})


def settings_of(server: LocalEndpoints, **options: Any) -> Settings:
    known = {"api_key": SecretStr(server.api_key), "base_url": server.base_url, "retry": Retry(backoff=0.01)}
    return Settings(**{**known, **options})


def chat_request(text: str, model: str = MODEL, **body: Any) -> ChatRequest:
    return ChatRequest({"model": model, "messages": [{"role": "user", "content": text}], **body})


class Caller:
    """Makes calls to a server."""

    def __init__(self, server: LocalEndpoints, **options: Any) -> None:
        self.settings = settings_of(server, **options)

    def ask(self, text: str, **more: Any) -> str:
        return Client(self.settings).send(chat_request(text, **more)).messages[0].text

    async def aask(self, text: str, **more: Any) -> str:
        return (await AsyncClient(self.settings).send(chat_request(text, **more))).messages[0].text

    def embed(self, text: str) -> list[float]:
        request = EmbeddingRequest({"model": "bge-m3", "input": [text]}, count=1)
        return Client(self.settings).send(request).vectors[0]


def jobs_made(server: LocalEndpoints) -> int:
    """How many batch jobs the server was asked to make."""
    return sum((one.method, one.path) == ("POST", "/v1/batches") for one in server.requests)


def texts_asked(server: LocalEndpoints) -> list[str]:
    """The last message of each line of a job that the server has answered."""
    return [line.json["messages"][-1]["content"] for line in server.batches.lines]


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the threads of a function more time to ask, since the machine may be busy."""
    monkeypatch.setattr(turns, "QUIET_SECONDS", 10 * turns.QUIET_SECONDS)
    monkeypatch.setattr(turns, "TICKS", 10 * turns.TICKS)


async def collected(answers: Any) -> dict[int, Any]:
    return {place: answer async for place, answer in answers}
