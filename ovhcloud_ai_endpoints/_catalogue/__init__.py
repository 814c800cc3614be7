"""Facts about each model, from a dated catalogue, and advice on refused requests."""

from ovhcloud_ai_endpoints._catalogue.advice import advice
from ovhcloud_ai_endpoints._catalogue.models import (
    Kind,
    Model,
    bundled_models,
    catalogue_date,
    ids_of,
    is_ovhcloud,
    model,
    name_to_send,
    names_of,
    nearest_names,
    retired_models,
)

__all__ = [
    "Kind",
    "Model",
    "advice",
    "bundled_models",
    "catalogue_date",
    "ids_of",
    "is_ovhcloud",
    "model",
    "name_to_send",
    "names_of",
    "nearest_names",
    "retired_models",
]
