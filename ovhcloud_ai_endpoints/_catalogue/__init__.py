"""Facts about each model, from a dated catalogue, and advice on refused requests."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
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
    from ovhcloud_ai_endpoints._catalogue.refusals import advice
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "refusals": ("advice",),
            "models": (
                "Kind",
                "Model",
                "alternatives",
                "bundled_models",
                "catalogue_date",
                "ids_of",
                "is_ovhcloud",
                "model",
                "names_of",
                "retired_models",
                "retirement",
                "use_instead",
            ),
            "names": ("OtherName", "names_to_send"),
        },
    )

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
