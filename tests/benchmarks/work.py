"""What is measured: each function does one kind of work with one client, and checks what the answers say.

They return figures by unit: seconds of CPU and of wall time, megabytes, and others.
"""

import asyncio
import cProfile
import gc
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import canned
import clients
from clients import CHATS, EMBEDDINGS, LLAMA_EMBEDDINGS, LLMS

CALLS = 200
AT_ONCE = 400
COUNTS = (25, 100, 400, 1600)
TEXTS = 4096
INSTANCES = 200
BATCH = 10_000
FIRST_BATCH = 500
MANY_TEXTS = 1_000_000
QUESTION = "Tell me about the sea."

PACKAGES = {  # to import from
    "ChatOpenAI": "langchain_openai",
    "ChatMistralAI": "langchain_mistralai",
    "ChatGroq": "langchain_groq",
    "ChatLiteLLM": "langchain_litellm",
    "OVHcloud": "llama_index.llms.ovhcloud",
    "OpenAILike": "llama_index.llms.openai_like",
}
Figures = dict[str, float]
Made = dict[str, Callable[..., Any]]


is_counting = False  # whether to count calls of functions, too, which takes several times as long


@contextmanager
def timed(figures: Figures) -> Iterator[None]:
    """Times a block; or counts the calls in it, with a profiler, of this thread only."""
    profile = cProfile.Profile() if is_counting else nullcontext()
    gc.collect()
    began, cpu = time.perf_counter(), time.process_time()
    with profile:
        yield
    figures["cpu"] = time.process_time() - cpu
    figures["wall"] = time.perf_counter() - began
    if isinstance(profile, cProfile.Profile):
        figures["calls"] = sum(entry.callcount for entry in profile.getstats())


def in_turn(made: Made, floor: Callable[..., Any], client: str, url: str) -> Figures:
    """So many calls, one after the other, after a first one."""
    call: Callable[[], str]
    if client in clients.BARE:
        call = clients.BARE[client](url)
    else:
        chat = floor([]) if client == "framework" else made[client](url)
        call = (lambda: chat.invoke(QUESTION).text) if made is CHATS else (lambda: chat.chat(asked()).message.content)
    figures: Figures = {}
    call()
    with timed(figures):
        answers = [call() for _ in range(CALLS)]
    assert set(answers) == {canned.TEXT}
    return figures


def asked() -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content=QUESTION)]


def tool() -> Any:
    return {
        "type": "function",
        "function": {
            "name": canned.TOOL,
            "description": "Stores rows.",
            "parameters": {
                "type": "object",
                "properties": {"rows": {"type": "array", "items": {"type": "object"}}},
                "required": ["rows"],
            },
        },
    }


