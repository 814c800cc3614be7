"""`OVHCloudEmbeddings`: embedding models of OVHcloud AI Endpoints for LlamaIndex."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import Field

from llama_index_ovhcloud._saved import without_class_name
from ovhcloud_ai_endpoints._embedding_runs import aembed, embed
from ovhcloud_ai_endpoints._options import EmbeddingOptions

LARGEST_LIST = 2048  # LlamaIndex's own bound


class OVHCloudEmbeddings(EmbeddingOptions, BaseEmbedding):
    """An embedding model of OVHcloud AI Endpoints.

        from llama_index_ovhcloud import OVHCloudEmbeddings

        OVHCloudEmbeddings().get_query_embedding("Where does it run?")  # the key is in OVHCLOUD_API_KEY

    Texts are sent in batches, several at once, and their vectors come back in order. `embed_batch_size` is how many
    texts LlamaIndex hands over at a time, and large by default; `batch_size` is how many go into one request.
    """

    ALIASES: ClassVar[Mapping[str, str]] = {**EmbeddingOptions.ALIASES, "model": "model_name"}

    model_name: str = "bge-m3"
    embed_batch_size: int = Field(default=LARGEST_LIST, gt=0, le=LARGEST_LIST)

    @classmethod
    def _ovhcloud_renamed(cls, arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
        return super()._ovhcloud_renamed(without_class_name(arguments), known)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "OVHCloudEmbeddings"

    def _get_query_embedding(self, query: str) -> list[float]:
        return embed([query], self, model=self.model_name, instruction=self.query_instruction)[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await aembed([query], self, model=self.model_name, instruction=self.query_instruction))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed(texts, self, model=self.model_name, instruction=self.document_instruction)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await aembed(texts, self, model=self.model_name, instruction=self.document_instruction)
