"""Batch jobs: any code that calls our classes, at half the price, going on from its ledger after any crash."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._batches.batch import Batch
    from ovhcloud_ai_endpoints._batches.command import add_command, run_command
    from ovhcloud_ai_endpoints._batches.progress import Counts
else:
    __getattr__, __dir__ = _lazy.names(
        __name__, {"batch": ("Batch",), "command": ("add_command", "run_command"), "progress": ("Counts",)}
    )

__all__ = ["Batch", "Counts", "add_command", "run_command"]
