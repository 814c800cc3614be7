"""LangChain on OVHcloud AI Endpoints: embed documents, answer with sources, call a tool, extract an object.

    python docs/examples/langchain_quickstart.py [FOLDER [QUESTION]]

The key is read from OVHCLOUD_API_KEY; without one the calls are anonymous, at two a minute for each model.
Besides this package it needs `langchain`, `langchain-text-splitters` and `numpy`.
"""

import os

from console import Shown, count, run, step, used
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
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
    model = ChatOVHCloud(MODEL, max_retries=6)
    embeddings = OVHCloudEmbeddings(EMBEDDINGS, max_retries=6, on_usage=embedded.append)
    print(f"LangChain: {model.model} and {embeddings.model} at {model.base_url}")

    with step("1. Embed the documents"):
        pages = [Document(text, metadata={"source": name}) for name, text in texts.items()]
        pieces = RecursiveCharacterTextSplitter(chunk_size=1200, chunk_overlap=100).split_documents(pages)
        store = InMemoryVectorStore.from_documents(pieces, embeddings)
        print(f"{count(len(pages), 'file')} in {count(len(pieces), 'piece')}")

    with get_usage_metadata_callback() as usage:
        with step(f"2. {question}"):
            found = store.similarity_search(question, k=4)
            context = "\n\n".join(piece.page_content for piece in found)
            prompt = [SystemMessage(f"Answer from this context:\n\n{context}"), HumanMessage(question)]
            answer = Shown()
            for chunk in model.stream(prompt):
                for block in chunk.content_blocks:
                    if block["type"] == "reasoning":
                        answer.reasoning(block["reasoning"])
                    elif block["type"] == "text":
                        answer.text(block["text"])
            print("\nSources:", ", ".join(dict.fromkeys(piece.metadata["source"] for piece in found)))

        with step("3. Call a tool, and answer with its result"):
            agent = create_agent(model, tools=[count_words])
            asked = {"messages": [HumanMessage("Count the words of 'to be or not to be'.")]}
            for message in agent.invoke(asked)["messages"]:
                for call in getattr(message, "tool_calls", []):
                    print(f"The model calls {call['name']}({call['args']})")
            print(message.text)

        with step("4. Extract an object"):
            note = "The ticket was opened by Ada Lovelace in Lyon. Its priority is 2 and its subject is streams."
            ticket = model.with_structured_output(Ticket).invoke(note)
            print(repr(ticket))

    tokens = {name: (sums["input_tokens"], sums["output_tokens"]) for name, sums in usage.usage_metadata.items()}
    print(used({**tokens, EMBEDDINGS: (sum(call.tokens for call in embedded), 0)}))


if __name__ == "__main__":
    run(main)
