"""Checks of what `LocalEndpoints.reply` is given, so that a wrong script fails where it is written.

Pure. An error names the argument.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction, signature
from typing import Any

# Of the service, and of other engines.
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call", "abort", "error", "model_length")
NEAR = 0.7  # similarity of two names, from 0 to 1, that makes one of them look misspelt
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
USAGE = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
)
OF_OTHERS = ("input_tokens", "output_tokens")  # LangChain's names for them


def check_text(name: str, value: Any) -> None:
    """Checks what the model says.

    Raises:
        TypeError: it is no text.
        ValueError: it can't be sent.
    """
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be a text; got {value!r:.200}; {_instead(value)}")
    if value is not None:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} must have no lone surrogates; got {value!r:.200}") from None


def _instead(value: Any) -> str:
    """What to write for what is no text."""
    if isinstance(value, list | tuple):
        return "for several answers, call reply() for each"
    if isinstance(getattr(value, "content", None), str):
        return "give the message's text"
    if hasattr(value, "model_dump_json"):
        return "for its JSON, model_dump_json()"
    return "for an object, json.dumps(...)"


def check_function(function: Callable[..., Any]) -> None:
    """Checks a function that makes an answer of a request.

    Raises:
        TypeError: it can't be called with a request, or must be awaited.
    """
    if iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - its kind
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
        ValueError: no engine is known to give it.
    """
    if value is not None and value not in FINISH_REASONS:
        raise ValueError(
            f"finish_reason must be one of {', '.join(FINISH_REASONS)}; got {value!r}; for any other, script a body"
        )


def check_usage(usage: Any) -> None:
    """Checks a usage.

    Raises:
        TypeError: it is no dict of numbers.
        ValueError: a key looks misspelt, or a number is negative.
    """
    if not isinstance(usage, Mapping):
        raise TypeError(f"usage must be a dict; got {usage!r}")
    for name, value in usage.items():
        if name not in USAGE and (name in OF_OTHERS or difflib.get_close_matches(name, USAGE, n=1, cutoff=NEAR)):
            raise ValueError(f"usage has no {name!r}; its keys are {', '.join(USAGE)}")
        if isinstance(value, Mapping):
            continue
        if not isinstance(value, int | float | None) or isinstance(value, bool):
            raise TypeError(f"usage must hold numbers of tokens; got {name}={value!r}")
        if value is not None and value < 0:
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
        if not (isinstance(name, str) and HEADER_NAME.fullmatch(name)):
            raise ValueError(f"headers must have names of letters, digits, - and _; got {name!r}")
        text = str(value)
        if not text.isascii() or text != text.strip() or any(end in text for end in "\r\n\0"):
            raise ValueError(f"headers must have values of ASCII, without line ends or blanks around; got {value!r}")


def checked_vectors(vectors: Any) -> list[list[float]]:
    """Vectors as lists.

    Raises:
        TypeError: they are no lists of numbers.
        ValueError: they have no number, several widths, or a number that JSON can't hold.
    """
    try:
        if isinstance(vectors, str | bytes):
            raise TypeError  # noqa: TRY301 - as for what has no numbers
        rows = [[float(number) for number in vector] for vector in vectors]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"vectors are lists of numbers, one for each text, or a function of a text; got {vectors!r:.200}"
        ) from None
    if len({len(row) for row in rows}) > 1 or not all(rows):
        raise ValueError(f"vectors must have one width, of 1 at least; got {[len(row) for row in rows]}")
    if not all(math.isfinite(number) for row in rows for number in row):
        raise ValueError("vectors must hold finite numbers")
    return rows


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
    if not pause >= 0:
        raise ValueError(f"pause must not be negative; got {pause!r}")


def checked_steps(name: str, steps: Any, kinds: tuple[type, ...]) -> list[Any]:
    """The steps of a connection or stream, as a list.

    Raises:
        TypeError: they are no list, or one can't be sent.
    """
    if isinstance(steps, str | bytes | Mapping) or not isinstance(steps, Iterable):
        raise TypeError(f"{name} must be a list, of which each part is sent by itself; got {steps!r:.200}")
    listed = list(steps)
    for step in listed:
        if name == "raw" and not isinstance(step, kinds):
            raise TypeError(f"raw must be a list of bytes, Pause, CUT or RESET; got {step!r:.200}")
        if name == "events" and not isinstance(step, (*kinds, str)):
            check_json("events", step)
    return listed
