"""Counts the steps and bytes of once, twice and four times the work, of each kind, and prints them as JSON.

In a process of its own, since other threads, such as those of other tests, take bytes at any moment.
"""

import asyncio
import cProfile
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from llama_index.core.llms import ChatMessage

import langchain_ovhcloud as langchain
import llama_index_ovhcloud as llama_index
from ovhcloud_ai_endpoints.testing import LocalEndpoints

MODEL = "gpt-oss-120b"
TOOL = {
    "type": "function",
    "function": {"name": "store", "description": "Stores rows.", "parameters": {"type": "object", "properties": {}}},
}
Work = Callable[[], object]


def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({'id': 'c', 'model': MODEL, 'choices': [choice]})}\n\n".encode()


def of_texts(count: int) -> bytes:
    pieces = b"".join(event({"content": "word "}) for _ in range(count))
    return pieces + event({}, "stop") + b"data: [DONE]\n\n"


def of_arguments(count: int) -> bytes:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "store", "arguments": '{"rows": ['}}
    pieces = [{"index": 0, "function": {"arguments": "1, "}} for _ in range(count)]
    calls = [call, *pieces, {"index": 0, "function": {"arguments": "1]}"}}]
    stream = b"".join(event({"tool_calls": [one]}) for one in calls)
    return stream + event({}, "tool_calls") + b"data: [DONE]\n\n"


def answered(server: LocalEndpoints, work: Work, *reply: Any, **more: Any) -> Work:
    """The work, before each of whose runs the server learns its reply."""

    def run() -> object:
        server.reply(*reply, **more)
        return work()

    return run


def lc_chat(server: LocalEndpoints, **more: Any) -> langchain.ChatOVHCloud:
    return langchain.ChatOVHCloud(model=MODEL, base_url=server.base_url, api_key=server.api_key, **more)


def li_chat(server: LocalEndpoints, **more: Any) -> llama_index.ChatOVHCloud:
    return llama_index.ChatOVHCloud(model=MODEL, base_url=server.base_url, api_key=server.api_key, **more)


def lc_deltas(server: LocalEndpoints, count: int) -> Work:
    model = lc_chat(server, merge_deltas=False)
    return answered(server, lambda: sum(1 for _ in model.stream("Hello")), events=[of_texts(count)])


def li_deltas(server: LocalEndpoints, count: int) -> Work:
    model = li_chat(server, merge_deltas=False)
    return answered(server, lambda: sum(1 for _ in model.stream_chat([ChatMessage("Hello")])), events=[of_texts(count)])


def lc_arguments(server: LocalEndpoints, count: int) -> Work:
    model = lc_chat(server, merge_deltas=False).bind_tools([TOOL])
    return answered(server, lambda: sum(1 for _ in model.stream("Hello")), events=[of_arguments(count)])


def li_arguments(server: LocalEndpoints, count: int) -> Work:
    model = li_chat(server, merge_deltas=False)
    hello = [ChatMessage("Hello")]
    return answered(
        server, lambda: sum(1 for _ in model.stream_chat(hello, tools=[TOOL])), events=[of_arguments(count)]
    )


def lc_embeddings(server: LocalEndpoints, count: int) -> Work:
    model = langchain.OVHCloudEmbeddings(base_url=server.base_url, api_key=server.api_key, max_concurrency=1)
    return lambda: model.embed_documents([f"text {at}" for at in range(count)])


def lc_at_once(server: LocalEndpoints, count: int) -> Work:
    model = lc_chat(server)

    async def main() -> None:
        await asyncio.gather(*(model.ainvoke("Hello") for _ in range(count)))

    return lambda: asyncio.run(main())


def li_at_once(server: LocalEndpoints, count: int) -> Work:
    model = li_chat(server)

    async def main() -> None:
        await asyncio.gather(*(model.achat([ChatMessage("Hello")]) for _ in range(count)))

    return lambda: asyncio.run(main())


def lc_history(server: LocalEndpoints, count: int) -> Work:
    history: list[BaseMessage] = []
    for at in range(count):
        call = {"name": "store", "args": {"at": at}, "id": f"call_{at}"}
        history += [HumanMessage("Go on"), AIMessage("", tool_calls=[call]), ToolMessage("ok", tool_call_id=call["id"])]
    model = lc_chat(server)
    return lambda: model.invoke([*history, HumanMessage("Hello")])


def li_history(server: LocalEndpoints, count: int) -> Work:
    history: list[ChatMessage] = []
    for at in range(count):
        call = {"id": f"call_{at}", "type": "function", "function": {"name": "store", "arguments": "{}"}}
        history += [
            ChatMessage("Go on"),
            ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]}),
            ChatMessage(role="tool", content="ok", additional_kwargs={"tool_call_id": call["id"]}),
        ]
    model = li_chat(server)
    return lambda: model.chat([*history, ChatMessage("Hello")])


def lc_schema(server: LocalEndpoints, count: int) -> Work:
    fields = {f"field_{at}": {"type": "integer", "description": f"Field {at}"} for at in range(count)}
    schema = {"title": "Row", "description": "A row.", "type": "object", "properties": fields}
    model = lc_chat(server).with_structured_output(schema)
    return answered(server, lambda: model.invoke("Hello"), json.dumps(dict.fromkeys(fields, 1)))


def lc_tool_schema(server: LocalEndpoints, count: int) -> Work:
    fields = {f"field_{at}": {"type": "array", "items": {"type": "integer"}} for at in range(count)}
    schema = {"title": "Row", "description": "A row.", "type": "object", "properties": fields}
    model = lc_chat(server).with_structured_output(schema, method="function_calling")
    return answered(server, lambda: model.invoke("Hello"), tool_calls=[("Row", dict.fromkeys(fields, "[1, 2]"))])


KINDS = {
    "deltas, LangChain": (lc_deltas, 400),
    "deltas, LlamaIndex": (li_deltas, 400),
    "deltas of arguments, LangChain": (lc_arguments, 200),
    "deltas of arguments, LlamaIndex": (li_arguments, 200),
    "texts, LangChain": (lc_embeddings, 50),
    "calls at once, LangChain": (lc_at_once, 12),
    "calls at once, LlamaIndex": (li_at_once, 12),
    "messages, LangChain": (lc_history, 50),
    "messages, LlamaIndex": (li_history, 50),
    "fields of a schema": (lc_schema, 50),
    "fields of a tool's schema": (lc_tool_schema, 50),
}


def steps(work: Work) -> int:
    """Calls of functions by this thread."""
    with cProfile.Profile() as profile:
        work()
    return sum(entry.callcount for entry in profile.getstats())


def most_bytes(work: Work) -> int:
    """Bytes held at the most, the local server's too."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def measured(kind: str) -> tuple[list[int], list[int]]:
    """Steps and bytes for once, twice and four times the work."""
    made, count = KINDS[kind]
    with LocalEndpoints(requests_per_minute=100_000) as server:
        first = made(server, count)
        first(), first()  # what is done once
        works = [made(server, count * times) for times in (1, 2, 4)]
        return [steps(work) for work in works], [most_bytes(work) for work in works]


gc.disable()
for kind in KINDS:
    sys.stdout.write(json.dumps([kind, *measured(kind)]) + "\n")
    gc.collect()
