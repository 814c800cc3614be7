"""Copies of model objects: what goes into a pickle, and what copies share.

A pickle holds no secret: it may be stored or sent to another machine, whose environment has a key.
"""

import logging
import pickle
from typing import Any

from pydantic import BaseModel

from ovhcloud_ai_endpoints._errors import AuthenticationError
from ovhcloud_ai_endpoints._http import environment_key

# Live objects, which all copies share.
SHARED = (
    "api_key",
    "verify",
    "http_client",
    "http_async_client",
    "on_usage",
    "rate_limiter",
    "cache",
    "callbacks",
    "callback_manager",
)

SECRET = ("default_headers", "proxy")  # they may hold one
KEY_LEFT_OUT = "<key that was not pickled>"  # a text, since a pickle outlives the names of this package's modules
log = logging.getLogger("ovhcloud_ai_endpoints")


def key_that_was_not_pickled() -> str:
    """Takes the place of a key in an object from a pickle, if the environment has none.

    Raises:
        AuthenticationError: always, so that no call is made anonymously instead.
    """
    raise AuthenticationError(
        "This object was pickled, and keys are not. Set OVHCLOUD_API_KEY where it is loaded, or assign its api_key."
    )


def picklable(model: BaseModel, *, has_key: bool) -> dict[str, Any]:
    """An object's state without its secrets, and with defaults for what can't be pickled; the object is unchanged.

    Args:
        has_key: whether it has a key, which `KEY_LEFT_OUT` then replaces.
    """
    state = BaseModel.__getstate__(model)
    fields = type(model).model_fields
    values = {name: value for name, value in state["__dict__"].items() if name in fields}  # and nothing that was cached
    if has_key:
        values["api_key"] = KEY_LEFT_OUT
    for name, value in values.items():
        if (name in SECRET and value) or not _can_be_pickled(value):
            log.warning("%s of %s is not pickled", name, type(model).__name__)
            values[name] = fields[name].get_default(call_default_factory=True)
    return {**state, "__dict__": values}


def restored(state: dict[str, Any]) -> dict[str, Any]:
    """The state from a pickle, with the environment's key in place of the one that was not pickled."""
    values = state["__dict__"]
    if values.get("api_key") == KEY_LEFT_OUT:
        return {**state, "__dict__": {**values, "api_key": environment_key() or key_that_was_not_pickled}}
    return state


def _can_be_pickled(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a value's own __reduce__ may raise anything
        return False
    return True
