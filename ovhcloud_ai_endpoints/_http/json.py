"""JSON that a server wrote, read within bounds.

Pure.
"""

import json
import re
from typing import Any

from pydantic_core import from_json

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # whose escape, if it is a lone one, pydantic refuses

# Objects and arrays in one answer. Sixteen megabytes of brackets would become half a gigabyte and block a loop for two
# seconds; answers with log probabilities have five of them for each of at most 100,000 tokens.
MOST_CONTAINERS = 1_000_000


def parsed_json(text: bytes) -> Any:
    """The value of a JSON text, in whose strings lone surrogates stay as they are.

    Raises:
        ValueError: it is not JSON, or holds more than a million objects and arrays.
    """
    if len(text) > MOST_CONTAINERS and text.count(b"{") + text.count(b"[") > MOST_CONTAINERS:
        raise ValueError(f"it holds more than {MOST_CONTAINERS:,} objects and arrays")
    try:
        return from_json(text, cache_strings="keys")  # a cache of values would outlive them
    except ValueError:
        if not _SURROGATE.search(text):
            raise
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
