"""OVHcloud AI Endpoints for LlamaIndex."""

try:
    from llama_index_ovhcloud.embeddings import OVHCloudEmbeddings
    from llama_index_ovhcloud.llms import ChatOVHCloud
except ModuleNotFoundError as error:
    if error.name not in {"llama_index", "llama_index.core"}:
        raise
    raise ImportError('LlamaIndex is not installed: pip install "ovhcloud-ai-endpoints[llama-index]"') from error

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings"]
