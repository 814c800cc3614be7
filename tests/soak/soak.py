"""Load and faults for some minutes: python tests/soak/soak.py --seconds 120

In another process a local AI Endpoints hits 5 % of all requests with a fault of its table, by chance. Here 64 tasks
chat, whole and in streams, with both frameworks, while 8 threads embed, and go on where a run was interrupted. Every
call must end in the right result or in a typed error, and all vectors must be those of a run without faults. Then come
10,000 calls and 1,000 streams that are cancelled. Open files and memory must stay flat.
"""

import argparse
import asyncio
import gc
import itertools
import json
import logging
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints import EmbeddingsInterruptedError, OVHCloudError, Timeouts
from ovhcloud_ai_endpoints.testing import FAULTS, LocalEndpoints

SHARE = 0.05
TASKS, THREADS = 64, 8
# Believed by all who share the key and the model, who then get an error at once for a minute, as they should.
LEFT_OUT = {"429-absurd"}
MOST_MEGABYTES = 30  # that the process may grow by after its first quarter, which fills caches and pools
CORPUS = [f"Document {at}: {'word ' * (at % 50)}" for at in range(1000)]
SETTINGS: dict[str, Any] = {"max_retries": 2, "timeout": Timeouts(connect=5, first_event=8, idle=3)}

Vectors = dict[str, list[float]]


def serve(pipe: Connection) -> None:
    """The server, in its own process; what is sent to it says how to go on."""
    with LocalEndpoints(requests_per_minute=10**9) as server:
        pipe.send((server.base_url, server.api_key))
        while (order := pipe.recv()) != "end":
            if order == "fail":
                server.fail_at_random(SHARE, faults=[name for name in FAULTS if name not in LEFT_OUT], seed=6)
            elif order == "stop failing":
                server.fail_at_random(0)
            else:
                pipe.send((len(server.requests), Counter(server.failures)))
                server.reset()


class Tally:
    """What came of it."""

    def __init__(self) -> None:
        self.right = Counter[str]()
        self.errors = Counter[str]()
        self.wrong: list[str] = []

    def note(self, what: str, got: object, expected: object) -> None:
        if got == expected:
            self.right[what] += 1
        else:
            self.wrong.append(f"{what}: {got!r:.200}")


