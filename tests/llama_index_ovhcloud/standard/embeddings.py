"""Embedding models."""

import asyncio
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard.ways import Limiter, Suite, listening

BATCH: dict[str, Callable[..., list[list[float]]]] = {
    "batch": lambda model, texts, **kwargs: model.get_text_embedding_batch(texts, **kwargs),
    "abatch": lambda model, texts, **kwargs: asyncio.run(model.aget_text_embedding_batch(texts, **kwargs)),
}
ONE: dict[str, Callable[..., list[float]]] = {
    "text": lambda model, text: model.get_text_embedding(text),
    "atext": lambda model, text: asyncio.run(model.aget_text_embedding(text)),
    "query": lambda model, text: model.get_query_embedding(text),
    "aquery": lambda model, text: asyncio.run(model.aget_query_embedding(text)),
}


def sent(server: LocalEndpoints) -> list[str]:
    """All texts that were sent, in the order of the requests."""
    found: list[str] = []
    for request in server.requests:
        texts = request.json["input"]
        found += [texts] if isinstance(texts, str) else texts
    return found


class EmbeddingTests(Suite):
    @pytest.fixture
    def model(self, server: LocalEndpoints) -> Any:
        return self.make(server)

    @pytest.fixture(params=BATCH)
    def embed(self, request: pytest.FixtureRequest) -> Callable[..., list[list[float]]]:
        return BATCH[request.param]

    @pytest.fixture(params=ONE)
    def embed_one(self, request: pytest.FixtureRequest) -> Callable[..., list[float]]:
        return ONE[request.param]

    def test_text_is_floats(self, model: Any, embed_one: Callable[..., Any]) -> None:
        vector = embed_one(model, "Hello")

        assert len(vector) == 1024
        assert {type(number) for number in vector} == {float}

    def test_texts_are_in_order(self, model: Any, embed: Callable[..., Any]) -> None:
        texts = [f"text {number}" for number in range(60)]

        assert embed(model, texts) == [model.get_text_embedding(text) for text in texts]

    def test_order_of_the_answer_does_not_matter(
        self, server: LocalEndpoints, model: Any, embed: Callable[..., Any]
    ) -> None:
        data = [{"object": "embedding", "index": index, "embedding": [float(index)]} for index in (2, 0, 1)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        server.reply(body={"object": "list", "model": "bge-m3", "data": data, "usage": usage})

        assert embed(model, ["a", "b", "c"]) == [[0.0], [1.0], [2.0]]

    @pytest.mark.parametrize("count", [1, 3])
    def test_wrong_number_of_vectors_is_an_error(
        self, server: LocalEndpoints, embed: Callable[..., Any], count: int
    ) -> None:
        data = [{"object": "embedding", "index": index, "embedding": [1.0]} for index in range(count)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        server.reply(body={"object": "list", "model": "bge-m3", "data": data, "usage": usage}, times=4)

        with pytest.raises(Exception):  # noqa: B017, PT011 - each provider has errors of its own
            embed(self.make(server, max_retries=0), ["a", "b"])

    def test_texts_are_sent_as_they_are(self, server: LocalEndpoints, model: Any, embed: Callable[..., Any]) -> None:
        texts = ["def f():\n    return 1\n", "  spaces  ", "é\u2028\t", "1"]

        embed(model, texts)

        assert sent(server) == texts

    def test_strings_are_sent(self, server: LocalEndpoints, model: Any, embed: Callable[..., Any]) -> None:
        embed(model, ["a", "b"])

        assert all(isinstance(text, str) for text in server.requests[-1].json["input"])

    def test_no_texts_are_no_request(self, server: LocalEndpoints, model: Any, embed: Callable[..., Any]) -> None:
        assert embed(model, []) == []
        assert server.requests == []

    def test_request_is_no_larger_than_the_service_takes(
        self, server: LocalEndpoints, embed: Callable[..., Any]
    ) -> None:
        embed(self.make(server, embed_batch_size=500), ["x"] * 60)

        assert max(len(request.json["input"]) for request in server.requests) <= 25

    @pytest.mark.parametrize("options", [{}, {"embed_batch_size": 5}])
    def test_requests_run_at_the_same_time(
        self, server: LocalEndpoints, embed: Callable[..., Any], options: Any
    ) -> None:
        deadline = time.monotonic() + 1
        server.reply(until=lambda: len(server.requests) >= 4 or time.monotonic() > deadline, times=4)

        embed(self.make(server, **options), ["x"] * (20 if options else 100))

        assert time.monotonic() < deadline

    def test_requests_at_the_same_time_are_bounded(self, server: LocalEndpoints, embed: Callable[..., Any]) -> None:
        deadline = time.monotonic() + 0.3
        waiting: list[int] = []

        def is_over() -> bool:
            if time.monotonic() > deadline:
                waiting.append(len(server.requests))
            return bool(waiting)

        server.reply(until=is_over, times=60)
        embed(self.make(server, embed_batch_size=1), ["x"] * 60)

        assert waiting[0] <= 16

    def test_query_and_document_have_instructions_of_their_own(self, server: LocalEndpoints) -> None:
        model = self.make(server, query_instruction="Q: ", text_instruction="D: ")

        model.get_query_embedding("x")
        asyncio.run(model.aget_query_embedding("x"))
        model.get_text_embedding("x")
        asyncio.run(model.aget_text_embedding_batch(["x"]))

        assert sent(server) == ["Q: x", "Q: x", "D: x", "D: x"]

    def test_cache_is_used(self, server: LocalEndpoints, embed: Callable[..., Any]) -> None:
        model = self.make(server, embeddings_cache=SimpleKVStore())
        first = embed(model, ["a", "b"])

        again = embed(model, ["b", "c", "a"])

        assert again[0] == first[1]
        assert again[2] == first[0]
        assert sorted(sent(server)) == ["a", "b", "c"]

    def test_cache_of_one_text_is_used(self, server: LocalEndpoints, embed_one: Callable[..., Any]) -> None:
        model = self.make(server, embeddings_cache=SimpleKVStore())

        assert embed_one(model, "a") == embed_one(model, "a")
        assert len(server.requests) == 1

    def test_cache_does_not_mix_models(self, server: LocalEndpoints) -> None:
        cache = SimpleKVStore()

        small = self.make(server, embeddings_cache=cache).get_text_embedding("a")
        large = self.make(server, embeddings_cache=cache, model_name="Qwen3-Embedding-8B").get_text_embedding("a")

        assert (len(small), len(large)) == (1024, 4096)

    def test_limiter_is_asked_for_each_request(self, server: LocalEndpoints, embed: Callable[..., Any]) -> None:
        limiter = Limiter()

        embed(self.make(server, rate_limiter=limiter, embed_batch_size=10), ["x"] * 40)

        assert limiter.acquired == len(server.requests) == 4

    def test_limiter_is_not_asked_for_what_is_cached(self, server: LocalEndpoints, embed: Callable[..., Any]) -> None:
        limiter = Limiter()
        model = self.make(server, rate_limiter=limiter, embeddings_cache=SimpleKVStore())

        embed(model, ["a"])
        embed(model, ["a"])

        assert limiter.acquired == 1

    def test_call_is_told_to_instrumentation(self, model: Any, embed: Callable[..., Any]) -> None:
        with listening() as events:
            vectors = embed(model, ["a", "b"])

        starts, ends = events.named("EmbeddingStartEvent"), events.named("EmbeddingEndEvent")
        assert len(starts) == len(ends) == 1
        assert events.seen[-1].chunks == ["a", "b"]
        assert events.seen[-1].embeddings == vectors

    @pytest.mark.parametrize("way", BATCH)
    def test_progress_is_shown(self, model: Any, capfd: pytest.CaptureFixture[str], way: str) -> None:
        BATCH[way](model, ["x"] * 50, show_progress=True)

        assert "100%" in capfd.readouterr().err

    def test_is_saved_and_loaded(self, server: LocalEndpoints, model: Any) -> None:
        model.get_text_embedding("x")
        saved = json.loads(json.dumps(model.to_dict()))

        loaded = type(model).from_dict(saved, api_key=server.api_key)

        assert loaded.to_dict() == model.to_dict()
        assert loaded.get_text_embedding("x") == model.get_text_embedding("x")

    def test_is_pickled_with_limiter_and_cache(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OVHCLOUD_API_KEY", server.api_key)
        limiter = Limiter()
        model = self.make(server, rate_limiter=limiter, embeddings_cache=SimpleKVStore())
        model.get_text_embedding("y")

        other = pickle.loads(pickle.dumps(model))

        assert other.get_text_embedding("x") == model.get_text_embedding("x")
        assert model.rate_limiter is limiter
        assert limiter.acquired == 2

    def test_key_is_shown_nowhere(self, server: LocalEndpoints, model: Any, embed: Callable[..., Any]) -> None:
        with listening() as events:
            embed(model, ["x"])

        shown = " ".join([repr(model), str(model.to_dict()), str(model.to_payload()), *map(str, events.seen)])
        assert server.api_key not in shown

    def test_ingestion_cache_survives_what_changes_no_vector(self, server: LocalEndpoints) -> None:
        cache = IngestionCache()
        nodes = [TextNode(text="a", id_="a"), TextNode(text="b", id_="b")]

        IngestionPipeline(transformations=[self.make(server)], cache=cache).run(nodes=nodes)
        changed = self.make(server, api_key="another", embed_batch_size=7, timeout=30, max_retries=5, num_workers=3)
        found = IngestionPipeline(transformations=[changed], cache=cache).run(nodes=nodes)

        assert len(server.requests) == 1
        assert all(node.embedding for node in found)

    def test_each_loop_is_one_request(self, server: LocalEndpoints, model: Any) -> None:
        for _ in range(5):
            asyncio.run(model.aget_text_embedding("x"))

        assert len(server.requests) == 5

    def test_index_is_built_and_asked(self, model: Any) -> None:
        nodes = [TextNode(text="The cat sat on the mat."), TextNode(text="A stream that breaks off raises an error.")]
        index = VectorStoreIndex(nodes, embed_model=model)

        found = index.as_retriever(similarity_top_k=1).retrieve("What does a stream that breaks off raise?")

        assert found[0].text == nodes[1].text
