"""An agent with tools that remembers, and its events."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


llm = OpenAILike(
    model="gpt-oss-120b",
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=131072,
)


async def main():
    agent = FunctionAgent(tools=[get_weather, multiply], llm=llm, system_prompt="Be brief.")
    context, memory = Context(agent), ChatMemoryBuffer.from_defaults(token_limit=8000)
    handler = agent.run("What is the weather in Paris?", ctx=context, memory=memory)
    said = ""
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            print(event.tool_name, event.tool_kwargs, event.tool_output)
        elif isinstance(event, AgentStream):
            said += event.delta
    print(await handler, "=", said)
    print(await agent.run("Multiply 6 and 7", ctx=context, memory=memory))


asyncio.run(main())

tools = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(multiply)]
response = llm.chat_with_tools(tools, user_msg="What is the weather in Rome?", allow_parallel_tool_calls=True)
print([(call.tool_name, call.tool_kwargs) for call in llm.get_tool_calls_from_response(response)])
print(llm.predict_and_call(tools, user_msg="What is the weather in Rome?").response)
