"""A web app that passes answers on, streamed and whole, from both frameworks."""

import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints import APIConnectionError, OVHCloudError, RateLimitError, StreamInterruptedError

MODEL = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
LLM = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with MODEL, LLM:
        yield


app = FastAPI(lifespan=lifespan)
careless = FastAPI()  # closes nothing


@app.exception_handler(OVHCloudError)
@careless.exception_handler(OVHCloudError)
async def refuse(_: Request, error: OVHCloudError) -> JSONResponse:
    status = 503 if isinstance(error, RateLimitError | APIConnectionError) else 502
    return JSONResponse({"error": type(error).__name__, "message": error.message}, status)


async def langchain_texts(text: str) -> AsyncIterator[str]:
    async with aclosing(MODEL.astream(text)) as chunks:
        async for chunk in chunks:
            if chunk.text:
                yield chunk.text


async def llama_index_texts(text: str) -> AsyncIterator[str]:
    async with aclosing(await LLM.astream_chat([ChatMessage(text)])) as responses:
        async for response in responses:
            if response.delta:
                yield response.delta


TEXTS = {"langchain": langchain_texts, "llama-index": llama_index_texts}


@app.get("/{framework}/stream")
@careless.get("/{framework}/stream")
async def stream(framework: str, text: str) -> StreamingResponse:
    """Server-sent events; it has a status of its own until the first text has come."""
    texts = TEXTS[framework](text)
    first = await anext(texts, "")

    async def events() -> AsyncIterator[str]:
        async with aclosing(texts):
            yield f"data: {json.dumps(first)}\n\n"
            try:
                async for more in texts:
                    yield f"data: {json.dumps(more)}\n\n"
            except StreamInterruptedError as error:
                partial = error.partial.text if error.partial else ""
                yield f"event: error\ndata: {json.dumps({'error': type(error).__name__, 'partial': partial})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/{framework}/plain-stream")
async def plain_stream(framework: str, text: str) -> StreamingResponse:
    """As most tutorials do it: errors are left to the server."""
    return StreamingResponse(TEXTS[framework](text))


@app.get("/langchain/blocking-stream")
def blocking_langchain(text: str) -> StreamingResponse:
    return StreamingResponse(chunk.text for chunk in MODEL.stream(text))


@app.get("/llama-index/blocking-stream")
def blocking_llama_index(text: str) -> StreamingResponse:
    def deltas() -> Iterator[str]:
        for response in LLM.stream_chat([ChatMessage(text)]):
            yield response.delta or ""

    return StreamingResponse(deltas())


@app.post("/collect")
def collect() -> int:
    return gc.collect()


@app.post("/close")
async def close() -> None:
    for model in (MODEL, LLM):
        model.close()
        await model.aclose()


@app.get("/langchain/blocking")
@careless.get("/langchain/blocking")
def invoke(text: str) -> str:
    return str(MODEL.invoke(text).text)


@app.get("/llama-index/blocking")
@careless.get("/llama-index/blocking")
def chat(text: str) -> str:
    return LLM.chat([ChatMessage(text)]).message.content or ""
