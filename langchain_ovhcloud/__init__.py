"""OVHcloud AI Endpoints for LangChain."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

_lazy.require("langchain_core", 'LangChain is not installed: pip install "ovhcloud-ai-endpoints[langchain]"')

if TYPE_CHECKING:
    from langchain_ovhcloud._register import register
    from langchain_ovhcloud.chat_models import ChatOVHCloud
    from langchain_ovhcloud.embeddings import OVHCloudEmbeddings
else:
    __getattr__ = _lazy.names(
        __name__,
        {"_register": ("register",), "chat_models": ("ChatOVHCloud",), "embeddings": ("OVHCloudEmbeddings",)},
    )

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings", "register"]
