"""Awaits calls of all classes while blockbuster looks on, which raises where a loop is blocked."""

import asyncio
import os
from contextlib import aclosing

from blockbuster import blockbuster_ctx
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from llama_index_ovhcloud import ChatOVHCloud as LlamaChatOVHCloud
from llama_index_ovhcloud import OVHCloudEmbeddings as LlamaOVHCloudEmbeddings


async def main() -> None:
    """As an app would: objects are made on the loop, and the first calls come at once."""
    model = ChatOVHCloud(model="gpt-oss-120b")
    await model.ainvoke("Hello")
    async for _ in model.astream([HumanMessage("Hello")]):
        pass
    async with aclosing(model.astream("Hello")) as chunks:
        await anext(chunks)
    async with OVHCloudEmbeddings() as embeddings:
        await embeddings.aembed_documents([f"text {at}" for at in range(60)])
    llm = LlamaChatOVHCloud(model="gpt-oss-120b")
    await llm.acomplete("Hello")
    async for _ in await llm.astream_chat([ChatMessage("Hello")]):
        pass
    await LlamaOVHCloudEmbeddings().aget_text_embedding_batch(["one", "two"])


with blockbuster_ctx():
    asyncio.run(main())
print("nothing blocked", flush=True)
os._exit(0)  # blockbuster patches C types, with which the interpreter may crash when it ends, whatever was run
