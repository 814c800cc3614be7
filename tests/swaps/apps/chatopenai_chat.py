"""A small chat: a chain, its stream, a batch, the tokens that it took."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

URL = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"


class Tokens(BaseCallbackHandler):
    def __init__(self):
        self.text = ""

    def on_llm_new_token(self, token, **kwargs):
        self.text += token


tokens = Tokens()
llm = ChatOpenAI(
    model="gpt-oss-120b",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    base_url=URL,
    temperature=0,
    top_p=0.9,
    seed=42,
    max_completion_tokens=512,
    request_timeout=30,
    max_retries=3,
    streaming=True,
    stream_usage=True,
    callbacks=[tokens],
    n=1,
    organization=None,
    model_kwargs={},
    disabled_params={"parallel_tool_calls": None},
)

prompt = ChatPromptTemplate.from_messages(
    [("system", "Paris is in France. Rome is in Italy."), ("human", "{question}")]
)
chain = prompt | llm | StrOutputParser()

print(chain.invoke({"question": "Where is Rome?"}))
print("tokens:", tokens.text)
print("stream:", "".join(chain.stream({"question": "Where is Paris?"})))

with get_usage_metadata_callback() as usage:
    print("batch:", chain.batch([{"question": "Where is Rome?"}, {"question": "Where is Paris?"}]))
print("models:", {name: counts["input_tokens"] > 0 for name, counts in usage.usage_metadata.items()})

answer = asyncio.run(llm.ainvoke([SystemMessage("Rome is in Italy."), HumanMessage("Where is Rome?")]))
print(answer.content, answer.usage_metadata["total_tokens"] > 0, answer.response_metadata["finish_reason"])
print(llm.model_name, llm.temperature, llm.max_tokens)
