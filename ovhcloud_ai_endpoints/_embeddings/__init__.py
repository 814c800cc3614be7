"""Embeddings: splits lists of texts into concurrent requests, and returns their vectors in order."""

from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions
from ovhcloud_ai_endpoints._embeddings.request import BATCH_SIZE
from ovhcloud_ai_endpoints._embeddings.run import EmbeddingRun
from ovhcloud_ai_endpoints._embeddings.workers import aembed, aembed_iter, embed, embed_iter

__all__ = [
    "BATCH_SIZE",
    "EmbeddingOptions",
    "EmbeddingRun",
    "aembed",
    "aembed_iter",
    "embed",
    "embed_iter",
]
