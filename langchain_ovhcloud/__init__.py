"""OVHcloud AI Endpoints for LangChain."""

from langchain_ovhcloud.chat_models import ChatOVHCloud
from langchain_ovhcloud.embeddings import OVHCloudEmbeddings

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings"]
