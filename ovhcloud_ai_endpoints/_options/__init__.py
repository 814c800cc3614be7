"""The constructor arguments that all model classes share."""

from ovhcloud_ai_endpoints._options.arguments import hint_for
from ovhcloud_ai_endpoints._options.connection import ConnectionOptions

__all__ = [
    "ConnectionOptions",
    "hint_for",
]
