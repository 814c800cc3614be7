"""LiteLLM's proxy, which we did not write, as a process between our classes and a local AI Endpoints.

`LITELLM` names its executable; without it, `.venv-litellm/bin/litellm` in the repository is taken.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import reduce
from http.client import HTTPConnection
from operator import add
from pathlib import Path
from typing import Any, TypeVar

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock, ThinkingBlock
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from processes import bare_environ, free_port
from waiting import eventually

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REPOSITORY = Path(__file__).parents[2]
MASTER_KEY = "sk-1234"
SPARES = 60  # models for tests whose errors make LiteLLM stop asking a model for some seconds
START_SECONDS = 90.0

T = TypeVar("T")


def executable() -> Path:
    """LiteLLM's command; the session ends without one."""
    path = Path(os.environ.get("LITELLM", REPOSITORY / ".venv-litellm" / "bin" / "litellm"))
    if not path.exists():
        pytest.exit(f"There is no LiteLLM at {path}. `make proxies` installs it; LITELLM= names another one.", 1)
    return path


def config(backend: LocalEndpoints) -> dict[str, Any]:
    """As LiteLLM documents it for OVHcloud, with another `api_base`; JSON is YAML too."""

    def entry(name: str, model: str) -> dict[str, Any]:
        there = {"api_key": "os.environ/OVHCLOUD_API_KEY", "api_base": backend.base_url}
        return {"model_name": name, "litellm_params": {"model": model, **there}}

    models = {
        "my-model": "ovhcloud/gpt-oss-120b",
        "my-vllm": "hosted_vllm/gpt-oss-120b",
        "my-openai": "openai/gpt-oss-120b",
        "my-eyes": "ovhcloud/Qwen3.6-27B",
        "my-embeddings": "ovhcloud/bge-m3",
        "my-openai-embeddings": "openai/bge-m3",
        "my-vllm-embeddings": "hosted_vllm/bge-m3",
        "my-vllm-wide": "hosted_vllm/Qwen3-Embedding-8B",
        "ovhcloud/gpt-oss-20b": "ovhcloud/gpt-oss-20b",
        **{f"spare-{number}": "ovhcloud/gpt-oss-120b" for number in range(SPARES)},
    }
    return {
        "model_list": [entry(name, model) for name, model in models.items()],
        "general_settings": {"master_key": MASTER_KEY, "dangerously_permit_weak_or_unset_master_key": True},
    }


def is_alive(port: int) -> bool:
    with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/health/liveliness")
        return connection.getresponse().status == 200
    return False


@pytest.fixture(scope="session")
def backend() -> Iterator[LocalEndpoints]:
    """The local AI Endpoints behind the proxy, for the whole session, since the proxy knows its port."""
    with LocalEndpoints(requests_per_minute=1_000_000) as endpoints:
        yield endpoints


@pytest.fixture
def server(backend: LocalEndpoints) -> Iterator[LocalEndpoints]:
    """The local AI Endpoints behind the proxy, with nothing received or scripted."""
    backend.reset()
    yield backend
    backend.reset()


