"""`OVHCloudEmbeddings`: embedding models of OVHcloud AI Endpoints for LangChain."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Unpack

from langchain_core.embeddings import Embeddings
from pydantic import Field

from ovhcloud_ai_endpoints import _embeddings, _lazy
from ovhcloud_ai_endpoints._embeddings import BATCH_SIZE, BATCH_SIZE_DESCRIPTION, MODEL_DESCRIPTION, EmbeddingOptions

if TYPE_CHECKING:
    from langchain_ovhcloud import _errors
    from langchain_ovhcloud._arguments import EmbeddingArguments, EmbeddingModelName
else:
    _errors = _lazy.Module("langchain_ovhcloud._errors")


class OVHCloudEmbeddings(EmbeddingOptions, Embeddings):
    """An embedding model of OVHcloud AI Endpoints.

        from langchain_ovhcloud import OVHCloudEmbeddings

        OVHCloudEmbeddings().embed_query("Where does it run?")  # the key is in OVHCLOUD_API_KEY

    Texts are sent in batches, several at once, and their vectors come back in order. The model sets the
    width of a vector: 1024 for bge-m3, 3584 for bge-multilingual-gemma2, 4096 for Qwen3-Embedding-8B, which also gives
    fewer `dimensions`. `batch_size` is the number of texts in a request; the model's own limit may lower it.
    """

    _ALIASES: ClassVar[Mapping[str, str]] = {
        "chunk_size": "batch_size",
        "embed_batch_size": "batch_size",
    }

    model: str = Field(default="bge-m3", description=MODEL_DESCRIPTION)
    batch_size: int = Field(default=BATCH_SIZE, ge=1, description=BATCH_SIZE_DESCRIPTION)

    if TYPE_CHECKING:

        def __init__(self, model: EmbeddingModelName | str = ..., **arguments: Unpack[EmbeddingArguments]) -> None: ...

    def embed_documents(self, texts: list[str], chunk_size: int | None = None) -> list[list[float]]:
        """A vector for each text, in order.

        Args:
            chunk_size: number of texts in a request, instead of `batch_size`.

        Raises:
            EmbeddingsInterruptedError: it failed midway; the error has the finished vectors and the remaining texts.
        """
        with _errors.langchain_errors():
            return _embeddings.embed(self._documents(texts, size=chunk_size), self)

    async def aembed_documents(self, texts: list[str], chunk_size: int | None = None) -> list[list[float]]:
        """The same as `embed_documents`, to be awaited."""
        with _errors.langchain_errors():
            return await _embeddings.aembed(self._documents(texts, size=chunk_size), self)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        with _errors.langchain_errors():
            return _embeddings.embed(self._query(text), self)[0]

    async def aembed_query(self, text: str) -> list[float]:
        """The same as `embed_query`, to be awaited."""
        with _errors.langchain_errors():
            return (await _embeddings.aembed(self._query(text), self))[0]

    def embed_iter(self, texts: Iterable[str]) -> Iterator[list[float]]:
        """Yields a vector for each text of an iterable, in order, holding only a few requests' worth at a time.

        Raises:
            EmbeddingsInterruptedError: it failed midway; positions count from the first text, and the iterable still
                holds the texts that were not read yet.
        """
        with _errors.langchain_errors():
            yield from _embeddings.embed_iter(
                texts, self, model=self.model, size=self.batch_size, planned=self._documents
            )

    async def aembed_iter(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[float]]:
        """The same as `embed_iter`, for `async for`; the texts may come asynchronously too."""
        with _errors.langchain_errors():
            async for vector in _embeddings.aembed_iter(
                texts, self, model=self.model, size=self.batch_size, planned=self._documents
            ):
                yield vector

    def _documents(
        self, texts: list[str], start: int | None = None, size: int | None = None
    ) -> "_embeddings.EmbeddingRun":
        return self._ovhcloud_run(
            texts, model=self.model, size=size or self.batch_size, instruction=self.document_instruction, start=start
        )

    def _query(self, text: str) -> "_embeddings.EmbeddingRun":
        return self._ovhcloud_run([text], model=self.model, size=1, instruction=self.query_instruction)
