"""Copies of model objects: what goes into a pickle, and what copies share.

Pure. A pickle holds no key: it may be stored or sent to another machine, where the environment has one.
"""

import logging
import pickle
from typing import Any

from pydantic import BaseModel

from ovhcloud_ai_endpoints._errors import AuthenticationError

SHARED = ("api_key", "verify", "http_client", "http_async_client")

log = logging.getLogger("ovhcloud_ai_endpoints")


def key_that_was_not_pickled() -> str:
    """Stands where a key was.

    Raises:
        AuthenticationError: always, and not an anonymous call instead.
    """
    raise AuthenticationError(
        "This object was pickled, and keys are not. Set OVHCLOUD_API_KEY where it is loaded, or assign its api_key."
    )


def picklable(model: BaseModel, *, has_key: bool) -> dict[str, Any]:
    """The state of an object, in which what can't be pickled has its default; the object stays as it is.

    A key becomes None, so that it is read from the environment again, or raises if that has none.
    """
    state = BaseModel.__getstate__(model)
    fields = type(model).model_fields
    values = {name: value for name, value in state["__dict__"].items() if name in fields}  # and nothing that was cached
    for name, value in values.items():
        if name == "api_key":
            values[name] = key_that_was_not_pickled if has_key else value
        elif not _can_be_pickled(value):
            log.warning("%s of %s can't be pickled and is left out", name, type(model).__name__)
            values[name] = fields[name].get_default(call_default_factory=True)
    return {**state, "__dict__": values}


def _can_be_pickled(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a value's own __reduce__ may raise anything
        return False
    return True
