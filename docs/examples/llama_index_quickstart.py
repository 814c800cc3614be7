"""LlamaIndex on OVHcloud AI Endpoints: embed documents, answer with sources, call a tool, extract an object.

    python docs/examples/llama_index_quickstart.py [FOLDER [QUESTION]]

The key is read from OVHCLOUD_API_KEY; without one the calls are anonymous, at two a minute for each model.
It needs nothing besides this package.
"""

import asyncio
import os

from console import Shown, count, run, step, used
from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ToolCall
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from pydantic import BaseModel

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import EmbeddingUsage

MODEL = os.environ.get("DEMO_MODEL", "gpt-oss-120b")
EMBEDDINGS = os.environ.get("DEMO_EMBEDDINGS", "bge-m3")


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def main(texts: dict[str, str], question: str) -> None:
    embedded: list[EmbeddingUsage] = []
    counter = TokenCountingHandler()
    llm = ChatOVHCloud(
        MODEL,
        max_retries=6,
        is_function_calling_model=True,  # needed only for models that the catalogue does not know
        callback_manager=CallbackManager([counter]),
    )
    embeddings = OVHCloudEmbeddings(EMBEDDINGS, max_retries=6, on_usage=embedded.append)
    print(f"LlamaIndex: {llm.model} and {embeddings.model_name} at {llm.base_url}")

    with step("1. Embed the documents"):
        pages = [Document(text=text, metadata={"source": name}) for name, text in texts.items()]
        pieces = SentenceSplitter(chunk_size=300, chunk_overlap=25).get_nodes_from_documents(pages)
        index = VectorStoreIndex(pieces, embed_model=embeddings)
        print(f"{count(len(pages), 'file')} in {count(len(pieces), 'piece')}")

    with step(f"2. {question}"):
        found = index.as_retriever(similarity_top_k=4).retrieve(question)
        context = "\n\n".join(piece.get_content() for piece in found)
        prompt = [ChatMessage(f"Answer from this context:\n\n{context}", role="system"), ChatMessage(question)]
        answer = Shown()
        for response in llm.stream_chat(prompt):
            answer.reasoning(response.additional_kwargs.get("thinking_delta", ""))
            answer.text(response.delta or "")
        print("\nSources:", ", ".join(dict.fromkeys(piece.metadata["source"] for piece in found)))

    with step("3. Call a tool, and answer with its result"):
        asyncio.run(call_a_tool(llm))

    with step("4. Extract an object"):
        note = "The ticket was opened by Ada Lovelace in Lyon. Its priority is 2 and its subject is streams."
        ticket = llm.structured_predict(Ticket, PromptTemplate("{note}"), note=note)
        print(repr(ticket))

    tokens = (counter.prompt_llm_token_count, counter.completion_llm_token_count)
    print(used({MODEL: tokens, EMBEDDINGS: (sum(call.tokens for call in embedded), 0)}))


async def call_a_tool(llm: ChatOVHCloud) -> None:
    agent = FunctionAgent(tools=[count_words], llm=llm)
    run = agent.run("Count the words of 'to be or not to be'.")
    async for event in run.stream_events():
        if isinstance(event, ToolCall):
            print(f"The model calls {event.tool_name}({event.tool_kwargs})")
    print(await run)


if __name__ == "__main__":
    run(main)
