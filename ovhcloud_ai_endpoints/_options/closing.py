"""How a model object closes the connections that it uses."""

from typing import TYPE_CHECKING, Self

from ovhcloud_ai_endpoints._http import Settings, aclose, close


class ClosesConnections:
    """A block at whose end the connections of a model object are closed, but never a client that the user gave."""

    if TYPE_CHECKING:

        @property
        def _ovhcloud_settings(self) -> Settings: ...

    def close(self) -> None:
        """Closes the connections for calls that block, which objects with the same settings share.

        Calls that are under way end as they would; the next call, of whatever object, opens new ones.
        """
        close(self._ovhcloud_settings)

    async def aclose(self) -> None:
        """The same for calls that are awaited on the running loop."""
        await aclose(self._ovhcloud_settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
