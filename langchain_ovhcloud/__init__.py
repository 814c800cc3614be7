"""OVHcloud AI Endpoints for LangChain.

PYTEST_DONT_REWRITE, or pytest warns where this is imported before it looks for plugins.
"""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

try:
    from langchain_core.messages import block_translators as _block_translators
except ModuleNotFoundError as error:
    if error.name != "langchain_core":
        raise
    raise ImportError('LangChain is not installed: pip install "ovhcloud-ai-endpoints[langchain]"') from error

if TYPE_CHECKING:
    from langchain_ovhcloud._register import register
    from langchain_ovhcloud.chat_models import ChatOVHCloud
    from langchain_ovhcloud.embeddings import OVHCloudEmbeddings
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {"_register": ("register",), "chat_models": ("ChatOVHCloud",), "embeddings": ("OVHCloudEmbeddings",)},
        keeps=False,
    )

_results = _lazy.Module("langchain_ovhcloud._results")

# Here, since core may ask for the blocks of a stored message before there is a model.
_translators = [lambda message: _results.content_blocks(message)] * 2  # noqa: PLW0108 - to name it would load it now
_block_translators.register_translator("ovhcloud", *_translators)

__all__ = ["ChatOVHCloud", "OVHCloudEmbeddings", "register"]
