"""The models that the service has today."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._model_list.asking import alist_models, list_models
    from ovhcloud_ai_endpoints._model_list.report import aligned, document, table
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "asking": ("alist_models", "list_models"),
            "report": ("aligned", "document", "table"),
        },
    )

__all__ = [
    "aligned",
    "alist_models",
    "document",
    "list_models",
    "table",
]
