"""What is loaded when it is first used, so that importing a class takes milliseconds and not a tenth of a second.

Forks wait for such an import, as for the first one of httpx: see `_process.no_fork`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ovhcloud_ai_endpoints._process import no_fork


def names(package: str, places: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package that gets names from its modules.

    Args:
        places: the names by module.
    """
    module_of = {name: module for module, found in places.items() for name in found}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(_loaded(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # so that this is not asked again
        return value

    return get


class Module:
    """A module, imported when one of its names is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(_loaded(self._name), name)
        setattr(self, name, value)
        return value


def require(module: str, advice: str) -> None:
    """Checks that a module could be imported, without importing it.

    Raises:
        ImportError: it could not; `advice` is its text.
    """
    try:
        is_there = find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it is in
        is_there = False
    if not is_there:
        raise ImportError(advice)


def _loaded(name: str) -> Any:
    with no_fork():
        return import_module(name)
