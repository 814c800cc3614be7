"""The models that the service has today."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._model_list.asking import alist_models, list_models
    from ovhcloud_ai_endpoints._model_list.report import document, table
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "asking": ("alist_models", "list_models"),
            "report": ("document", "table"),
        },
    )

__all__ = [
    "alist_models",
    "document",
    "list_models",
    "table",
]
