"""`OVHCloudEmbeddings`: embedding models of OVHcloud AI Endpoints for LlamaIndex."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # passed on from elsewhere
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from pydantic import Field, field_validator

from llama_index_ovhcloud._cache import VectorCache
from llama_index_ovhcloud._saved import Saved
from ovhcloud_ai_endpoints import _embeddings
from ovhcloud_ai_endpoints._embeddings import BATCH_SIZE, BATCH_SIZE_DESCRIPTION, MODEL_DESCRIPTION, EmbeddingOptions

if TYPE_CHECKING:
    from llama_index_ovhcloud._arguments import EmbeddingArguments, EmbeddingModelName

LARGEST_BATCH = 2048  # LlamaIndex's own bound
# Options that don't change a vector, and so must not change its key in an ingestion cache.
OPERATIONAL = frozenset(
    {
        "timeout",
        "max_retries",
        "max_wait",
        "max_concurrency",
        "share_limits",
        "embed_batch_size",
        "http_backend",
        "encoding_format",
        "num_workers",
        "show_progress",
        "embeddings_cache",
    }
)

dispatcher = get_dispatcher(__name__)


class OVHCloudEmbeddings(Saved, EmbeddingOptions, BaseEmbedding):
    """An embedding model of OVHcloud AI Endpoints.

        from llama_index_ovhcloud import OVHCloudEmbeddings

        OVHCloudEmbeddings().get_query_embedding("Where does it run?")  # the key is in OVHCLOUD_API_KEY

    Texts are sent in batches, several at once, and their vectors come back in order. The model sets the
    width of a vector: 1024 for bge-m3, 3584 for bge-multilingual-gemma2, 4096 for Qwen3-Embedding-8B, which also gives
    fewer `dimensions`. `embed_batch_size` is the number of texts in a request; the model's own limit may lower it.
    `num_workers`, or else `max_concurrency`, is the number of requests that run at once.

    A `rate_limiter` is asked before each request, but not before a retry. Each answer goes into the `embeddings_cache`
    at once, so that repeating a call that failed resumes where it stopped; one cache can hold the vectors of several
    models.
    """

    _ALIASES: ClassVar[Mapping[str, str]] = {
        "model": "model_name",
        "batch_size": "embed_batch_size",
        "chunk_size": "embed_batch_size",
    }

    _WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "mode": "query_instruction and text_instruction tell questions from documents",
    }

    model_name: str = Field(default="bge-m3", description=MODEL_DESCRIPTION)
    embed_batch_size: int = Field(default=BATCH_SIZE, gt=0, le=LARGEST_BATCH, description=BATCH_SIZE_DESCRIPTION)

    if TYPE_CHECKING:

        def __init__(self, model: EmbeddingModelName | str = ..., **arguments: Unpack[EmbeddingArguments]) -> None: ...

    @field_validator("num_workers")
    @classmethod
    def _ovhcloud_workers(cls, workers: int | None) -> int | None:
        if workers is not None and workers < 1:
            raise ValueError(f"num_workers must be positive; got {workers}")
        return workers

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "OVHCloudEmbeddings"

    def to_payload(self) -> dict[str, Any]:
        """What instrumentation sees of this object; never a secret."""
        names = ("model_name", "dimensions", "embed_batch_size")
        return {"class_name": self.class_name(), **{name: getattr(self, name) for name in names}}

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Only the options that the vectors depend on, so that an ingestion cache stays valid when the API key changes.

        An object that `from_dict` makes from it has the defaults for the rest, such as `timeout`.
        """
        return {name: value for name, value in super().to_dict(**kwargs).items() if name not in OPERATIONAL}

    def get_query_embedding(self, query: str) -> list[float]:
        """The vector of a question."""
        return self._embedded([query], self.query_instruction)[0]

    async def aget_query_embedding(self, query: str) -> list[float]:
        """The same as `get_query_embedding`, to be awaited."""
        return (await self._aembedded([query], self.query_instruction))[0]

    def get_text_embedding(self, text: str) -> list[float]:
        """The vector of a text."""
        return self._embedded([text], self.document_instruction)[0]

    async def aget_text_embedding(self, text: str) -> list[float]:
        """The same as `get_text_embedding`, to be awaited."""
        return (await self._aembedded([text], self.document_instruction))[0]

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """A vector for each text, in order.

        Raises:
            EmbeddingsInterruptedError: it failed midway; the error has the finished vectors and the remaining texts.
        """
        return self._embedded(texts, self.document_instruction, show_progress=show_progress)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """The same as `get_text_embedding_batch`, to be awaited."""
        return await self._aembedded(texts, self.document_instruction, show_progress=show_progress)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.get_query_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.aget_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.get_text_embedding(text)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await self.aget_text_embedding(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.get_text_embedding_batch(texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self.aget_text_embedding_batch(texts)

    def _embedded(self, texts: list[str], instruction: str | None, *, show_progress: bool = False) -> list[list[float]]:
        texts = _listed(texts)
        if not texts:
            return []
        cache = self._cache(texts, instruction)
        with self._event(texts) as vectors:
            run = self._run(texts, instruction, cache.known())
            acquire = None if self.rate_limiter is None else self.rate_limiter.acquire
            vectors.extend(_embeddings.embed(run, self, show_progress=show_progress, acquire=acquire, keep=cache.keep))
        return vectors

    async def _aembedded(
        self, texts: list[str], instruction: str | None, *, show_progress: bool = False
    ) -> list[list[float]]:
        texts = _listed(texts)
        if not texts:
            return []
        cache = self._cache(texts, instruction)
        with self._event(texts) as vectors:
            run = self._run(texts, instruction, await cache.aknown())
            acquire = None if self.rate_limiter is None else self.rate_limiter.async_acquire
            vectors.extend(
                await _embeddings.aembed(run, self, show_progress=show_progress, acquire=acquire, keep=cache.akeep)
            )
        return vectors

    def _run(
        self, texts: list[str], instruction: str | None, known: Mapping[int, list[float]]
    ) -> "_embeddings.EmbeddingRun":
        return self._ovhcloud_run(
            texts,
            model=self.model_name,
            size=self.embed_batch_size,
            concurrency=self.num_workers or self.max_concurrency,
            instruction=instruction,
            known=known,
        )

    def _cache(self, texts: list[str], instruction: str | None) -> VectorCache:
        """The cached vectors: keyed by the text as sent, and named by everything else that they depend on."""
        name = self.model_name if self.dimensions is None else f"{self.model_name}@{self.dimensions}"
        if self.truncate:
            name += "+truncated"
        if self.extra_body:
            name += f"+{json.dumps(self.extra_body, sort_keys=True)}"
        return VectorCache(self.embeddings_cache, name, [f"{instruction or ''}{text}" for text in texts])

    @contextmanager
    def _event(self, texts: list[str]) -> Iterator[list[list[float]]]:
        """Reports a call to core's instrumentation; the block fills the list with the vectors."""
        payload = self.to_payload()
        vectors: list[list[float]] = []
        dispatcher.event(EmbeddingStartEvent(model_dict=payload))
        with self.callback_manager.event(CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: payload}) as event:
            yield vectors
            event.on_end(payload={EventPayload.CHUNKS: texts, EventPayload.EMBEDDINGS: vectors})
        if _is_heard():  # an event copies all vectors, which takes a quarter of the call's time
            dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors))


def _is_heard() -> bool:
    """Whether anyone but core's handler that does nothing gets our events."""
    at = dispatcher
    while all(isinstance(handler, NullEventHandler) for handler in at.event_handlers):
        if not at.propagate:
            return False
        at = at.parent
    return True


def _listed(texts: Any) -> Any:
    """A list of the texts, from any sized collection such as an array; anything else unchanged."""
    return list(texts) if hasattr(texts, "__len__") and not isinstance(texts, str | list) else texts
