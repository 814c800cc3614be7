"""How a model object closes the connections that it uses."""

from typing import TYPE_CHECKING, Self

from ovhcloud_ai_endpoints import _http


class ClosesConnections:
    """Closes a model object's connections, also at the end of a `with` block; never a client that the user gave."""

    if TYPE_CHECKING:

        @property
        def _ovhcloud_settings(self) -> _http.Settings: ...

    def close(self) -> None:
        """Closes the connections of blocking calls, which objects with the same settings share.

        Calls under way still finish; the next call of any object opens new connections.
        """
        _http.close(self._ovhcloud_settings)

    async def aclose(self) -> None:
        """The same as `close`, for calls awaited on the running loop."""
        await _http.aclose(self._ovhcloud_settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
