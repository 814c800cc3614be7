import asyncio
import signal
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core import exceptions as core
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints import EmbeddingsInterruptedError, InternalServerError, RateLimitError
from ovhcloud_ai_endpoints._values import EmbeddingUsage
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture(params=["sync", "async"])
def embed_documents(request: pytest.FixtureRequest) -> Any:
    def embed(embeddings: OVHCloudEmbeddings, texts: list[str]) -> list[list[float]]:
        if request.param == "sync":
            return embeddings.embed_documents(texts)
        return asyncio.run(embeddings.aembed_documents(texts))

    return embed


def test_two_texts_are_one_request_and_two_vectors(server: LocalEndpoints, embed_documents: Any) -> None:
    found = embed_documents(OVHCloudEmbeddings(), ["one", "two"])

    assert [len(vector) for vector in found] == [1024, 1024]
    assert all(isinstance(number, float) for number in found[0])
    assert [request.json for request in server.requests] == [
        {"model": "bge-m3", "input": ["one", "two"], "encoding_format": "base64"}
    ]


def test_many_texts_are_batches_in_order(server: LocalEndpoints, embed_documents: Any) -> None:
    texts = [f"text number {at}" for at in range(130)]

    found = embed_documents(OVHCloudEmbeddings(), texts)

    assert sorted(len(request.json["input"]) for request in server.requests) == [5, 25, 25, 25, 25, 25]
    assert found[77] == OVHCloudEmbeddings().embed_query(texts[77])


def test_batches_are_no_larger_than_the_model_takes(server: LocalEndpoints) -> None:
    """1000 is what people have for OpenAI's models."""
    OVHCloudEmbeddings(chunk_size=1000).embed_documents(["x"] * 60)

    assert max(len(request.json["input"]) for request in server.requests) == 25


def test_ctrl_c_begins_no_further_request(server: LocalEndpoints) -> None:
    interrupted = threading.Event()

    def key() -> str:
        if len(server.requests) >= 3 and not interrupted.is_set():
            interrupted.set()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return server.api_key

    server.reply(body={"data": [{"embedding": [1.0]}]}, pause=0.05, times=40)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have made to be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            OVHCloudEmbeddings(batch_size=1, max_concurrency=2, api_key=key).embed_documents(["x"] * 40)
    finally:
        signal.signal(signal.SIGINT, before)

    assert len(server.requests) < 10


def test_size_of_a_request_may_be_that_of_a_call(server: LocalEndpoints) -> None:
    OVHCloudEmbeddings().embed_documents(["x"] * 4, chunk_size=2)
    asyncio.run(OVHCloudEmbeddings().aembed_documents(["x"] * 4, chunk_size=3))

    assert sorted(len(request.json["input"]) for request in server.requests) == [1, 2, 2, 3]


