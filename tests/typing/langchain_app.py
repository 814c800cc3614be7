"""What type checkers must accept, and what they must not: never run."""

from typing import Any, TypedDict, assert_type

import httpx
from langchain_core.messages import AIMessage
from pydantic import BaseModel, SecretStr

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import (
    EmbeddingsInterruptedError,
    EmbeddingUsage,
    Message,
    OVHCloudError,
    StreamInterruptedError,
    Timeouts,
)


class Ticket(BaseModel):
    subject: str


class City(TypedDict):
    name: str


def on_usage(usage: EmbeddingUsage) -> None:
    assert_type(usage.tokens, int)


def ask(schema: dict[str, Any] | type[BaseModel]) -> None:
    assert_type(model.with_structured_output(schema).invoke("Hello"), Any)


model = ChatOVHCloud("gpt-oss-120b", temperature=0, api_key="key")
ChatOVHCloud(model="gpt-oss-120b", api_key=SecretStr("key"), timeout=Timeouts(idle=20))
ChatOVHCloud(model_name="of another server", api_base="http://127.0.0.1:8000/v1", request_timeout=httpx.Timeout(5))
ChatOVHCloud(model="gpt-oss-120b", api_key=lambda: "key", tags=["a"], rate_limiter=None, max_completion_tokens=5)
ChatOVHCloud("gpt-oss-120b", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatOVHCloud("gpt-oss-120b", max_retries="two")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(model.invoke("Hello"), AIMessage)
assert_type(model.with_structured_output(Ticket).invoke("Hello"), Ticket)
assert_type(model.with_structured_output(City, method="json_schema").invoke("Hello"), City)
assert_type(model.with_structured_output({"type": "object"}).invoke("Hello"), dict[str, Any])
assert_type(model.with_structured_output(Ticket, include_raw=True).invoke("Hello"), dict[str, Any])
assert_type(model.bind_tools([Ticket], tool_choice="any").invoke("Hello"), AIMessage)

embeddings = OVHCloudEmbeddings(model="bge-m3", chunk_size=10, on_usage=on_usage)
assert_type(embeddings.embed_query("Hello"), list[float])
OVHCloudEmbeddings("bge-m3", access_token="key", dimensions=None)

with ChatOVHCloud("gpt-oss-120b") as closed:
    assert_type(closed, ChatOVHCloud)

try:
    embeddings.embed_documents(["one"])
except EmbeddingsInterruptedError as error:
    assert_type(error.usage, EmbeddingUsage | None)
except StreamInterruptedError as error:
    assert_type(error.partial, Message)
except OVHCloudError as error:
    assert_type(error.request_id, str | None)
