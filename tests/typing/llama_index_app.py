"""What type checkers must accept, and what they must not: never run."""

from typing import assert_type

from llama_index.core.llms import ChatResponse, CompletionResponse
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import Timeouts


class Ticket(BaseModel):
    subject: str


llm = ChatOVHCloud("gpt-oss-120b", temperature=0, api_key="key")
ChatOVHCloud(model="of another server", api_base="http://127.0.0.1:8000/v1", additional_kwargs={"top_k": 1})
ChatOVHCloud(model="gpt-oss-120b", system_prompt="Be brief.", timeout=Timeouts(total=60), context_window=8192)
ChatOVHCloud("gpt-oss-120b", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(llm.complete("Hello"), CompletionResponse)
assert_type(llm.chat([]), ChatResponse)
assert_type(llm.structured_predict(Ticket, PromptTemplate("Hello")), Ticket)

embeddings = OVHCloudEmbeddings(model="bge-m3", batch_size=10, num_workers=2)
OVHCloudEmbeddings("bge-m3", embed_batch_size=10, dimensions=None)
OVHCloudEmbeddings(model_name="bge-m3", show_progress_bar=True)
assert_type(embeddings.get_query_embedding("Hello"), list[float])
