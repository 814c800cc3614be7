import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections import UserList
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from standard.lifecycles import until

from llama_index_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints import BadRequestError, EmbeddingsInterruptedError, InvalidResponseError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture(params=["sync", "async"])
def embed_batch(request: pytest.FixtureRequest) -> Any:
    def embed(embeddings: OVHCloudEmbeddings, texts: list[str], **kwargs: Any) -> list[list[float]]:
        if request.param == "sync":
            return embeddings.get_text_embedding_batch(texts, **kwargs)
        return asyncio.run(embeddings.aget_text_embedding_batch(texts, **kwargs))

    return embed


def test_index_is_embedded_with_eight_requests_at_once(server: LocalEndpoints) -> None:
    nodes = [TextNode(text="x", id_=str(at)) for at in range(200)]
    server.reply(until=lambda: len(server.requests) >= 8, times=8)

    index = VectorStoreIndex(nodes, embed_model=OVHCloudEmbeddings())

    assert len(index.vector_store.to_dict()["embedding_dict"]) == 200
    assert len(server.requests) == 8


@pytest.mark.parametrize(
    "options", [{"num_workers": 12}, {"max_concurrency": 12}, {"max_concurrency": 3, "num_workers": 12}]
)
def test_workers_are_as_many_as_asked_for(server: LocalEndpoints, embed_batch: Any, options: Any) -> None:
    embeddings = pickle.loads(pickle.dumps(OVHCloudEmbeddings(embed_batch_size=1, **options)))
    server.reply(until=lambda: len(server.requests) >= 12, times=12)

    assert len(embed_batch(embeddings, ["x"] * 12)) == 12


def test_workers_are_no_more_than_asked_for(server: LocalEndpoints, embed_batch: Any) -> None:
    deadline = time.monotonic() + 0.3
    waiting: list[int] = []

    def is_over() -> bool:
        if time.monotonic() > deadline:
            waiting.append(len(server.requests))
        return bool(waiting)

    server.reply(until=is_over, times=12)
    embed_batch(OVHCloudEmbeddings(embed_batch_size=1, num_workers=3), ["x"] * 12)

    assert waiting[0] == 3


def test_failure_on_the_way_loses_nothing_of_any_length(server: LocalEndpoints, embed_batch: Any) -> None:
    texts = [f"text {at}" for at in range(2_100)]
    server.reply(times=83)
    server.reply(status=500)

    with pytest.raises(EmbeddingsInterruptedError, match="2075 of 2100") as caught:
        embed_batch(OVHCloudEmbeddings(max_concurrency=1, max_retries=0), texts)

    assert caught.value.remaining == {at: texts[at] for at in range(2_075, 2_100)}


def test_run_goes_on_where_it_failed_if_there_is_a_cache(server: LocalEndpoints, embed_batch: Any) -> None:
    texts = ["a", "b", "c", "d", "a"]
    embeddings = OVHCloudEmbeddings(
        embeddings_cache=SimpleKVStore(), embed_batch_size=1, max_concurrency=1, max_retries=0
    )
    server.reply(times=2)
    server.reply(status=500)
    with pytest.raises(EmbeddingsInterruptedError, match="2 of 5"):
        embed_batch(embeddings, texts)
    server.requests.clear()

    found = embed_batch(embeddings, texts)

    assert [request.json["input"] for request in server.requests] == [["c"], ["d"]]
    assert found == [OVHCloudEmbeddings().get_text_embedding(text) for text in texts]


