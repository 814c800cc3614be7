"""Calls over a client that the user gave, of httpx or of its successor httpx2.

A driver; it imports neither, since it only uses what it is given.
"""

import time
from collections.abc import Mapping
from typing import Any

from ovhcloud_ai_endpoints._http.bodies import awaited_content, blocking_content, nothing
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.request import headers_by_name


class GivenConnection:
    """One call over a client that the user gave, which reads and waits in its own way."""

    is_free = False
    _response: Any = None

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        request = _built_by(self._client, call, blocking_content(call.content))
        try:
            self._response = self._client.send(request, stream=True, follow_redirects=False)
            self._chunks = self._response.iter_bytes()
        except Exception as error:  # noqa: BLE001 - httpx and httpx2 share no class
            self._response, self._chunks = _refused(error), iter(())
        _bound_body(self._response, call)
        return self._response.status_code, headers_by_name(self._response.headers.raw)

    def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        return next(self._chunks, None)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()


class AsyncGivenConnection:
    """The same as `GivenConnection`, to be awaited."""

    is_free = False
    _response: Any = None

    def __init__(self, client: Any) -> None:
        self._client = client

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer."""
        request = _built_by(self._client, call, awaited_content(call.content))
        try:
            self._response = await self._client.send(request, stream=True, follow_redirects=False)
            self._chunks = self._response.aiter_bytes()
        except Exception as error:  # noqa: BLE001 - httpx and httpx2 share no class
            self._response, self._chunks = _refused(error), nothing()
        _bound_body(self._response, call)
        return self._response.status_code, headers_by_name(self._response.headers.raw)

    async def read(self) -> bytes | None:
        """The next piece of the answer, decompressed; None at its end."""
        return await anext(self._chunks, None)

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()

    def close(self) -> None:
        """Nothing is left to close after `aclose`."""


def _built_by(client: Any, call: Call[Any], content: Any) -> Any:
    now = time.monotonic()
    connect, left = call.connect_timeout(now), call.read_timeout(now)
    timeout = (connect, left, left, left)  # the form that httpx2 takes too
    length = {"Content-Length": str(call.content.size)} if call.content.size else {}
    headers = {**call.headers, **length}
    return client.build_request(call.method, call.url, content=content, headers=headers, timeout=timeout)


def _refused(error: Exception) -> Any:
    """The answer for which a hook of the client raised, with its body closed; other exceptions are raised again."""
    if type(error).__name__ == "HTTPStatusError" and hasattr(error, "response"):
        return error.response
    raise error


def _bound_body(response: Any, call: Call[Any]) -> None:
    """Sets the timeout for reads of the body, which httpx looks up when the first begins."""
    response.request.extensions.get("timeout", {})["read"] = call.body_timeout(time.monotonic())
