"""Embeddings of both frameworks with default settings on a real engine."""

from typing import Any

import pytest
from engines import Engine

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints import BadRequestError, ContextOverflowError, EmbeddingsInterruptedError

TEXTS = [f"text {number}" for number in range(60)]

pytestmark = pytest.mark.filterwarnings("ignore:.* is not in the catalogue")


def of_langchain(found: Engine, **options: Any) -> langchain_ovhcloud.OVHCloudEmbeddings:
    return langchain_ovhcloud.OVHCloudEmbeddings(model=found.model, base_url=found.base_url, api_key="", **options)


def of_llama_index(found: Engine, **options: Any) -> llama_index_ovhcloud.OVHCloudEmbeddings:
    return llama_index_ovhcloud.OVHCloudEmbeddings(model=found.model, base_url=found.base_url, api_key="", **options)


def by_hand(found: Engine, text: str) -> list[float]:
    vector: list[float] = found.post("/v1/embeddings", input=[text]).json()["data"][0]["embedding"]
    return vector


def test_vectors_are_the_engines_in_order(qwen3_embedding: Engine) -> None:
    vectors = of_langchain(qwen3_embedding).embed_documents(TEXTS)

    assert len(vectors) == len(TEXTS)
    for place in (0, 24, 25, 59):
        assert vectors[place] == pytest.approx(by_hand(qwen3_embedding, TEXTS[place]), abs=0.02)


def test_base64_and_floats_are_alike(qwen3_embedding: Engine) -> None:
    by_base64 = of_langchain(qwen3_embedding).embed_documents(TEXTS[:3])
    floats = of_langchain(qwen3_embedding, encoding_format="float").embed_documents(TEXTS[:3])

    assert by_base64 == [pytest.approx(vector, abs=1e-6) for vector in floats]


async def test_frameworks_are_alike(qwen3_embedding: Engine) -> None:
    first = await of_langchain(qwen3_embedding).aembed_documents(TEXTS[:3])
    second = await of_llama_index(qwen3_embedding).aget_text_embedding_batch(TEXTS[:3])

    assert first == [pytest.approx(vector, abs=1e-6) for vector in second]


@pytest.mark.parametrize("make", [of_langchain, of_llama_index])
def test_dimensions(qwen3_embedding: Engine, make: Any) -> None:
    whole, short = make(qwen3_embedding), make(qwen3_embedding, dimensions=32)

    assert [len(one_vector(embeddings)) for embeddings in (whole, short)] == [256, 32]


@pytest.mark.parametrize("make", [of_langchain, of_llama_index])
def test_more_dimensions_than_there_are(qwen3_embedding: Engine, make: Any) -> None:
    with pytest.raises(BadRequestError, match=r"only supports dimensions in range \[1, 256\]"):
        one_vector(make(qwen3_embedding, dimensions=1000))


@pytest.mark.parametrize("make", [of_langchain, of_llama_index])
def test_text_that_is_too_long_is_named(qwen3_embedding: Engine, make: Any) -> None:
    with pytest.raises(EmbeddingsInterruptedError, match="Text number 1, of 2,000 characters, is too long") as caught:
        many_vectors(make(qwen3_embedding), ["a", "b" * 2000])

    assert isinstance(caught.value.__cause__, ContextOverflowError)
    assert len(caught.value.vectors) == 1


def test_text_that_is_too_long_may_be_cut(qwen3_embedding: Engine) -> None:
    """The engine counts tokens, and a byte is one here; `truncate` cuts until it fits."""
    vectors = of_langchain(qwen3_embedding, truncate=True).embed_documents(["a", "b" * 2000])

    assert [len(vector) for vector in vectors] == [256, 256]


def test_empty_text_is_embedded_as_a_blank(qwen3_embedding: Engine) -> None:
    """The engine refuses a text without tokens."""
    assert len(of_langchain(qwen3_embedding).embed_documents([""])[0]) == 256


def one_vector(embeddings: Any) -> list[float]:
    (vector,) = many_vectors(embeddings, ["Hello"])
    return vector


def many_vectors(embeddings: Any, texts: list[str]) -> list[list[float]]:
    name = "embed_documents" if hasattr(embeddings, "embed_documents") else "get_text_embedding_batch"
    vectors: list[list[float]] = getattr(embeddings, name)(texts)
    return vectors
