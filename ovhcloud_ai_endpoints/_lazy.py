"""What is loaded when it is first used, so that importing a class takes milliseconds and not a tenth of a second.

Forks wait for such an import, as for the first one of httpx: see `_process.no_fork`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ovhcloud_ai_endpoints._process import no_fork


def names(
    package: str, places: Mapping[str, Sequence[str]], *, keeps: bool = True
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package that gets names from its modules, and the modules themselves.

    Args:
        places: the names by module.
        keeps: whether a name is asked for only once; else what a test patches in a module is seen, and gone afterwards.
    """
    module_of = {name: f"{package}.{module}" for module, found in places.items() for name in found}

    def get(name: str) -> Any:
        if name in places:
            return _loaded(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = sys.modules.get(module_of[name])
        value = getattr(module, name) if hasattr(module, name) else getattr(_loaded(module_of[name]), name)
        if keeps:
            setattr(sys.modules[package], name, value)
        return value

    def all_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of} - {"TYPE_CHECKING"})

    return get, all_names


class Module:
    """A module, imported when one of its names is first used."""

    __slots__ = ("__dict__", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # by copy and pickle, before there is a `_name`; nothing private is asked for
            raise AttributeError(name)
        module = _loaded(self._name)
        self.__dict__ = module.__dict__  # shared, so that what is patched there is patched here
        return getattr(module, name)

    def __reduce__(self) -> tuple[type["Module"], tuple[str]]:
        return Module, (self._name,)


def require(module: str, advice: str) -> None:
    """Checks that a module could be imported; imports its parents only.

    Raises:
        ImportError: it could not; `advice` is its text.
    """
    try:
        is_there = find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        is_there = False
    if not is_there:
        raise ImportError(advice)


def _loaded(name: str) -> Any:
    with no_fork():
        return import_module(name)
