"""OVHcloud AI Endpoints: models, errors, warnings and timeouts, whichever framework you use.

The chat models and embeddings are in `langchain_ovhcloud` and `llama_index_ovhcloud`; a local service for tests and
demos is in `ovhcloud_ai_endpoints.testing`.

PYTEST_DONT_REWRITE, or pytest warns where this is imported before it looks for plugins.
"""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy
from ovhcloud_ai_endpoints._catalogue import Model, model
from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    EmbeddingsInterruptedError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    StreamInterruptedError,
)
from ovhcloud_ai_endpoints._http import Timeouts
from ovhcloud_ai_endpoints._notices import EmptyAnswerWarning, ModelDeprecationWarning
from ovhcloud_ai_endpoints._values import EmbeddingUsage, Message, ToolCall
from ovhcloud_ai_endpoints._version import __version__

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._batches import Batch, Counts
    from ovhcloud_ai_endpoints._http import Waiting
    from ovhcloud_ai_endpoints._model_list import alist_models, list_models
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {"_batches": ("Batch", "Counts"), "_http": ("Waiting",), "_model_list": ("alist_models", "list_models")},
        keeps=False,
    )

for _public in (
    Model,
    Timeouts,
    EmptyAnswerWarning,
    ModelDeprecationWarning,
    EmbeddingUsage,
    Message,
    ToolCall,
    *OVHCloudError.__subclasses__(),
    OVHCloudError,
    ContextOverflowError,
    APITimeoutError,
):
    _public.__module__ = __name__  # so that tracebacks show the public name

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "ContextOverflowError",
    "Counts",
    "EmbeddingUsage",
    "EmbeddingsInterruptedError",
    "EmptyAnswerWarning",
    "InternalServerError",
    "InvalidResponseError",
    "Message",
    "Model",
    "ModelDeprecationWarning",
    "NotFoundError",
    "OVHCloudError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "StreamInterruptedError",
    "Timeouts",
    "ToolCall",
    "Waiting",
    "__version__",
    "alist_models",
    "list_models",
    "model",
]
