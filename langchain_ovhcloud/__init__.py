"""OVHcloud AI Endpoints for LangChain."""

try:
    from langchain_ovhcloud._register import register
    from langchain_ovhcloud.chat_models import ChatOVHCloud
    from langchain_ovhcloud.embeddings import OVHCloudEmbeddings
except ModuleNotFoundError as error:
    if error.name != "langchain_core":
        raise
    raise ImportError('LangChain is not installed: pip install "ovhcloud-ai-endpoints[langchain]"') from error

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings", "register"]
