"""The ways in which a model can be asked, so that each test is written once; and what tests need of core's hooks."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage, ChatResponse

from ovhcloud_ai_endpoints.testing import LocalEndpoints

HELLO = [ChatMessage("Hello")]
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "completion_tokens_details": {"reasoning_tokens": 3},
}
END = "[DONE]"


def piece(delta: dict[str, Any], finish: str | None = None, **rest: Any) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **rest}


def collected(stream: Any) -> list[Any]:
    """All of an asynchronous stream, which a coroutine returns."""

    async def main() -> list[Any]:
        return [one async for one in await stream]

    return asyncio.run(main())


@dataclass(frozen=True)
class Way:
    """One way to ask; calling it gives all responses: one, or those of a stream."""

    name: str
    ask: Callable[..., list[Any]]

    @property
    def streams(self) -> bool:
        return "stream" in self.name

    def __call__(self, llm: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return self.ask(llm, *args, **kwargs)


CHAT: dict[str, Callable[..., list[ChatResponse]]] = {
    "chat": lambda llm, messages, **kwargs: [llm.chat(messages, **kwargs)],
    "achat": lambda llm, messages, **kwargs: [asyncio.run(llm.achat(messages, **kwargs))],
    "stream_chat": lambda llm, messages, **kwargs: list(llm.stream_chat(messages, **kwargs)),
    "astream_chat": lambda llm, messages, **kwargs: collected(llm.astream_chat(messages, **kwargs)),
}
COMPLETE: dict[str, Callable[..., list[Any]]] = {
    "complete": lambda llm, prompt, **kwargs: [llm.complete(prompt, **kwargs)],
    "acomplete": lambda llm, prompt, **kwargs: [asyncio.run(llm.acomplete(prompt, **kwargs))],
    "stream_complete": lambda llm, prompt, **kwargs: list(llm.stream_complete(prompt, **kwargs)),
    "astream_complete": lambda llm, prompt, **kwargs: collected(llm.astream_complete(prompt, **kwargs)),
}
TOOLS: dict[str, Callable[..., list[ChatResponse]]] = {
    "chat": lambda llm, tools, *args, **kwargs: [llm.chat_with_tools(tools, *args, **kwargs)],
    "achat": lambda llm, tools, *args, **kwargs: [asyncio.run(llm.achat_with_tools(tools, *args, **kwargs))],
    "stream_chat": lambda llm, tools, *args, **kwargs: list(llm.stream_chat_with_tools(tools, *args, **kwargs)),
    "astream_chat": lambda llm, tools, *args, **kwargs: collected(llm.astream_chat_with_tools(tools, *args, **kwargs)),
}
STRUCTURED: dict[str, Callable[..., list[Any]]] = {
    "structured_predict": lambda llm, *args, **kwargs: [llm.structured_predict(*args, **kwargs)],
    "astructured_predict": lambda llm, *args, **kwargs: [asyncio.run(llm.astructured_predict(*args, **kwargs))],
    "stream_structured_predict": lambda llm, *args, **kwargs: list(llm.stream_structured_predict(*args, **kwargs)),
    "astream_structured_predict": lambda llm, *args, **kwargs: collected(
        llm.astream_structured_predict(*args, **kwargs)
    ),
}


class Limiter:
    """Counts what it is asked for; holds a lock, as core's own do, so that it can't be pickled."""

    def __init__(self) -> None:
        self.acquired = 0
        self.lock = threading.Lock()

    def acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1


class Events(BaseEventHandler):
    """Keeps what core's instrumentation tells."""

    seen: list[Any] = []

    def handle(self, event: Any, **_: Any) -> None:
        self.seen.append(event)

    def named(self, ending: str) -> list[str]:
        return [name for event in self.seen if (name := type(event).__name__).endswith(ending)]


@contextmanager
def listening() -> Iterator[Events]:
    """The events of what happens in this block."""
    root, events = get_dispatcher(), Events()
    before = list(root.event_handlers)
    root.add_event_handler(events)
    try:
        yield events
    finally:
        root.event_handlers = before


class Counting:
    """Counts tokens as core does, but without a tokenizer, which would be downloaded."""

    def __init__(self) -> None:
        self.handler = TokenCountingHandler(tokenizer=lambda text: text.split())
        self.callback_manager = CallbackManager([self.handler])

    @property
    def counts(self) -> list[tuple[int, int]]:
        return [(count.prompt_token_count, count.completion_token_count) for count in self.handler.llm_token_counts]


class Suite:
    """What all the suites share.

    `server` is the local AI Endpoints of a test.
    """

    def make(self, server: LocalEndpoints, **options: Any) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def server(self) -> Iterator[LocalEndpoints]:
        with LocalEndpoints() as endpoints:
            yield endpoints

    @pytest.fixture
    def llm(self, server: LocalEndpoints) -> Any:
        return self.make(server)

    @pytest.fixture(params=CHAT)
    def ask(self, request: pytest.FixtureRequest) -> Way:
        return Way(request.param, CHAT[request.param])

    @pytest.fixture(params=["stream_chat", "astream_chat"])
    def stream(self, request: pytest.FixtureRequest) -> Way:
        return Way(request.param, CHAT[request.param])