def process() -> tuple[int, float]:
    """Open files, and megabytes in memory."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), resident / 1e6  # noqa: PTH208 - names are enough


FAULTY = "Half of it, and the rest."  # what streams say that a fault does no harm to


def right_text(text: str, question: str) -> bool:
    return text == FAULTY or text.endswith(question)


async def chat(worker: int, asked: "itertools.count[int]", end: float, tally: Tally, where: dict[str, Any]) -> None:
    model = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **where, **SETTINGS)
    llm = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **where, **SETTINGS)

    async def langchain(question: str) -> str:
        return str((await model.ainvoke(question)).text)

    async def langchain_stream(question: str) -> str:
        return "".join([str(chunk.text) async for chunk in model.astream(question)])

    async def llama_index(question: str) -> str:
        return str((await llm.achat([ChatMessage(question)])).message.content)

    async def llama_index_stream(question: str) -> str:
        return "".join([str(piece.delta) async for piece in await llm.astream_chat([ChatMessage(question)])])

    ways = [langchain, langchain_stream, llama_index, llama_index_stream]
    while time.monotonic() < end:
        way, question = ways[(worker + next(asked)) % 4], f"Number {random.randrange(10**9)} it is"
        try:
            text = await way(question)
        except OVHCloudError as error:
            tally.errors[type(error).__name__] += 1
        else:
            tally.note(way.__name__, right_text(text, question) or text, True)


def embedder(worker: int, where: dict[str, Any]) -> Callable[[list[str]], list[list[float]]]:
    if worker % 2:
        return langchain_ovhcloud.OVHCloudEmbeddings(**where, **SETTINGS).embed_documents
    return llama_index_ovhcloud.OVHCloudEmbeddings(**where, **SETTINGS).get_text_embedding_batch


def embed(worker: int, end: float, tally: Tally, where: dict[str, Any], right: Vectors) -> None:
    """Embeds lists of texts to the end, as an ingestion would that goes on after a failure."""
    embedded, chance = embedder(worker, where), random.Random(worker)
    while time.monotonic() < end:
        texts = chance.sample(CORPUS, 120)
        left = dict(enumerate(texts))
        found: dict[int, list[float]] = {}
        while left:
            places = list(left)
            try:
                found |= dict(zip(places, embedded(list(left.values())), strict=True))
                left = {}
            except EmbeddingsInterruptedError as error:
                tally.errors[type(error.__cause__).__name__ + " in a run that went on"] += 1
                found |= {places[place]: vector for place, vector in error.vectors.items()}
                left = {places[place]: text for place, text in error.remaining.items()}
            except OVHCloudError as error:
                tally.errors[type(error).__name__ + " before any vector"] += 1
        tally.note("embedding runs", [found[place] for place in range(len(texts))], [right[text] for text in texts])


async def faults(seconds: float, tally: Tally, where: dict[str, Any], right: Vectors) -> list[tuple[int, float]]:
    """The load; open files and megabytes after each quarter of it."""
    end, asked = time.monotonic() + seconds, itertools.count()
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(THREADS)
    threads = [loop.run_in_executor(pool, embed, at, end, tally, where, right) for at in range(THREADS)]
    tasks = [asyncio.create_task(chat(at, asked, end, tally, where)) for at in range(TASKS)]
    seen = []
    for _ in range(4):
        await asyncio.sleep(seconds / 4)
        seen.append(process())
    await asyncio.gather(*tasks, *threads)
    return seen


async def calls(count: int, where: dict[str, Any]) -> None:
    llm = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **where)
    for _ in range(count // 50):
        await asyncio.gather(*(llm.acomplete("Hello") for _ in range(50)))


async def cancelled_streams(count: int, where: dict[str, Any]) -> None:
    """Streams that are cancelled at any moment, before they begin, as they begin, on their way."""
    model, chance = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **where), random.Random(1)

    async def read() -> None:
        async for _ in model.astream("Hello " * 200):
            pass

    for _ in range(count // 20):
        tasks = [asyncio.create_task(read()) for _ in range(20)]
        for task in tasks:
            await asyncio.sleep(chance.random() / 200)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def flatness(where: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    await calls(1000, where)
    await cancelled_streams(100, where)
    seen: dict[str, list[tuple[int, float]]] = {"calls": [process()], "cancelled streams": []}
    for _ in range(2):
        await calls(5000, where)
        seen["calls"].append(process())
    seen["cancelled streams"].append(process())
    for _ in range(2):
        await cancelled_streams(500, where)
        seen["cancelled streams"].append(process())
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    seconds = parser.parse_args().seconds
    logging.getLogger("ovhcloud_ai_endpoints").setLevel(logging.CRITICAL)

    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    base_url, key = ours.recv()
    where, tally = {"base_url": base_url, "api_key": key}, Tally()
    right = dict(zip(CORPUS, embedder(1, where)(CORPUS), strict=True))

    ours.send("fail")
    loaded = asyncio.run(faults(seconds, tally, where, right))
    ours.send("stop failing")
    ours.send("report")
    requests, hit = ours.recv()
    flat = asyncio.run(flatness(where))
    ours.send("end")
    server.join(10)

    print(f"{seconds:.0f} s of {TASKS} tasks and {THREADS} threads: {requests:,} requests")
    print(f"faults: {sum(hit.values()):,} ({len(hit)} kinds), {100 * sum(hit.values()) / requests:.1f} % of requests")
    print(f"right: {json.dumps(tally.right)}")
    print(f"typed errors: {json.dumps(tally.errors)}")
    print(f"wrong: {tally.wrong[:5] or 'none'}")
    print(f"open files and MB after each quarter: {[(files, round(mb)) for files, mb in loaded]}")
    for name, seen in flat.items():
        print(f"open files and MB before, between and after {name}: {[(files, round(mb)) for files, mb in seen]}")
    grown = max(loaded[-1][1] - loaded[0][1], *(seen[-1][1] - seen[0][1] for seen in flat.values()))
    files = max(seen[-1][0] - seen[1][0] for seen in flat.values())  # the first half opens what the pool then keeps
    is_well = not tally.wrong and grown < MOST_MEGABYTES and files <= 20 and len(tally.right) == 5
    print("held" if is_well else "FAILED")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
