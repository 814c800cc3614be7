"""Awaits calls of all classes while blockbuster looks on, which raises where a loop is blocked."""

import asyncio
import os
from contextlib import aclosing

from blockbuster import blockbuster_ctx
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud


async def main() -> None:
    """As an app would: objects are made on the loop, and the first calls come at once."""
    model = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
    await model.ainvoke("Hello")
    async for _ in model.astream([HumanMessage("Hello")]):
        pass
    async with aclosing(model.astream("Hello")) as chunks:
        await anext(chunks)
    async with langchain_ovhcloud.OVHCloudEmbeddings() as embeddings:
        await embeddings.aembed_documents([f"text {at}" for at in range(60)])
    llm = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
    await llm.acomplete("Hello")
    async for _ in await llm.astream_chat([ChatMessage("Hello")]):
        pass
    await llama_index_ovhcloud.OVHCloudEmbeddings().aget_text_embedding_batch(["one", "two"])


with blockbuster_ctx():
    asyncio.run(main())
print("nothing blocked", flush=True)
os._exit(0)  # blockbuster patches C types, with which the interpreter may crash when it ends, whatever was run
