"""The constructor arguments that all model classes share."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._options.arguments import hint_for
    from ovhcloud_ai_endpoints._options.connection import ConnectionOptions
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "arguments": ("hint_for",),
            "connection": ("ConnectionOptions",),
        },
    )

__all__ = [
    "ConnectionOptions",
    "hint_for",
]
