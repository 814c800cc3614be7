"""What LlamaIndex adds to an object that is saved, and what is to be done with it when it is loaded."""

from collections.abc import Collection, Mapping
from typing import Any


class Saved:
    """Takes the name of the class out of the arguments, where LlamaIndex has put it for `from_dict`."""

    @classmethod
    def _ovhcloud_renamed(cls, arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
        rest = {name: value for name, value in arguments.items() if name != "class_name"}
        return super()._ovhcloud_renamed(rest, known)  # type: ignore[misc, no-any-return]  # of the options behind it
