import asyncio
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from llama_index_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints import EmbeddingsInterruptedError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture(params=["sync", "async"])
def embed_batch(request: pytest.FixtureRequest) -> Any:
    def embed(embeddings: OVHCloudEmbeddings, texts: list[str]) -> list[list[float]]:
        if request.param == "sync":
            return embeddings.get_text_embedding_batch(texts)
        return asyncio.run(embeddings.aget_text_embedding_batch(texts))

    return embed


def test_many_texts_are_batches_in_order(server: LocalEndpoints, embed_batch: Any) -> None:
    texts = [f"text number\n{at}" for at in range(130)]

    found = embed_batch(OVHCloudEmbeddings(), texts)

    assert sorted(len(request.json["input"]) for request in server.requests) == [5, 25, 25, 25, 25, 25]
    assert found[77] == OVHCloudEmbeddings().get_text_embedding(texts[77])
    assert {text for request in server.requests for text in request.json["input"]} == set(texts)


def test_index_is_embedded_with_several_requests_at_once(eight_at_once: str) -> None:
    nodes = [TextNode(text="x", id_=str(at)) for at in range(8)]

    index = VectorStoreIndex(nodes, embed_model=OVHCloudEmbeddings(batch_size=1, base_url=eight_at_once))

    assert len(index.vector_store.to_dict()["embedding_dict"]) == 8


def test_queries_and_texts_have_their_own_instructions(server: LocalEndpoints) -> None:
    embeddings = OVHCloudEmbeddings(query_instruction="Q: ", text_instruction="D: ")

    embeddings.get_query_embedding("x")
    asyncio.run(embeddings.aget_query_embedding("x"))
    embeddings.get_text_embedding("y")
    asyncio.run(embeddings.aget_text_embedding("y"))

    assert [request.json["input"] for request in server.requests] == [["Q: x"], ["Q: x"], ["D: y"], ["D: y"]]


def test_failure_on_the_way_loses_nothing(server: LocalEndpoints, embed_batch: Any) -> None:
    server.reply(body={"data": [{"embedding": [1.0]}]})
    server.reply(status=500)

    with pytest.raises(EmbeddingsInterruptedError) as caught:
        embed_batch(OVHCloudEmbeddings(batch_size=1, max_concurrency=1, max_retries=0), ["a", "b"])

    assert caught.value.remaining == {1: "b"}


@pytest.mark.parametrize("name", ["model", "model_name"])
def test_model_has_both_names(name: str) -> None:
    assert OVHCloudEmbeddings(**{name: "Qwen3-Embedding-8B"}).model_name == "Qwen3-Embedding-8B"


def test_is_saved_and_loaded_without_its_key() -> None:
    embeddings = OVHCloudEmbeddings(api_key="sk-hidden", dimensions=64)
    saved = embeddings.to_dict()

    assert "sk-hidden" not in str(saved) + repr(embeddings)
    assert OVHCloudEmbeddings.from_dict(saved).to_dict() == saved
