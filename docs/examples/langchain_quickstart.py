"""LangChain on OVHcloud AI Endpoints, in four steps: embed documents, answer, call a tool, extract.

    python docs/examples/langchain_quickstart.py [FOLDER]

The documents are the Markdown files of FOLDER, or of this repository. The key is read from OVHCLOUD_API_KEY; without
one the calls are anonymous, at two a minute. Besides this package it needs `langchain`, `langchain-text-splitters` and
`numpy`.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings

GREY = "\033[90m{}\033[0m" if sys.stdout.isatty() else "{}"
MODEL, EMBEDDINGS = os.environ.get("DEMO_MODEL", "gpt-oss-120b"), os.environ.get("DEMO_EMBEDDINGS", "bge-m3")
QUESTION = "What does a stream that breaks off raise?"
NOTE = "The ticket was opened by Ada Lovelace in Lyon. Its priority is 2 and its subject is streams."

logging.basicConfig(format="   [%(message)s]", stream=sys.stdout)
logging.getLogger("ovhcloud_ai_endpoints").setLevel(logging.INFO)  # says what embedding costs, and how long it waits


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@contextmanager
def step(title: str) -> Iterator[None]:
    print(f"\n== {title}")
    started = time.perf_counter()
    with get_usage_metadata_callback() as usage:
        yield
    tokens = sum(used["total_tokens"] for used in usage.usage_metadata.values())
    print(f"   ({f'{tokens} tokens, ' if tokens else ''}{time.perf_counter() - started:.2f} s)")


def main(folder: Path) -> None:
    model = ChatOVHCloud(model=MODEL, max_retries=6)
    embeddings = OVHCloudEmbeddings(model=EMBEDDINGS, max_retries=6)
    who = "with a key" if model.api_key else "anonymously: two requests a minute, so that some steps wait for a minute"
    print(f"LangChain, {model.model} and {embeddings.model} at {model.base_url}, {who}")

    with step("Read and embed"):
        files = markdown(folder)
        pages = [
            Document(path.read_text("utf-8"), metadata={"source": str(path.relative_to(folder))}) for path in files
        ]
        pieces = RecursiveCharacterTextSplitter(chunk_size=1200, chunk_overlap=100).split_documents(pages)
        store = InMemoryVectorStore.from_documents(pieces, embeddings)
        print(f"{len(files)} files, {len(pieces)} pieces")

    with step(QUESTION):
        found = store.similarity_search(QUESTION, k=4)
        context = "\n\n".join(piece.page_content for piece in found)
        messages = [SystemMessage(f"Answer from this context:\n\n{context}"), HumanMessage(QUESTION)]
        show(model.stream(messages))
        print("Sources:", ", ".join(dict.fromkeys(piece.metadata["source"] for piece in found)))

    with step("Call a tool and go on"):
        agent = create_agent(model, tools=[count_words])
        asked = {"messages": [HumanMessage("Count the words of 'to be or not to be'.")]}
        for message in agent.invoke(asked)["messages"]:
            for call in getattr(message, "tool_calls", []):
                print(f"calls {call['name']}({call['args']})")
        print(message.text)

    with step("Extract an object"):
        print(repr(model.with_structured_output(Ticket).invoke(NOTE)))


def markdown(folder: Path) -> list[Path]:
    """The Markdown files in a folder, without those of hidden folders and virtual environments."""
    environments = {path.parent for path in folder.glob("*/pyvenv.cfg")}
    found = sorted(folder.glob("*.md")) + sorted(folder.glob("[!.]*/**/*.md"))
    return [path for path in found if not environments & set(path.parents)]


def show(chunks: Iterator[AIMessageChunk]) -> None:
    """Prints an answer as it comes, its reasoning in grey on a line of its own."""
    is_thinking = False
    for chunk in chunks:
        for block in chunk.content_blocks:
            if block["type"] == "reasoning":
                print(GREY.format(block["reasoning"]), end="", flush=True)
                is_thinking = True
            elif block["type"] == "text":
                print(f"\n{block['text']}" if is_thinking else block["text"], end="", flush=True)
                is_thinking = False
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]))
