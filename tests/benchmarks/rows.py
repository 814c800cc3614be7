"""The rows of the benchmarks: what is done, by which clients, and what is to be reached.

    python tests/benchmarks/rows.py ROW CLIENT URL

does one row's work with one client, and prints its figures as JSON.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import canned
import clients
import work
from clients import CHATS, LLMS
from work import AT_ONCE, BATCH, CALLS, COUNTS, INSTANCES, MANY_TEXTS, TEXTS, Figures

FLOORS = ("httpx", "httpcore", "framework")


@dataclass(frozen=True)
class Goal:
    """What a row is to reach: at most so many times the figure of another client, or the sum of several."""

    ours: str
    over: tuple[str, ...]
    most: float
    figure: str = "cpu"


@dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes:
        way: how the server answers; the first part of its path.
        work: does it with one client, given its URL.
    """

    title: str
    work: Callable[[str, str], Figures]
    clients: tuple[str, ...]
    way: str = "now"
    goals: tuple[Goal, ...] = ()
    rounds: int | None = None  # instead of those asked for
    units: dict[str, str] = field(default_factory=lambda: {"cpu": "s of CPU"})


LC_PEERS = ("ChatOpenAI", "ChatMistralAI", "ChatGroq", "ChatLiteLLM")
SUM = ("framework", "httpx")
LEAST = "the least over httpx"
MEMORY = {"memory": "MB", "total": "MB in all"}

