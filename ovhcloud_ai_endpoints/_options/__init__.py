"""The constructor arguments that all model classes share."""

from ovhcloud_ai_endpoints._options.connection import ConnectionOptions

__all__ = [
    "ConnectionOptions",
]
