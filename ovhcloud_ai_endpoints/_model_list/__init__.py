"""The models that the service has today."""

from ovhcloud_ai_endpoints._model_list.asking import alist_models, list_models
from ovhcloud_ai_endpoints._model_list.report import document, table

__all__ = [
    "alist_models",
    "document",
    "list_models",
    "table",
]
