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
    use_instead,
)
from ovhcloud_ai_endpoints._catalogue.names import OtherName, names_to_send

__all__ = [
    "Kind",
    "Model",
    "OtherName",
    "advice",
    "alternatives",
    "bundled_models",
    "catalogue_date",
    "ids_of",
    "is_ovhcloud",
    "model",
    "names_of",
    "names_to_send",
    "retired_models",
    "retirement",
    "use_instead",
]
