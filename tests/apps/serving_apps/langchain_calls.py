"""What LangChain's tracers see: our chat model, whole and streamed, with objects, tools, an agent and failures."""

import asyncio
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel
from serving_apps.calls import HEADER, get_weather, make_all

from langchain_ovhcloud import ChatOVHCloud


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def make_model() -> ChatOVHCloud:
    headers = {"X-Team": HEADER}
    return ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, max_tokens=77, stop=["END"], default_headers=headers)


def langchain_calls(*callbacks: BaseCallbackHandler) -> dict[str, Any]:
    """Makes all calls, each as a run of its name."""
    model = make_model()

    def config(name: str) -> RunnableConfig:
        return {
            "run_name": name,
            "tags": ["from-a-test"],
            "metadata": {"ticket": "T-1"},
            "callbacks": list(callbacks),
        }

    async def awaited_stream() -> list[Any]:
        return [chunk async for chunk in model.astream("Hello", config("awaited stream"))]

    agent = create_agent(model, tools=[get_weather])
    calls: dict[str, Callable[[], Any]] = {
        "whole": lambda: model.invoke("Hello", config("whole")),
        "awaited": lambda: asyncio.run(model.ainvoke("Hello", config("awaited"))),
        "stream": lambda: list(model.stream("Hello", config("stream"))),
        "awaited stream": lambda: asyncio.run(awaited_stream()),
        "slow": lambda: list(model.stream("Hello", config("slow"))),
        "object": lambda: model.with_structured_output(Ticket).invoke("A ticket", config("object")),
        "tools": lambda: model.bind_tools([get_weather]).invoke("Is it sunny in Paris?", config("tools")),
        "agent": lambda: agent.invoke({"messages": [("user", "Is it sunny in Rome?")]}, config("agent")),
        "refused": lambda: model.invoke("Hello", config("refused")),
        "cut": lambda: list(model.stream("Hello", config("cut"))),
    }
    return make_all(calls)
