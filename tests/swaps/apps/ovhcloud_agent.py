"""An agent, and objects, with the class of llama-index-llms-ovhcloud."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.ovhcloud import OVHcloud
from pydantic import BaseModel


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


llm = OVHcloud(
    model="Meta-Llama-3_3-70B-Instruct",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
)

tool = FunctionTool.from_defaults(get_weather)
response = llm.chat_with_tools([tool], user_msg="What is the weather in Nice?", allow_parallel_tool_calls=True)
print([(call.tool_name, call.tool_kwargs) for call in llm.get_tool_calls_from_response(response)])
print(llm.structured_predict(Ticket, PromptTemplate("The subject is {s}. The priority is 2."), s="streams"))
print(dict(llm.chat([ChatMessage("Paris is in France. Where is Paris?")]).raw)["model"])


async def main():
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    print(await agent.run("What is the weather in Paris?"))


asyncio.run(main())
