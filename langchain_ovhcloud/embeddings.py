"""`OVHCloudEmbeddings`: embedding models of OVHcloud AI Endpoints for LangChain."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from langchain_core.embeddings import Embeddings

from langchain_ovhcloud._errors import langchain_errors
from ovhcloud_ai_endpoints._embedding_runs import aembed, aembed_iter, embed, embed_iter
from ovhcloud_ai_endpoints._options import EmbeddingOptions


class OVHCloudEmbeddings(EmbeddingOptions, Embeddings):
    """An embedding model of OVHcloud AI Endpoints.

        from langchain_ovhcloud import OVHCloudEmbeddings

        OVHCloudEmbeddings().embed_query("Where does it run?")  # the key is in OVHCLOUD_API_KEY

    Texts are sent in batches, several at once, and their vectors come back in order. The width of a vector is the
    model's: 1024 for bge-m3, 3584 for bge-multilingual-gemma2, 4096 for Qwen3-Embedding-8B, which can be asked for
    fewer `dimensions`.
    """

    model: str = "bge-m3"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text, in order.

        Raises:
            EmbeddingsInterruptedError: it failed on the way; the error has what is done and what is left.
        """
        with langchain_errors():
            return embed(texts, self, model=self.model, instruction=self.document_instruction)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The same as `embed_documents`, to be awaited."""
        with langchain_errors():
            return await aembed(texts, self, model=self.model, instruction=self.document_instruction)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        with langchain_errors():
            return embed([text], self, model=self.model, instruction=self.query_instruction)[0]

    async def aembed_query(self, text: str) -> list[float]:
        """The same as `embed_query`, to be awaited."""
        with langchain_errors():
            return (await aembed([text], self, model=self.model, instruction=self.query_instruction))[0]

    def embed_iter(self, texts: Iterable[str]) -> Iterator[list[float]]:
        """A vector for each text of an iterable of any length, in order; only a few requests' worth is held at a time.

        Raises:
            EmbeddingsInterruptedError: it failed on the way; positions count from the first text, and what the iterable
                has not given yet is still in it.
        """
        with langchain_errors():
            yield from embed_iter(texts, self, model=self.model)

    async def aembed_iter(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[float]]:
        """The same as `embed_iter`, for `async for`; the texts may come asynchronously too."""
        with langchain_errors():
            async for vector in aembed_iter(texts, self, model=self.model):
                yield vector
