"""Vectors as they travel: lists of numbers, or base64 of 32-bit floats, which is a quarter as long and read in a tenth.

Pure, except that it remembers where base64 is refused.
"""

import base64
import sys
from array import array
from math import isfinite
from typing import Any, Literal

from ovhcloud_ai_endpoints._embeddings.options import EncodingFormat
from ovhcloud_ai_endpoints._errors import BadRequestError, OVHCloudError
from ovhcloud_ai_endpoints._process import Table
from ovhcloud_ai_endpoints._wordings import says

_refused: Table[tuple[str, str], bool] = Table(1024)  # by base URL and model, since a proxy has a route for each


def encoding_to_ask_for(asked: EncodingFormat, base_url: str, model: str) -> Literal["base64"] | None:
    """The field `encoding_format` of a request; None if it is not sent, for lists of numbers, the API's default."""
    if asked == "float" or (asked == "auto" and _refused.get((base_url, model))):
        return None
    return "base64"


def is_refused(error: OVHCloudError, base_url: str, model: str) -> bool:
    """Whether an error means that the server knows no base64, which is remembered."""
    is_about_it = isinstance(error, BadRequestError) and says(error.message, "no base64")
    return is_about_it and _refused.setdefault((base_url, model), lambda: True)


def decoded_vector(value: Any) -> list[float]:
    """The numbers of a vector in either form.

    Raises:
        TypeError: it has neither form.
        ValueError: a number is not finite, or the text is not base64 of 32-bit floats.
    """
    if isinstance(value, str):
        numbers = array("f")
        numbers.frombytes(base64.b64decode(value, validate=True))
        if sys.byteorder == "big":
            numbers.byteswap()
        vector = numbers.tolist()
    elif isinstance(value, list) and (kinds := set(map(type, value))) <= {int, float}:
        vector = value if kinds == {float} else list(map(float, value))
    else:
        raise TypeError("expected a list of numbers, or base64")
    if not isfinite(sum(vector)) and not all(map(isfinite, vector)):  # a sum is quicker, and may overflow
        raise ValueError("a number is not finite")
    return vector
