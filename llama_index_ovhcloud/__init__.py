"""OVHcloud AI Endpoints for LlamaIndex."""

from llama_index_ovhcloud.embeddings import OVHCloudEmbeddings
from llama_index_ovhcloud.llms import ChatOVHCloud

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings"]