def read_by_httpx(url: str, *, with_tools: bool = False) -> bytes:
    """The whole body of a stream."""
    import httpx

    body: dict[str, Any] = {"model": canned.MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    if with_tools:
        body["tools"] = [tool()]
    with httpx.Client() as session, session.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        return b"".join(response.iter_bytes())


def stream_deltas(client: str, url: str) -> Figures:
    """A stream of so many deltas, at full speed, with LangChain."""
    figures: Figures = {}
    whole = "".join(canned.deltas())
    if client == "httpx":
        import httpx  # noqa: F401 - not to be timed

        with timed(figures):
            body = read_by_httpx(url)
        assert body.endswith(b"data: [DONE]\n\n")
        return figures
    chat = clients.langchain_floor(list(canned.deltas())) if client == "framework" else CHATS[client](url)
    first(chat, client)
    with timed(figures):
        texts = [str(chunk.text) for chunk in chat.stream(QUESTION)]
    assert "".join(texts) == whole
    figures["chunks"] = len(texts)
    return figures


def first(chat: Any, client: str) -> None:
    """A first call, so that the time of imports is not counted."""
    if client != "framework":
        chat.invoke(QUESTION)


def stream_tool(client: str, url: str) -> Figures:
    """A stream of a tool call in so many deltas, with LangChain, added up by the caller."""
    figures: Figures = {}
    chat = CHATS[client](url)
    first(chat, client)
    model = chat.bind_tools([tool()])
    with timed(figures):
        chunks = list(model.stream(QUESTION))
        whole = chunks[0] + chunks[1:] if hasattr(chunks[0], "__add__") and len(chunks) > 1 else chunks[0]
        calls = whole.tool_calls
    assert [(call["name"], call["args"]) for call in calls] == [(canned.TOOL, {"rows": canned.rows()})]
    figures["chunks"] = len(chunks)
    return figures


def paced(client: str, url: str) -> Figures:
    """A stream of one delta in a packet, 1 ms apart, with LangChain; and how long after its packet each arrives."""
    figures: Figures = {}
    delays: list[float] = []
    if client == "framework":
        return stream_deltas_of(clients.langchain_floor([f"{time.monotonic():.6f} "] * canned.PACED))
    if client == "httpx":
        import httpx

        body = {"model": canned.MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        stamp = re.compile(rb'"content":"([0-9.]+) "')
        with (
            httpx.Client() as session,
            timed(figures),
            session.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
        ):
            for data in response.iter_bytes():
                now = time.monotonic()
                delays += [now - float(found) for found in stamp.findall(data)]
    else:
        chat = CHATS[client](url)
        first(chat, client)
        with timed(figures):
            for chunk in chat.stream(QUESTION):
                now = time.monotonic()
                delays += [now - float(found) for found in str(chunk.text).split()]
    assert len(delays) == canned.PACED
    figures["delay"] = statistics.median(delays) * 1000
    figures["p95"] = statistics.quantiles(delays, n=20)[-1] * 1000
    return figures


def stream_deltas_of(chat: Any) -> Figures:
    figures: Figures = {}
    with timed(figures):
        for chunk in chat.stream(QUESTION):
            assert chunk is not None
    return figures


def llama_deltas(client: str, url: str) -> Figures:
    """A stream of so many deltas, at full speed, with LlamaIndex."""
    figures: Figures = {}
    llm = clients.llama_index_floor(list(canned.deltas())) if client == "framework" else LLMS[client](url)
    llm.chat(asked())
    response: Any = None
    count, size = 0, 0
    with timed(figures):
        for response in llm.stream_chat(asked()):
            count += 1
            size += len(response.delta or "")
    whole = "".join(canned.deltas())
    assert size == len(whole)
    assert response.message.content == whole
    figures["chunks"] = count
    return figures


def llama_tool(client: str, url: str) -> Figures:
    """A stream of a tool call in so many deltas, with LlamaIndex."""
    from llama_index.core.tools import FunctionTool, ToolMetadata

    def store(rows: list[dict[str, Any]]) -> str:
        return str(len(rows))

    function = FunctionTool(fn=store, metadata=ToolMetadata(name=canned.TOOL, description="Stores rows."))
    figures: Figures = {}
    llm = LLMS[client](url)
    llm.chat(asked())
    with timed(figures):
        responses = list(llm.stream_chat_with_tools([function], user_msg=QUESTION))
        calls = llm.get_tool_calls_from_response(responses[-1])
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [(canned.TOOL, {"rows": canned.rows()})]
    figures["chunks"] = len(responses)
    return figures


def vectors(client: str, url: str) -> Figures:
    """Vectors of so many texts, with either framework."""
    texts = [f"text {at}" for at in range(TEXTS)]
    figures: Figures = {}
    embed: Callable[[list[str]], list[list[float]]]
    if client == "httpx":
        import httpx

        session = httpx.Client()

        def embed(texts: list[str]) -> list[list[float]]:
            found: list[list[float]] = []
            for at in range(0, len(texts), 25):
                body = {"model": "bge-m3", "input": texts[at : at + 25]}
                answer = session.post(f"{url}/v1/embeddings", json=body).json()
                found += [item["embedding"] for item in answer["data"]]
            return found
    else:
        embed = EMBEDDINGS[client](url).embed_documents
    embed(texts[:1])
    with timed(figures):
        found = embed(texts)
    check_vectors(found)
    return figures


def llama_vectors(client: str, url: str) -> Figures:
    texts = [f"text {at}" for at in range(TEXTS)]
    figures: Figures = {}
    model = LLAMA_EMBEDDINGS[client](url)
    model.get_text_embedding_batch(texts[:1])
    with timed(figures):
        found = model.get_text_embedding_batch(texts)
    check_vectors(found)
    return figures


def check_vectors(found: list[list[float]]) -> None:
    assert len(found) == TEXTS
    sent = [canned.vector(at) for at in range(canned.VECTORS)]
    for at, vector in enumerate(found):
        assert type(vector) is list
        expected = sent[at % canned.VECTORS]
        assert len(vector) == canned.WIDTH
        assert abs(vector[at % canned.WIDTH] - expected[at % canned.WIDTH]) < 1e-7
    assert max(abs(a - b) for a, b in zip(found[-1], canned.vector(TEXTS - 1), strict=True)) < 1e-7


def at_once(
    made: Made, floor: Callable[..., Any], client: str, url: str, *, counts: tuple[int, ...] = (AT_ONCE,)
) -> Figures:
    """So many awaited calls at once, each answered after a while, so that each has a connection; after a first one.

    Of several counts, the milliseconds of CPU of a call.
    """
    figures: Figures = {}
    chat = floor([]) if client == "framework" else made[client](url)

    async def call() -> str:
        if made is CHATS:
            return str((await chat.ainvoke(QUESTION)).text)
        return str((await chat.achat(asked())).message.content)

    async def main() -> None:
        await call()
        for count in counts:
            with timed(figures):
                answers = await asyncio.gather(*(call() for _ in range(count)))
            figures[str(count)] = figures["cpu"] / count * 1000
            assert set(answers) == {canned.TEXT}

    asyncio.run(main())
    return figures


def instances(client: str, url: str) -> Figures:
    """So many objects, after a first one."""
    make = CHATS[client]
    figures: Figures = {}
    make(url)
    with timed(figures):
        made = [make(url) for _ in range(INSTANCES)]
    assert len(made) == INSTANCES
    return figures


def imported(base: str, ours: str, client: str, _: str) -> Figures:
    """Import and a first object in a fresh process, above the import of the framework's base classes."""
    made = f"from {PACKAGES.get(client, ours)} import {client}; {client}(model='{canned.MODEL}', api_key='key')"
    code = f"import time, {base}; t = time.process_time(); {made}; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {"cpu": float(done.stdout) * 1000}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def abatch(client: str, url: str) -> Figures:
    """The memory that so many inputs of one `abatch` take, after a batch that opens all connections."""
    chat = clients.langchain_floor([]) if client == "framework" else CHATS[client](url)
    questions = [f"{QUESTION} {at}" for at in range(BATCH)]
    figures: Figures = {}

    async def main() -> None:
        await chat.abatch(questions[:FIRST_BATCH])
        gc.collect()
        before = peak_mb()
        with timed(figures):
            answers = await chat.abatch(questions)
        figures.update(memory=peak_mb() - before, total=peak_mb())
        assert len(answers) == BATCH
        assert {str(answer.text) for answer in answers} == {canned.TEXT}

    asyncio.run(main())
    return figures


def embed_iter(client: str, url: str) -> Figures:
    """The memory that `embed_iter` takes for a million texts, after a tenth of them."""
    model = EMBEDDINGS[client](url)
    figures: Figures = {}
    tenth, count = 0.0, 0
    with timed(figures):
        for count, vector in enumerate(model.embed_iter(f"text {at}" for at in range(MANY_TEXTS)), 1):
            if count == MANY_TEXTS // 10:
                tenth = peak_mb()
            assert len(vector) == canned.NARROW
    assert count == MANY_TEXTS
    return {"memory": peak_mb() - tenth, "total": peak_mb(), **figures}