ROWS: dict[str, Row] = {
    "langchain-calls": Row(
        f"LangChain: {CALLS} calls in turn",
        partial(work.in_turn, CHATS, clients.langchain_floor),
        ("ChatOVHCloud", *LC_PEERS, *FLOORS),
        goals=(Goal("ChatOVHCloud", ("ChatMistralAI",), 0.75),),
    ),
    "langchain-deltas": Row(
        f"LangChain: {canned.DELTAS:,} text deltas at full speed",
        work.stream_deltas,
        ("ChatOVHCloud", "ChatOVHCloud, merge_deltas=False", *LC_PEERS, *SUM, LEAST),
        goals=(
            Goal("ChatOVHCloud", ("ChatMistralAI",), 0.25),
            Goal("ChatOVHCloud, merge_deltas=False", SUM, 1.1),
        ),
    ),
    "langchain-pieces": Row(
        f"LangChain: {canned.DELTAS:,} text deltas at full speed, each in an HTTP chunk of its own",
        work.stream_deltas,
        ("ChatOVHCloud", *LC_PEERS[:2], *SUM),
        way="pieces",
    ),
    "langchain-paced": Row(
        f"LangChain: {canned.PACED:,} deltas, one in a packet, 1 ms apart",
        work.paced,
        ("ChatOVHCloud", "ChatOpenAI", "ChatMistralAI", *SUM, LEAST),
        way="paced",
        goals=(Goal("ChatOVHCloud", SUM, 1.2),),
        units={"cpu": "s of CPU", "delay": "ms of delay", "p95": "ms of delay, 95th percentile"},
    ),
    "langchain-tool": Row(
        f"LangChain: a tool call in {canned.TOOL_DELTAS:,} deltas",
        work.stream_tool,
        ("ChatOVHCloud", "ChatOVHCloud, merge_deltas=False", *LC_PEERS),
        goals=(Goal("ChatOVHCloud", ("ChatOpenAI",), 0.25),),
    ),
    "langchain-vectors": Row(
        f"LangChain: {TEXTS:,} texts, {canned.WIDTH:,} wide, 25 in a request",
        work.vectors,
        ("OVHCloudEmbeddings", "OpenAIEmbeddings", "httpx"),
        goals=(Goal("OVHCloudEmbeddings", ("OpenAIEmbeddings",), 0.6),),
    ),
    "langchain-vectors-wall": Row(
        f"LangChain: {TEXTS:,} texts, 50 ms a request",
        work.vectors,
        ("OVHCloudEmbeddings", "OpenAIEmbeddings"),
        way="soon",
        goals=(Goal("OVHCloudEmbeddings", ("OpenAIEmbeddings",), 0.2, "wall"),),
        rounds=2,
        units={"wall": "s"},
    ),
    "langchain-at-once": Row(
        f"LangChain: {AT_ONCE} ainvoke at once",
        partial(work.at_once, CHATS, clients.langchain_floor),
        ("ChatOVHCloud", "ChatOVHCloud over aiohttp", *LC_PEERS, "framework"),
        way="late",
        goals=(
            Goal("ChatOVHCloud", ("ChatOpenAI",), 0.4),
            Goal("ChatOVHCloud over aiohttp", ("ChatOpenAI",), 0.25),
        ),
    ),
    "langchain-at-once-each": Row(
        f"LangChain: a call of {', '.join(f'{count:,}' for count in COUNTS)} at once",
        partial(work.at_once, CHATS, clients.langchain_floor, counts=COUNTS),
        ("ChatOVHCloud", "ChatOVHCloud over aiohttp", "ChatOpenAI"),
        way="late",
        units={str(count): f"ms of CPU, {count:,} at once" for count in COUNTS},
    ),
    "llama-index-calls": Row(
        f"LlamaIndex: {CALLS} chats in turn",
        partial(work.in_turn, LLMS, clients.llama_index_floor),
        ("ChatOVHCloud", "OVHcloud", "OpenAILike", *FLOORS),
        goals=(Goal("ChatOVHCloud", ("OVHcloud",), 0.4),),
    ),
    "llama-index-deltas": Row(
        f"LlamaIndex: {canned.DELTAS:,} text deltas at full speed",
        work.llama_deltas,
        ("ChatOVHCloud", "OVHcloud", "OpenAILike", "framework"),
        goals=(Goal("ChatOVHCloud", ("OpenAILike",), 0.12),),
    ),
    "llama-index-tool": Row(
        f"LlamaIndex: a tool call in {canned.TOOL_DELTAS:,} deltas",
        work.llama_tool,
        ("ChatOVHCloud", "OVHcloud", "OpenAILike"),
        goals=(Goal("ChatOVHCloud", ("OVHcloud",), 0.2),),
    ),
    "llama-index-vectors": Row(
        f"LlamaIndex: {TEXTS:,} texts, {canned.WIDTH:,} wide, 25 in a request",
        work.llama_vectors,
        ("OVHCloudEmbeddings", "OpenAILikeEmbedding"),
        goals=(Goal("OVHCloudEmbeddings", ("OpenAILikeEmbedding",), 0.6),),
    ),
    "llama-index-at-once": Row(
        f"LlamaIndex: {AT_ONCE} achat at once",
        partial(work.at_once, LLMS, clients.llama_index_floor),
        ("ChatOVHCloud", "ChatOVHCloud over aiohttp", "OVHcloud", "OpenAILike", "framework"),
        way="late",
        goals=(
            Goal("ChatOVHCloud", ("OVHcloud",), 0.35),
            Goal("ChatOVHCloud over aiohttp", ("OVHcloud",), 0.2),
        ),
    ),
    "instances": Row(
        f"{INSTANCES} instances",
        work.instances,
        ("ChatOVHCloud", *LC_PEERS),
        goals=(Goal("ChatOVHCloud", ("ChatMistralAI",), 0.2),),
    ),
    "langchain-import": Row(
        "LangChain: import and construct, above the import of its base class",
        partial(work.imported, "langchain_core.language_models.chat_models", "langchain_ovhcloud"),
        ("ChatOVHCloud", *LC_PEERS),
        goals=(Goal("ChatOVHCloud", ("ChatGroq",), 0.12),),
        units={"cpu": "ms of CPU"},
    ),
    "llama-index-import": Row(
        "LlamaIndex: import and construct, above the import of its core",
        partial(work.imported, "llama_index.core", "llama_index_ovhcloud"),
        ("ChatOVHCloud", "OVHcloud", "OpenAILike"),
        goals=(Goal("ChatOVHCloud", ("OpenAILike",), 0.08),),
        units={"cpu": "ms of CPU"},
    ),
    "abatch-memory": Row(
        f"abatch of {BATCH:,}: memory above that of a first batch",
        work.abatch,
        ("ChatOVHCloud", "framework"),
        goals=(Goal("ChatOVHCloud", ("framework",), 1.1, "memory"),),
        rounds=1,
        units=MEMORY,
    ),
    "embed-iter-memory": Row(
        f"embed_iter of {MANY_TEXTS:,} texts: memory above that of a tenth of them",
        work.embed_iter,
        ("OVHCloudEmbeddings",),
        way="narrow",
        rounds=1,
        units=MEMORY,
    ),
}


if __name__ == "__main__":
    name, client, url = sys.argv[1:]
    row = ROWS[name]
    print(json.dumps(row.work(client, f"{url}/{row.way}")))
