"""Objects from text, in each way that ChatOpenAI has."""

# ruff: noqa: T201 - an app prints

import os
from typing import Annotated

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class Ticket(BaseModel):
    """A support ticket."""

    subject: str = Field(description="What it is about")
    priority: int = Field(description="From 1 to 5")
    team: str | None = Field(default=None, description="Who does it")


class Point(TypedDict):
    """A point."""

    x: Annotated[int, ..., "To the right"]
    y: Annotated[int, ..., "Up"]


llm = ChatOpenAI(
    model="gpt-oss-120b",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    temperature=0.0,
)
text = "The subject is streams. The priority is 2. The team is core."

print(repr(llm.with_structured_output(Ticket).invoke(text)))
print(repr(llm.with_structured_output(Ticket, method="function_calling").invoke(text)))
print(llm.with_structured_output(Point, method="json_schema", strict=True).invoke("x is 3. y is 4."))
print(llm.with_structured_output(Ticket.model_json_schema(), method="function_calling").invoke(text))

raw = llm.with_structured_output(Ticket, include_raw=True).invoke(text)
print(sorted(raw), raw["parsed"].priority, raw["parsing_error"], raw["raw"].usage_metadata["output_tokens"] > 0)

prompt = "Answer in JSON with the keys 'subject' and 'priority'. The subject is streams. The priority is 2."
print(llm.bind(response_format={"type": "json_object"}).invoke(prompt).content)

last = [*llm.with_structured_output(Ticket).stream(text)][-1]
print(last.subject, last.team)
bound = llm.bind_tools([Ticket], tool_choice="Ticket", strict=True, parallel_tool_calls=True)
print(bound.invoke(text).tool_calls[0]["args"]["subject"])
