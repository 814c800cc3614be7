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
    names_of,
    retired_models,
    retirement,
)
from ovhcloud_ai_endpoints._catalogue.names import ListedName, listed_name, name_to_send

__all__ = [
    "Kind",
    "ListedName",
    "Model",
    "advice",
    "alternatives",
    "bundled_models",
    "catalogue_date",
    "ids_of",
    "is_ovhcloud",
    "listed_name",
    "model",
    "name_to_send",
    "names_of",
    "retired_models",
    "retirement",
]