def test_half_of_a_surrogate_pair_is_replaced_and_told(
    server: LocalEndpoints, embed_documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["good", *["bad \ud800"] * 7]

    assert len(embed_documents(OVHCloudEmbeddings(), texts)) == 8
    assert server.requests[0].json["input"][1] == "bad \ufffd"
    assert caplog.messages == ["Lone surrogates are sent as U+FFFD, in texts 1, 2, 3, 4, 5, …"]


def test_halves_in_an_iterable_are_told_by_number(server: LocalEndpoints, caplog: pytest.LogCaptureFixture) -> None:
    texts = (f"{number}" if number != 60 else "\ud800" for number in range(70))

    assert len(list(OVHCloudEmbeddings(batch_size=2, max_concurrency=1).embed_iter(texts))) == 70
    assert caplog.messages == ["Lone surrogates are sent as U+FFFD, in texts 60"]


def test_batches_run_at_the_same_time(server: LocalEndpoints, embed_documents: Any) -> None:
    server.reply(until=lambda: len(server.requests) >= 8, times=8)

    assert len(embed_documents(OVHCloudEmbeddings(batch_size=1), ["x"] * 8)) == 8


def test_no_texts_are_no_request(server: LocalEndpoints, embed_documents: Any) -> None:
    assert embed_documents(OVHCloudEmbeddings(), []) == []
    assert server.requests == []


def test_failure_on_the_way_loses_nothing(server: LocalEndpoints, embed_documents: Any) -> None:
    embeddings = OVHCloudEmbeddings(batch_size=2, max_concurrency=1, max_retries=0)
    server.reply(body={"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]})
    server.reply(status=429)

    with pytest.raises(EmbeddingsInterruptedError) as caught:
        embed_documents(embeddings, ["a", "b", "c", "d", "e"])

    assert caught.value.vectors == {0: [1.0], 1: [2.0]}
    assert caught.value.remaining == {2: "c", 3: "d", 4: "e"}
    assert isinstance(caught.value.__cause__, RateLimitError)
    assert isinstance(caught.value, core.ModelError)


def test_failure_at_once_is_the_failure_itself(server: LocalEndpoints, embed_documents: Any) -> None:
    server.reply(status=429)

    with pytest.raises(RateLimitError) as caught:
        embed_documents(OVHCloudEmbeddings(max_retries=0), ["a"])

    assert isinstance(caught.value, core.ModelRateLimitError)


def test_instructions_stand_before_the_texts(server: LocalEndpoints) -> None:
    embeddings = OVHCloudEmbeddings(query_instruction="Q: ", text_instruction="D: ")

    embeddings.embed_query("x")
    embeddings.embed_documents(["y"])
    asyncio.run(embeddings.aembed_query("z"))

    assert [request.json["input"] for request in server.requests] == [["Q: x"], ["D: y"], ["Q: z"]]


def test_what_remains_is_as_it_was_given(server: LocalEndpoints) -> None:
    embeddings = OVHCloudEmbeddings(document_instruction="D: ", batch_size=1, max_concurrency=1, max_retries=0)
    server.reply(body={"data": [{"embedding": [1.0]}]})
    server.reply(status=500)

    with pytest.raises(EmbeddingsInterruptedError) as caught:
        embeddings.embed_documents(["a", "b"])
    embeddings.embed_documents(list(caught.value.remaining.values()))

    assert server.requests[-1].json["input"] == ["D: b"]


def test_dimensions_are_asked_for_only_when_set() -> None:
    assert len(OVHCloudEmbeddings(model="Qwen3-Embedding-8B", dimensions=64).embed_query("x")) == 64


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    OVHCloudEmbeddings(show_progress=True).embed_documents(["a", "b"])

    assert "2/2" in capsys.readouterr().err


def test_similar_texts_are_near() -> None:
    store = InMemoryVectorStore.from_texts(
        ["Streams that are cut raise an error", "The cat sat on the mat"], OVHCloudEmbeddings()
    )

    assert store.similarity_search("What if a stream is cut?", k=1)[0].page_content.startswith("Streams")


class TestIterators:
    def test_give_all_vectors_in_order(self, server: LocalEndpoints) -> None:
        embeddings = OVHCloudEmbeddings(batch_size=4, max_concurrency=2)
        texts = [f"text number {at}" for at in range(21)]

        async def read(given: Any) -> list[list[float]]:
            return [vector async for vector in embeddings.aembed_iter(given)]

        async def later() -> Any:
            for text in texts:
                yield text

        wanted = embeddings.embed_documents(texts)
        assert list(embeddings.embed_iter(iter(texts))) == wanted
        assert asyncio.run(read(texts)) == wanted
        assert asyncio.run(read(later())) == wanted

    def test_read_no_more_than_they_need(self, server: LocalEndpoints) -> None:
        read = 0

        def endless() -> Any:
            nonlocal read
            while True:
                read += 1
                yield f"text {read}"

        vectors = OVHCloudEmbeddings(batch_size=4, max_concurrency=2).embed_iter(endless())
        for _ in range(9):
            next(vectors)

        assert read == 16

    def test_lose_nothing_when_a_whole_piece_fails(self, server: LocalEndpoints) -> None:
        embeddings = OVHCloudEmbeddings(batch_size=1, max_concurrency=1, max_retries=0)
        server.reply(body={"data": [{"embedding": [1.0]}]}, times=2)
        server.reply(status=500)
        texts, done = iter(["a", "b", "c", "d"]), []

        with pytest.raises(EmbeddingsInterruptedError) as caught:
            done.extend(embeddings.embed_iter(texts))

        assert len(done) == 2
        assert caught.value.remaining == {2: "c"}
        assert isinstance(caught.value.__cause__, InternalServerError)
        assert list(texts) == ["d"]

    def test_tell_positions_in_the_whole(self, server: LocalEndpoints) -> None:
        embeddings = OVHCloudEmbeddings(batch_size=1, max_concurrency=2, max_retries=0)
        vector = {"data": [{"embedding": [1.0]}]}
        server.reply(body=vector, times=2)
        server.reply(body=vector)
        server.reply(status=500, pause=0.05)

        with pytest.raises(EmbeddingsInterruptedError) as caught:
            list(embeddings.embed_iter(["a", "b", "c", "d"]))

        assert {*caught.value.vectors, *caught.value.remaining} == {2, 3}


def test_usage_is_told(server: LocalEndpoints) -> None:
    told: list[EmbeddingUsage] = []
    embeddings = OVHCloudEmbeddings(on_usage=told.append)

    embeddings.embed_documents(["four"] * 30)
    asyncio.run(embeddings.aembed_query("four"))

    assert told == [EmbeddingUsage("bge-m3", 30, 2, 30), EmbeddingUsage("bge-m3", 1, 1, 1)]


def test_cache_of_embeddings_asks_once(server: LocalEndpoints) -> None:
    cached = CacheBackedEmbeddings.from_bytes_store(
        OVHCloudEmbeddings(), InMemoryByteStore(), namespace="bge-m3", key_encoder="sha256"
    )

    first = cached.embed_documents(["a", "b"])
    again = asyncio.run(cached.aembed_documents(["b", "c"]))

    assert again[0] == first[1]
    assert [request.json["input"] for request in server.requests] == [["a", "b"], ["c"]]


def test_store_takes_what_is_given(server: LocalEndpoints) -> None:
    async def main() -> list[Document]:
        store = InMemoryVectorStore(OVHCloudEmbeddings())
        await store.aadd_texts(["Rome is in Italy", "Paris is in France"])
        return await store.asimilarity_search("Where is Rome?", k=1)

    assert asyncio.run(main())[0].page_content == "Rome is in Italy"


def test_peers_arguments_are_taken() -> None:
    with pytest.warns(UserWarning, match="check_embedding_ctx_length"):
        OVHCloudEmbeddings(check_embedding_ctx_length=True)

    embeddings = OVHCloudEmbeddings(model="bge-m3", chunk_size=10, check_embedding_ctx_length=False)

    assert embeddings.batch_size == 10


@pytest.mark.parametrize("name", ["bge@latest", "embeddings@cheapest?context_size>1000"])
def test_virtual_name_is_refused_since_it_may_mean_another_model_tomorrow(name: str) -> None:
    with pytest.raises(ValueError, match=r"another model tomorrow.*bge-m3"):
        OVHCloudEmbeddings(model=name)


TENANT: ContextVar[str] = ContextVar("tenant")


def test_key_function_sees_the_callers_context_in_every_request(server: LocalEndpoints, embed_documents: Any) -> None:
    TENANT.set(server.api_key)

    embed_documents(OVHCloudEmbeddings(api_key=TENANT.get), ["x"] * 60)

    assert [request.api_key for request in server.requests] == [server.api_key] * 3


def test_long_iterables_are_read_a_few_requests_ahead(server: LocalEndpoints) -> None:
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for number in range(1_000):
            read += 1
            yield str(number)

    next(OVHCloudEmbeddings(batch_size=500, max_concurrency=2).embed_iter(texts()))

    assert read == 50
