"""Embeddings: splits lists of texts into concurrent requests, and returns their vectors in order."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._embeddings.options import (
        BATCH_SIZE,
        BATCH_SIZE_DESCRIPTION,
        MODEL_DESCRIPTION,
        EmbeddingOptions,
    )
    from ovhcloud_ai_endpoints._embeddings.run import EmbeddingRun
    from ovhcloud_ai_endpoints._embeddings.workers import aembed, aembed_iter, embed, embed_iter
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "options": ("BATCH_SIZE", "BATCH_SIZE_DESCRIPTION", "MODEL_DESCRIPTION", "EmbeddingOptions"),
            "run": ("EmbeddingRun",),
            "workers": ("aembed", "aembed_iter", "embed", "embed_iter"),
        },
    )

__all__ = [
    "BATCH_SIZE",
    "BATCH_SIZE_DESCRIPTION",
    "MODEL_DESCRIPTION",
    "EmbeddingOptions",
    "EmbeddingRun",
    "aembed",
    "aembed_iter",
    "embed",
    "embed_iter",
]
