"""An agent with tools and a memory, streamed step by step."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


model = ChatOpenAI(model="gpt-4o-mini", api_key=os.environ["OPENAI_API_KEY"], temperature=0.1, timeout=60)
agent = create_agent(model, tools=[get_weather, add], system_prompt="Be brief.", checkpointer=InMemorySaver())
config = {"configurable": {"thread_id": "1"}}


async def main():
    question = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
    async for step in agent.astream(question, config, stream_mode="updates"):
        for node, update in step.items():
            message = update["messages"][-1]
            calls = [(call["name"], call["args"]) for call in getattr(message, "tool_calls", [])]
            print(f"{node}: {calls or message.content}")

    question = {"messages": [{"role": "user", "content": "Please add 2 and 3"}]}
    async for message, metadata in agent.astream(question, config, stream_mode="messages"):
        if metadata["langgraph_node"] == "tools":
            print("tool:", message.content)
    state = await agent.aget_state(config)
    print(len(state.values["messages"]), state.values["messages"][-1].content)


asyncio.run(main())
