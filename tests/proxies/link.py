"""A link that delays and loses packets, and that can be cut.

The kernel's own netem is a module that not all have.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import ip

PACKETS = Path(__file__).with_name("packets.py")


class Link:
    """The running link.

    Attributes:
        within: the command that runs commands at its far end.
    """

    def __init__(self, process: "subprocess.Popen[str]", space: str) -> None:
        self._process = process
        self.within = ("ip", "netns", "exec", space)

    def cut(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._tell("cut")

    def mend(self) -> None:
        self._tell("mend")

    def _tell(self, order: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def running_link(*, delay: float = 0.0, loss: float = 0.0) -> Iterator[Link]:
    """A link to a network namespace of its own.

    Args:
        delay: seconds that a packet takes, in each direction.
        loss: the share of packets that get lost, in each direction.
    """
    space = f"ovh-{os.getpid()}"
    ip("netns", "add", space)
    try:
        command = [sys.executable, str(PACKETS), space, str(delay), str(loss)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == "done\n"
                yield Link(process, space)
            finally:
                process.kill()
    finally:
        ip("netns", "del", space)