def test_run_that_is_cancelled_keeps_what_is_done_in_the_cache(server: LocalEndpoints) -> None:
    embeddings = OVHCloudEmbeddings(embeddings_cache=SimpleKVStore(), embed_batch_size=1, max_concurrency=1)
    server.reply()
    server.reply(pause=10)

    async def main() -> None:
        task = asyncio.create_task(embeddings.aget_text_embedding_batch(["a", "b"]))
        await until(lambda: len(server.requests) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert list(embeddings.embeddings_cache.get("a", collection="embeddings")) == ["bge-m3"]
    assert embeddings.embeddings_cache.get("b", collection="embeddings") is None


def test_failure_that_adds_nothing_to_the_cache_is_raised_as_it_is(server: LocalEndpoints, embed_batch: Any) -> None:
    embeddings = OVHCloudEmbeddings(embeddings_cache=SimpleKVStore())
    embed_batch(embeddings, ["a"])
    server.reply(status=400)

    with pytest.raises(BadRequestError):
        embed_batch(embeddings, ["a", "b"])


def test_cache_of_another_class_is_not_believed_but_kept(server: LocalEndpoints, embed_batch: Any) -> None:
    cache = SimpleKVStore()
    cache.put("a", {"5f0c": [0.5]}, collection="embeddings")

    found = embed_batch(OVHCloudEmbeddings(embeddings_cache=cache), ["a"])

    assert list(cache.get("a", collection="embeddings").items()) == [("5f0c", [0.5]), ("bge-m3", found[0])]


def test_cache_knows_what_vectors_depend_on(server: LocalEndpoints) -> None:
    cache = SimpleKVStore()
    options: list[dict[str, Any]] = [{}, {"dimensions": 64}, {"extra_body": {"dimensions": 32}}]

    widths = [
        len(OVHCloudEmbeddings(model="Qwen3-Embedding-8B", embeddings_cache=cache, **one).get_text_embedding("a"))
        for one in options
    ]

    assert widths == [4096, 64, 32]


def test_cache_knows_questions_from_documents(server: LocalEndpoints) -> None:
    embeddings = OVHCloudEmbeddings(embeddings_cache=SimpleKVStore(), query_instruction="Q: ")

    assert embeddings.get_text_embedding("a") != embeddings.get_query_embedding("a")


@pytest.mark.parametrize("name", ["model", "model_name"])
def test_model_has_both_names(name: str) -> None:
    assert OVHCloudEmbeddings(**{name: "Qwen3-Embedding-8B"}).model_name == "Qwen3-Embedding-8B"


@pytest.mark.parametrize("name", ["embed_batch_size", "batch_size", "chunk_size"])
def test_size_of_a_batch_has_the_names_of_both_frameworks(server: LocalEndpoints, name: str) -> None:
    OVHCloudEmbeddings(**{name: 2}).get_text_embedding_batch(["x"] * 4)

    assert [len(request.json["input"]) for request in server.requests] == [2, 2]


def test_copy_has_all_settings_though_what_is_saved_has_not() -> None:
    embeddings = OVHCloudEmbeddings(dimensions=64, timeout=5, num_workers=2)

    assert embeddings.model_copy().timeout == 5
    assert embeddings.model_dump()["num_workers"] == 2
    assert set(OVHCloudEmbeddings().to_dict()) == {
        "base_url",
        "class_name",
        "dimensions",
        "document_instruction",
        "extra_body",
        "model_name",
        "query_instruction",
        "truncate",
    }


@pytest.mark.timeout(60)  # two processes import LlamaIndex
def test_ingestion_may_have_processes_of_its_own(server: LocalEndpoints, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        """
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index_ovhcloud import OVHCloudEmbeddings

if __name__ == "__main__":
    pipeline = IngestionPipeline(transformations=[OVHCloudEmbeddings()])
    nodes = pipeline.run(nodes=[TextNode(text=str(at)) for at in range(4)], num_workers=2)
    print([len(node.embedding) for node in nodes])
"""
    )
    ran = subprocess.run(
        [sys.executable, str(app)], env={**os.environ, **server.environ}, capture_output=True, text=True, check=False
    )

    assert ran.stdout.strip() == "[1024, 1024, 1024, 1024]", ran.stderr
    assert {request.api_key for request in server.requests} == {server.api_key}


@pytest.mark.parametrize("name", ["bge@latest", "embeddings@cheapest?context_size>1000"])
def test_virtual_name_is_refused_since_it_may_mean_another_model_tomorrow(name: str) -> None:
    with pytest.raises(ValueError, match=r"another model tomorrow.*bge-m3"):
        OVHCloudEmbeddings(model=name)


def test_cache_is_filled_as_vectors_come(server: LocalEndpoints, embed_batch: Any) -> None:
    cache, sizes = SimpleKVStore(), []

    class Watching:
        def acquire(self) -> None:
            sizes.append(len(cache.get_all(collection="embeddings")))

        async def async_acquire(self) -> None:
            self.acquire()

    embeddings = OVHCloudEmbeddings(
        embeddings_cache=cache, embed_batch_size=1, max_concurrency=1, rate_limiter=Watching()
    )
    embed_batch(embeddings, ["a", "b", "c"])

    assert sizes == [0, 1, 2]


def test_cache_that_fails_is_told_with_what_is_done(server: LocalEndpoints, embed_batch: Any) -> None:
    class Full(SimpleKVStore):
        def put(self, key: str, val: dict[str, Any], collection: str = "") -> None:
            raise OSError("disk is full")

    with pytest.raises(EmbeddingsInterruptedError, match="disk is full") as caught:
        embed_batch(OVHCloudEmbeddings(embeddings_cache=Full(), embed_batch_size=1, max_concurrency=1), ["a", "b"])

    assert list(caught.value.vectors) == [0]


def test_one_text_is_no_list_of_texts(server: LocalEndpoints, embed_batch: Any) -> None:
    with pytest.raises(TypeError, match="texts must be a list of strings; got a str"):
        embed_batch(OVHCloudEmbeddings(), "hello")
    assert server.requests == []


def test_payload_says_what_is_embedded_with() -> None:
    assert OVHCloudEmbeddings(api_key="sk-hidden", dimensions=64).to_payload() == {
        "class_name": "OVHCloudEmbeddings",
        "model_name": "bge-m3",
        "dimensions": 64,
        "embed_batch_size": 25,
    }


def test_schema_of_the_class_can_be_made() -> None:
    assert "on_usage" in OVHCloudEmbeddings.model_json_schema()["properties"]


def test_vectors_of_a_cache_are_not_those_of_the_caller(server: LocalEndpoints, embed_batch: Any) -> None:
    embeddings = OVHCloudEmbeddings(embeddings_cache=SimpleKVStore())

    embed_batch(embeddings, ["a"])[0].clear()
    embed_batch(embeddings, ["a"])[0].clear()

    assert len(embed_batch(embeddings, ["a"])[0]) == 1024


@pytest.mark.parametrize("rubbish", [[0.5], {"bge-m3": None}, {"bge-m3": []}, {"bge-m3": [float("nan")]}])
def test_rubbish_in_a_cache_is_no_vector(server: LocalEndpoints, embed_batch: Any, rubbish: Any) -> None:
    cache = SimpleKVStore()
    cache.put("a", rubbish, collection="embeddings")

    assert len(embed_batch(OVHCloudEmbeddings(embeddings_cache=cache), ["a"])[0]) == 1024


@pytest.mark.parametrize("error", [SystemExit("enough"), KeyboardInterrupt()])
def test_end_of_the_program_in_a_worker_is_not_lost(server: LocalEndpoints, error: BaseException) -> None:
    class Ending:
        def acquire(self) -> None:
            raise error

    with pytest.raises(type(error)):
        OVHCloudEmbeddings(embed_batch_size=1, rate_limiter=Ending()).get_text_embedding_batch(["x"] * 9)
    assert server.requests == []


async def test_cancelled_limiter_leaves_no_task_behind(server: LocalEndpoints) -> None:
    class Closed:
        async def async_acquire(self) -> None:
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await OVHCloudEmbeddings(embed_batch_size=1, rate_limiter=Closed()).aget_text_embedding_batch(["x"] * 9)
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_vectors_of_another_width_than_asked_for_are_an_error(server: LocalEndpoints, embed_batch: Any) -> None:
    server.reply(body={"data": [{"embedding": [1.0, 2.0]}]})

    with pytest.raises(InvalidResponseError, match="2 dimensions, though 64 were asked for"):
        embed_batch(OVHCloudEmbeddings(model="Qwen3-Embedding-8B", dimensions=64), ["x"])


@pytest.mark.parametrize("texts", [np.array(["a", "b"]), ("a", "b"), UserList(["a", "b"])])
def test_texts_may_be_an_array_or_a_column(texts: Any) -> None:
    assert len(OVHCloudEmbeddings().get_text_embedding_batch(texts)) == 2
    assert len(asyncio.run(OVHCloudEmbeddings().aget_text_embedding_batch(texts))) == 2


class CuttingHandler(BaseEventHandler):
    """Cuts the vectors of each event, as one that stores their beginnings may do."""

    kept: list[list[float]] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        for vector in getattr(event, "embeddings", []):
            del vector[4:]
            self.kept.append(vector)


def test_handler_of_events_may_change_them(embed_batch: Any) -> None:
    handler, root = CuttingHandler(kept=[]), get_dispatcher()
    root.add_event_handler(handler)
    try:
        vectors = embed_batch(OVHCloudEmbeddings(), ["a", "b"])
    finally:
        root.event_handlers.remove(handler)

    assert [len(vector) for vector in vectors] == [1024, 1024]
    assert handler.kept == [vector[:4] for vector in vectors]


async def test_what_adapters_call_is_awaited(server: LocalEndpoints) -> None:
    """While one call waits for its answer, another goes on on the same loop."""
    embeddings = OVHCloudEmbeddings()
    answered = asyncio.Event()
    server.reply(until=answered.is_set, times=1)

    calls = [
        asyncio.ensure_future(one)
        for one in (
            embeddings._aget_text_embedding("a"),
            embeddings._aget_text_embeddings(["b"]),
            embeddings._aget_query_embedding("c"),
        )
    ]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    answered.set()
    await asyncio.wait(calls)

    assert len(done) < 3
    assert [len(call.result()) for call in calls] == [1024, 1, 1024]


def test_workers_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="num_workers must be positive; got 0"):
        OVHCloudEmbeddings(num_workers=0)
