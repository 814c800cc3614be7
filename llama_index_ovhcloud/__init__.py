"""OVHcloud AI Endpoints for LlamaIndex.

PYTEST_DONT_REWRITE, or pytest warns where this is imported before it looks for plugins.
"""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

_lazy.require("llama_index.core", 'LlamaIndex is not installed: pip install "ovhcloud-ai-endpoints[llama-index]"')

if TYPE_CHECKING:
    from llama_index_ovhcloud.embeddings import OVHCloudEmbeddings
    from llama_index_ovhcloud.llms import ChatOVHCloud
else:
    __getattr__, __dir__ = _lazy.names(
        __name__, {"embeddings": ("OVHCloudEmbeddings",), "llms": ("ChatOVHCloud",)}, keeps=False
    )

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings"]
