"""Handles what LlamaIndex adds to a saved object when that is loaded again."""

from collections.abc import Collection, Mapping
from typing import Any


class Saved:
    """Drops the name of the class from the arguments, where LlamaIndex put it for `from_dict`."""

    @classmethod
    def _ovhcloud_renamed(cls, arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
        rest = {name: value for name, value in arguments.items() if name != "class_name"}
        return super()._ovhcloud_renamed(rest, known)  # type: ignore[misc, no-any-return]  # from the options class
