"""What LlamaIndex adds to a saved object, taken off again."""

from collections.abc import Mapping
from typing import Any


def without_class_name(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor, from what `model_dump` gave."""
    return {name: value for name, value in arguments.items() if name != "class_name"}
