"""Bodies of requests as HTTP libraries take them.

A driver: those that are read while they are sent are read on a thread.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ovhcloud_ai_endpoints._http.request import Content


def blocking_content(content: Content) -> Any:
    return content.body() if callable(content.body) else content.body or None


def awaited_content(content: Content) -> Any:
    return _chunks(content.body()) if callable(content.body) else content.body or None


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _chunks(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a blocking body, such as a file, read on a thread."""
    rest = iter(chunks)
    while (chunk := await asyncio.to_thread(next, rest, None)) is not None:
        yield chunk
