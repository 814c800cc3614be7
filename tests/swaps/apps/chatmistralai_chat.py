"""A chat with tools, as written for Mistral's own class."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_mistralai import ChatMistralAI
from pydantic import BaseModel


class City(BaseModel):
    """A city and its country."""

    name: str
    country: str


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


llm = ChatMistralAI(
    model_name="Mistral-Small-3.2-24B-Instruct-2506",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    endpoint="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    temperature=0,
    random_seed=7,
    max_tokens=256,
    max_retries=2,
    timeout=60,
    max_concurrent_requests=8,
)

messages = [HumanMessage("What is the weather in Lyon?")]
answer = llm.bind_tools([get_weather], tool_choice="any").invoke(messages)
print([(call["name"], call["args"]) for call in answer.tool_calls])
messages += [
    answer,
    *(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls),
]
print(llm.bind_tools([get_weather]).invoke(messages).content)

print("".join(chunk.content for chunk in llm.stream("Paris is in France. Where is Paris?")))
print(repr(llm.with_structured_output(City).invoke("The name is Lyon. The country is France.")))
print(repr(llm.with_structured_output(City, method="json_schema").invoke("The name is Lyon. The country is France.")))


async def main():
    answers = await llm.abatch(["Rome is in Italy. Where is Rome?", "Oslo is in Norway. Where is Oslo?"])
    print([answer.content for answer in answers], answers[0].usage_metadata["input_tokens"] > 0)
    print("".join([chunk.content async for chunk in llm.astream("Rome is in Italy. Where is Rome?")]))


asyncio.run(main())
print(answer.response_metadata["finish_reason"])
