"""LlamaIndex on OVHcloud AI Endpoints, in four steps: embed documents, answer, call a tool, extract.

    python docs/examples/llama_index_quickstart.py [FOLDER]

The documents are the Markdown files of FOLDER, or of this repository. The key is read from OVHCLOUD_API_KEY; without
one the calls are anonymous, at two a minute. It needs nothing besides this package.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ToolCall
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.node_parser import SentenceSplitter
from pydantic import BaseModel

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings

GREY = "\033[90m{}\033[0m" if sys.stdout.isatty() else "{}"
MODEL, EMBEDDINGS = os.environ.get("DEMO_MODEL", "gpt-oss-120b"), os.environ.get("DEMO_EMBEDDINGS", "bge-m3")
QUESTION = "What does a stream that breaks off raise?"
NOTE = "The ticket was opened by Ada Lovelace in Lyon. Its priority is 2 and its subject is streams."

logging.basicConfig(format="   [%(message)s]", stream=sys.stdout)
logging.getLogger("ovhcloud_ai_endpoints").setLevel(logging.INFO)  # says what embedding costs, and how long it waits

counter = TokenCountingHandler()


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
    counter.reset_counts()
    yield
    tokens = counter.total_llm_token_count
    print(f"   ({f'{tokens} tokens, ' if tokens else ''}{time.perf_counter() - started:.2f} s)")


def main(folder: Path) -> None:
    llm = ChatOVHCloud(
        model=MODEL,
        max_retries=6,
        is_function_calling_model=True,  # needed only for models that the catalogue does not know
        callback_manager=CallbackManager([counter]),
    )
    embeddings = OVHCloudEmbeddings(model=EMBEDDINGS, max_retries=6)
    who = "with a key" if llm.api_key else "anonymously: two requests a minute, so that some steps wait for a minute"
    print(f"LlamaIndex, {llm.model} and {embeddings.model_name} at {llm.base_url}, {who}")

    with step("Read and embed"):
        files = markdown(folder)
        pages = [
            Document(text=path.read_text("utf-8"), metadata={"source": str(path.relative_to(folder))}) for path in files
        ]
        pieces = SentenceSplitter(chunk_size=300, chunk_overlap=25).get_nodes_from_documents(pages)
        index = VectorStoreIndex(pieces, embed_model=embeddings)
        print(f"{len(files)} files, {len(pieces)} pieces")

    with step(QUESTION):
        found = index.as_retriever(similarity_top_k=4).retrieve(QUESTION)
        context = "\n\n".join(piece.get_content() for piece in found)
        messages = [ChatMessage(f"Answer from this context:\n\n{context}", role="system"), ChatMessage(QUESTION)]
        show(llm.stream_chat(messages))
        print("Sources:", ", ".join(dict.fromkeys(piece.metadata["source"] for piece in found)))

    with step("Call a tool and go on"):
        asyncio.run(call_a_tool(llm))

    with step("Extract an object"):
        print(repr(llm.structured_predict(Ticket, PromptTemplate("{note}"), note=NOTE)))


async def call_a_tool(llm: ChatOVHCloud) -> None:
    agent = FunctionAgent(tools=[count_words], llm=llm)
    run = agent.run("Count the words of 'to be or not to be'.")
    async for event in run.stream_events():
        if isinstance(event, ToolCall):
            print(f"calls {event.tool_name}({event.tool_kwargs})")
    print(await run)


def markdown(folder: Path) -> list[Path]:
    """The Markdown files in a folder, without those of hidden folders and virtual environments."""
    environments = {path.parent for path in folder.glob("*/pyvenv.cfg")}
    found = sorted(folder.glob("*.md")) + sorted(folder.glob("[!.]*/**/*.md"))
    return [path for path in found if not environments & set(path.parents)]


def show(responses: Iterator[ChatResponse]) -> None:
    """Prints an answer as it comes, its reasoning in grey on a line of its own."""
    is_thinking = False
    for response in responses:
        if thinking := response.additional_kwargs.get("thinking_delta"):
            print(GREY.format(thinking), end="", flush=True)
            is_thinking = True
        if response.delta:
            print(f"\n{response.delta}" if is_thinking else response.delta, end="", flush=True)
            is_thinking = False
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]))
