"""Facts about each model, from a dated catalogue, and advice on refused requests."""

from ovhcloud_ai_endpoints._catalogue.advice import advice
from ovhcloud_ai_endpoints._catalogue.models import (
    Kind,
    Model,
    alternatives,
    bundled_models,
    catalogue_date,
    ids_of,
    is_ovhcloud,
    model,
    name_to_send,
    names_of,
    retired_models,
    retirement,
)

__all__ = [
    "Kind",
    "Model",
    "advice",
    "alternatives",
    "bundled_models",
    "catalogue_date",
    "ids_of",
    "is_ovhcloud",
    "model",
    "name_to_send",
    "names_of",
    "retired_models",
    "retirement",
]
