"""Checks of what `LocalEndpoints.reply` is given, so that a wrong script fails where it is written.

Pure. An error names the argument.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction, signature
from typing import Any

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")
USAGE = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
)


def check_text(name: str, value: Any) -> None:
    """Checks what the model says.

    Raises:
        TypeError: it is no text.
        ValueError: it can't be sent.
    """
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be a text; got {value!r:.200}; for an object, json.dumps(...)")
    if value is not None:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} must have no lone surrogates; got {value!r:.200}") from None


def check_function(function: Callable[..., Any]) -> None:
    """Checks a function that makes an answer of a request.

    Raises:
        TypeError: it can't be called with a request, or must be awaited.
    """
    if iscoroutinefunction(function):
        raise TypeError("The function of reply() must not be async: it runs on the server's thread")
    try:
        signature(function).bind(None)
    except TypeError:
        raise TypeError("The function of reply() must take the request as its one argument") from None
    except ValueError:
        return  # a function of C has no signature


def check_finish_reason(value: str | None) -> None:
    """Checks a finish reason.

    Raises:
        ValueError: no engine gives it.
    """
    if value is not None and value not in FINISH_REASONS:
        raise ValueError(f"finish_reason must be one of {', '.join(FINISH_REASONS)}; got {value!r}")


def check_usage(usage: Any) -> None:
    """Checks a usage.

    Raises:
        TypeError: it is no dict of ints.
        ValueError: a key is not known, or a number is negative.
    """
    if not isinstance(usage, Mapping):
        raise TypeError(f"usage must be a dict; got {usage!r}")
    for name, value in usage.items():
        if name not in USAGE:
            raise ValueError(f"usage has no {name!r}; its keys are {', '.join(USAGE)}")
        for count in value.values() if isinstance(value, Mapping) else [value]:
            if not isinstance(count, int | None) or isinstance(count, bool):
                raise TypeError(f"usage must hold numbers of tokens; got {name}={value!r}")
            if count is not None and count < 0:
                raise ValueError(f"usage must hold no negative numbers; got {name}={value!r}")


def check_headers(headers: Any) -> None:
    """Checks headers.

    Raises:
        TypeError: they are no dict.
        ValueError: a name or value can't be sent.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a dict; got {headers!r}")
    for name, value in headers.items():
        if not (str(name).isascii() and str(name).replace("-", "").replace("_", "").isalnum()):
            raise ValueError(f"headers must have names of letters, digits, - and _; got {name!r}")
        if any(character in str(value) for character in "\r\n\0"):
            raise ValueError(f"headers must have values without line ends; got {value!r}")


def check_vectors(vectors: Any) -> None:
    """Checks vectors.

    Raises:
        TypeError: they are no lists of numbers.
        ValueError: they have no number, several widths, or a number that JSON can't hold.
    """
    is_list = isinstance(vectors, Sequence) and not isinstance(vectors, str | bytes)
    if not (is_list and all(_is_vector(vector) for vector in vectors)):
        raise TypeError(
            f"vectors are lists of numbers, one for each text, or a function of a text; got {vectors!r:.200}"
        )
    if len({len(vector) for vector in vectors}) > 1 or not all(len(vector) for vector in vectors):
        raise ValueError(f"vectors must have one width, of 1 at least; got {[len(vector) for vector in vectors]}")
    if not all(math.isfinite(number) for vector in vectors for number in vector):
        raise ValueError("vectors must hold finite numbers")


def _is_vector(vector: Any) -> bool:
    try:
        return not isinstance(vector, str | bytes) and all(math.isfinite(number) or True for number in vector)
    except TypeError:
        return False


def check_json(name: str, value: Any) -> None:
    """Checks that JSON can hold a value.

    Raises:
        TypeError: it can't.
    """
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be what JSON can hold: {error}") from None


def check_pause(pause: Any) -> None:
    """Checks seconds.

    Raises:
        TypeError: they are no number.
        ValueError: they are negative.
    """
    if not isinstance(pause, int | float) or isinstance(pause, bool):
        raise TypeError(f"pause must be a number of seconds; got {pause!r}")
    if pause < 0:
        raise ValueError(f"pause must not be negative; got {pause!r}")


def check_steps(name: str, steps: Any, kinds: tuple[type, ...]) -> None:
    """Checks the steps of a connection or stream.

    Raises:
        TypeError: they are no list, or one can't be sent.
    """
    if isinstance(steps, str | bytes) or not isinstance(steps, Iterable):
        raise TypeError(f"{name} must be a list, of which each part is sent by itself; got {steps!r:.200}")
    for step in steps:
        if name == "raw" and not isinstance(step, kinds):
            raise TypeError(f"raw must be a list of bytes, Pause, CUT or RESET; got {step!r:.200}")
        if name == "events" and not isinstance(step, (*kinds, str)):
            check_json("events", step)