@pytest.fixture(scope="session")
def proxy(backend: LocalEndpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of LiteLLM's proxy."""
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    file, log = folder / "config.yaml", folder / "log"
    file.write_text(json.dumps(config(backend), indent=2), "utf-8")
    environ = bare_environ(OVHCLOUD_API_KEY=backend.api_key, LITELLM_LOCAL_MODEL_COST_MAP="True", NO_COLOR="1")
    command = [str(executable()), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: process.poll() is not None or is_alive(port), START_SECONDS)
        assert is_alive(port), log.read_text("utf-8", "replace")[-4000:]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def litellm_python() -> Path:
    """The Python of LiteLLM's environment, which has OpenAI's client too."""
    return executable().parent / "python"


@pytest.fixture(scope="session")
def _spares() -> Iterator[str]:
    return iter([f"spare-{number}" for number in range(SPARES)])


@pytest.fixture
def spare(_spares: Iterator[str]) -> str:
    """A model of this test alone: after some errors LiteLLM refuses a model for five seconds."""
    return next(_spares)


@dataclass(frozen=True)
class Said:
    """What a client got from the proxy, in no framework's form.

    Attributes:
        pieces: the texts of a stream, without empty ones.
        tokens: of the input and of the output.
    """

    text: str
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    tokens: tuple[int, int] | None = None
    finish_reason: str | None = None
    pieces: list[str] = field(default_factory=list, compare=False)
    message: Any = field(default=None, compare=False, repr=False)


class Way:
    """A framework, blocking or awaited."""

    def __init__(self, url: str, *, is_awaited: bool) -> None:
        self.to = {"base_url": url, "api_key": MASTER_KEY}
        self.is_awaited = is_awaited

    def run(
        self, blocking: Callable[..., T], awaited: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kw: Any
    ) -> T:
        return asyncio.run(awaited(*args, **kw)) if self.is_awaited else blocking(*args, **kw)


async def listed(stream: Any) -> list[Any]:
    return [one async for one in (await stream if asyncio.iscoroutine(stream) else stream)]


class LangChain(Way):
    """Ours for LangChain. A history is a list of (role, text) or of the messages that it gave."""

    user, system = HumanMessage, SystemMessage

    def result(self, said: Said, text: str) -> ToolMessage:
        return ToolMessage(text, tool_call_id=said.message.tool_calls[0]["id"])

    def image(self, text: str, data: str) -> HumanMessage:
        picture = {"type": "image", "base64": data, "mime_type": "image/png"}
        return HumanMessage([{"type": "text", "text": text}, picture])

    def chat(self, **options: Any) -> lc.ChatOVHCloud:
        return lc.ChatOVHCloud(**{"model": "my-model", **self.to, **options})

    def ask(
        self,
        history: str | Sequence[BaseMessage],
        *,
        streamed: bool = False,
        tools: Sequence[Callable[..., Any]] = (),
        tool_choice: str | None = None,
        **options: Any,
    ) -> Said:
        model: Any = self.chat(**options)
        if tools:
            model = model.bind_tools(tools, tool_choice=tool_choice)
        if not streamed:
            return self.said(self.run(model.invoke, model.ainvoke, history), [])
        chunks = asyncio.run(listed(model.astream(history))) if self.is_awaited else [*model.stream(history)]
        return self.said(reduce(add, chunks), [chunk.text for chunk in chunks if chunk.text])

    def said(self, message: AIMessage, pieces: list[str]) -> Said:
        usage = message.usage_metadata
        return Said(
            text=str(message.text),
            reasoning="".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"),
            calls=[(call["name"], call["args"]) for call in message.tool_calls],
            tokens=(usage["input_tokens"], usage["output_tokens"]) if usage else None,
            finish_reason=message.response_metadata["finish_reason"],
            pieces=pieces,
            message=message,
        )

    def object(self, schema: type[T], question: str, *, by: str, **options: Any) -> T:
        model = self.chat(**options).with_structured_output(schema, method=by)
        return self.run(model.invoke, model.ainvoke, question)

    def streamed_object(self, schema: type[T], question: str, *, by: str, **options: Any) -> T:
        model = self.chat(**options).with_structured_output(schema, method=by)
        return [*(asyncio.run(listed(model.astream(question))) if self.is_awaited else model.stream(question))][-1]

    def embed(self, texts: list[str], **options: Any) -> list[list[float]]:
        model = lc.OVHCloudEmbeddings(**{"model": "my-embeddings", **self.to, **options})
        return self.run(model.embed_documents, model.aembed_documents, texts)


class LlamaIndex(Way):
    """Ours for LlamaIndex."""

    @staticmethod
    def user(text: str) -> ChatMessage:
        return ChatMessage(text, role=MessageRole.USER)

    @staticmethod
    def system(text: str) -> ChatMessage:
        return ChatMessage(text, role=MessageRole.SYSTEM)

    def result(self, said: Said, text: str) -> ChatMessage:
        call = said.message.additional_kwargs["tool_calls"][0]
        return ChatMessage(text, role=MessageRole.TOOL, additional_kwargs={"tool_call_id": call["id"]})

    def image(self, text: str, data: str) -> ChatMessage:
        return ChatMessage(blocks=[TextBlock(text=text), ImageBlock(url=f"data:image/png;base64,{data}")])

    def chat(self, **options: Any) -> li.ChatOVHCloud:
        return li.ChatOVHCloud(**{"model": "my-model", **self.to, **options})

    def ask(
        self,
        history: str | Sequence[ChatMessage],
        *,
        streamed: bool = False,
        tools: Sequence[Callable[..., Any]] = (),
        tool_choice: str | None = None,
        **options: Any,
    ) -> Said:
        llm = self.chat(**options)
        messages = [self.user(history)] if isinstance(history, str) else [*history]
        made = [FunctionTool.from_defaults(tool) for tool in tools]
        with_tools = {"chat_history": messages, "tool_choice": tool_choice, "allow_parallel_tool_calls": True}
        if streamed:
            if self.is_awaited:
                stream = llm.astream_chat_with_tools(made, **with_tools) if tools else llm.astream_chat(messages)
                responses = asyncio.run(listed(stream))
            else:
                responses = [*(llm.stream_chat_with_tools(made, **with_tools) if tools else llm.stream_chat(messages))]
            return self.said(llm, responses[-1], [response.delta for response in responses if response.delta])
        if tools:
            return self.said(llm, self.run(llm.chat_with_tools, llm.achat_with_tools, made, **with_tools), [])
        return self.said(llm, self.run(llm.chat, llm.achat, messages), [])

    def said(self, llm: li.ChatOVHCloud, response: Any, pieces: list[str]) -> Said:
        usage, calls = response.raw.get("usage"), llm.get_tool_calls_from_response(response, False)
        thoughts = [block.content for block in response.message.blocks if isinstance(block, ThinkingBlock)]
        return Said(
            text=response.message.content or "",
            reasoning="".join(thoughts),
            calls=[(call.tool_name, call.tool_kwargs) for call in calls],
            tokens=(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
            finish_reason=response.raw["choices"][0]["finish_reason"],
            pieces=pieces,
            message=response.message,
        )

    def object(self, schema: type[Any], question: str, *, by: str, **options: Any) -> Any:
        llm = self.chat(pydantic_program_mode=self.mode(by), **options)
        return self.run(llm.structured_predict, llm.astructured_predict, schema, PromptTemplate(question))

    def streamed_object(self, schema: type[Any], question: str, *, by: str, **options: Any) -> Any:
        llm, prompt = self.chat(pydantic_program_mode=self.mode(by), **options), PromptTemplate(question)
        if self.is_awaited:
            return asyncio.run(listed(llm.astream_structured_predict(schema, prompt)))[-1]
        return [*llm.stream_structured_predict(schema, prompt)][-1]

    @staticmethod
    def mode(by: str) -> PydanticProgramMode:
        return PydanticProgramMode.FUNCTION if by == "function_calling" else PydanticProgramMode.DEFAULT

    def embed(self, texts: list[str], **options: Any) -> list[list[float]]:
        model = li.OVHCloudEmbeddings(**{"model": "my-embeddings", **self.to, **options})
        return self.run(model.get_text_embedding_batch, model.aget_text_embedding_batch, texts)


WAYS: dict[str, Callable[[str], Way]] = {
    "langchain": lambda url: LangChain(url, is_awaited=False),
    "langchain awaited": lambda url: LangChain(url, is_awaited=True),
    "llama_index": lambda url: LlamaIndex(url, is_awaited=False),
    "llama_index awaited": lambda url: LlamaIndex(url, is_awaited=True),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, proxy: str) -> Way:
    """Our classes in each way of calling them, with default settings but for where and which key."""
    return WAYS[request.param](proxy)
