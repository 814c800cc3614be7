"""What LlamaIndex's instrumentation sees: our chat model and embeddings, whole and streamed, and their failures."""

import asyncio
from collections.abc import Callable
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from serving_apps.calls import HEADER, get_weather, make_all

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def llama_index_calls() -> dict[str, Any]:
    """Makes all calls, in the order of their answers, and then embeds texts."""
    headers = {"X-Team": HEADER}
    llm = ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, max_tokens=77, stop=["END"], default_headers=headers)
    embeddings = OVHCloudEmbeddings(default_headers=headers)
    weather = FunctionTool.from_defaults(get_weather)

    def asked(name: str) -> list[ChatMessage]:
        return [ChatMessage(name)]

    async def awaited_stream() -> list[Any]:
        return [response async for response in await llm.astream_chat(asked("awaited stream"))]

    async def agent() -> Any:
        return await FunctionAgent(tools=[weather], llm=llm, streaming=False).run("agent")

    calls: dict[str, Callable[[], Any]] = {
        "whole": lambda: llm.chat(asked("whole")),
        "awaited": lambda: asyncio.run(llm.achat(asked("awaited"))),
        "stream": lambda: list(llm.stream_chat(asked("stream"))),
        "awaited stream": lambda: asyncio.run(awaited_stream()),
        "slow": lambda: list(llm.stream_chat(asked("slow"))),
        "object": lambda: llm.structured_predict(Ticket, PromptTemplate("object")),
        "tools": lambda: llm.chat_with_tools([weather], "tools"),
        "agent": lambda: asyncio.run(agent()),
        "refused": lambda: llm.chat(asked("refused")),
        "cut": lambda: list(llm.stream_chat(asked("cut"))),
        "texts": lambda: embeddings.get_text_embedding_batch(["one", "two"]),
        "question": lambda: embeddings.get_query_embedding("three"),
        "awaited question": lambda: asyncio.run(embeddings.aget_query_embedding("four")),
    }
    return make_all(calls)
