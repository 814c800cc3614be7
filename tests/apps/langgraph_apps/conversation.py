"""A conversation with images, reasoning and reviewed calls, kept in a store; each step may be a process of its own.

python conversation.py STORE ADDRESS STEP …
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from langchain_ovhcloud import ChatOVHCloud

MODEL = "Qwen3.6-27B"  # sees images, reasons and calls tools
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAASUVORK5CYII="
IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}
THREAD: Any = {"configurable": {"thread_id": "one"}}
STEPS: dict[str, Any] = {
    "ask": {"messages": [HumanMessage([{"type": "text", "text": "What is this?"}, IMAGE], id="first")]},
    "ask again": {"messages": [HumanMessage("And from the side?", id="second")]},
    "approve": Command(resume={"decisions": [{"type": "approve"}]}),
    "go on": None,
}


def look(side: str) -> list[dict[str, Any]]:
    """Looks at one side."""
    return [{"type": "text", "text": f"Seen from the {side}:"}, IMAGE]


def agent_on(store: BaseCheckpointSaver[Any] | None) -> Any:
    review = HumanInTheLoopMiddleware(interrupt_on={"look": True})
    return create_agent(ChatOVHCloud(model=MODEL), tools=[look], middleware=[review], checkpointer=store)


@contextmanager
def store_at(kind: str, address: str) -> Iterator[BaseCheckpointSaver[Any]]:
    saver: Any = {"sqlite": SqliteSaver, "postgres": PostgresSaver}[kind]
    with saver.from_conn_string(address) as store:
        store.setup()
        yield store


@asynccontextmanager
async def async_store_at(kind: str, address: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    saver: Any = {"sqlite": AsyncSqliteSaver, "postgres": AsyncPostgresSaver}[kind]
    async with saver.from_conn_string(address) as store:
        await store.setup()
        yield store


def take(steps: list[str], kind: str, address: str) -> list[Any]:
    """Takes steps of the conversation, and returns its messages; `async-…` stores are used awaited."""

    async def awaited() -> Any:
        async with async_store_at(kind.removeprefix("async-"), address) as store:
            for step in steps:
                state = await agent_on(store).ainvoke(STEPS[step], THREAD)
            return state["messages"]

    if kind.startswith("async-"):
        return asyncio.run(awaited())
    with store_at(kind, address) as store:
        for step in steps:
            state = agent_on(store).invoke(STEPS[step], THREAD)
        return state["messages"]


if __name__ == "__main__":
    sys.stdout.write(take(sys.argv[3:], sys.argv[1], sys.argv[2])[-1].text)
