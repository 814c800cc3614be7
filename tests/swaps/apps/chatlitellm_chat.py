"""A chat through LiteLLM's package, with a tool and a stream."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_litellm import ChatLiteLLM
from pydantic import BaseModel


class GetWeather(BaseModel):
    """Get the weather in a city."""

    city: str


chat = ChatLiteLLM(
    model="ovhcloud/gpt-oss-120b",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    temperature=0.2,
    top_p=0.9,
    max_tokens=300,
    request_timeout=60,
    max_retries=1,
    n=1,
    streaming=False,
    model_kwargs={"seed": 3},
)

messages = [SystemMessage("Rome is in Italy."), HumanMessage("Where is Rome?")]
answer = chat.invoke(messages)
print(answer.content, answer.usage_metadata["output_tokens"] > 0, answer.response_metadata["finish_reason"])
print("".join(chunk.content for chunk in chat.stream(messages)))
print(chat.bind_tools([GetWeather]).invoke("GetWeather: what is the weather in Nice?").tool_calls[0]["args"])
print(chat.with_structured_output(GetWeather, method="function_calling").invoke("The city is Nice."))


async def main():
    print((await chat.ainvoke(messages)).content)
    print("".join([chunk.content async for chunk in chat.astream(messages)]))
    print([answer.content for answer in await chat.abatch([messages, messages])])


asyncio.run(main())
