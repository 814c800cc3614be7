"""Objects from text."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


llm = OpenAILike(
    model="gpt-oss-120b",
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=131072,
    temperature=0.0,
)
prompt = PromptTemplate("The subject is {subject}. The priority is 2.")

print(repr(llm.structured_predict(Ticket, prompt, subject="streams")))
print(repr(asyncio.run(llm.astructured_predict(Ticket, prompt, subject="tools"))))
print(repr([*llm.stream_structured_predict(Ticket, prompt, subject="streams")][-1]))

structured = llm.as_structured_llm(Ticket)
print(repr(structured.complete("The subject is batches. The priority is 3.").raw))
answer = structured.chat([ChatMessage(role="user", content="The subject is limits. The priority is 1.")])
print(answer.raw.subject, answer.message.content)

listed = llm.chat([ChatMessage(role="user", content="Answer in JSON.")], response_format={"type": "json_object"})
print(listed.message.content)
