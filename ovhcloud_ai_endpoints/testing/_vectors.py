"""Embeddings of the local AI Endpoints: letters hashed into vectors, so that similar texts are near."""

import base64
import math
import struct
import zlib

GRAM = 4


def vector(text: str, width: int) -> list[float]:
    """A vector of length 1: the counts of the text's groups of four letters, hashed."""
    numbers = [0.0] * width
    padded = f" {' '.join(text.lower().split())} "
    for start in range(max(1, len(padded) - GRAM + 1)):
        numbers[zlib.crc32(padded[start : start + GRAM].encode("utf-8", "replace")) % width] += 1.0
    length = math.sqrt(sum(number * number for number in numbers))
    return [round(number / length, 6) for number in numbers]


def as_base64(numbers: list[float]) -> str:
    """The numbers as little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
