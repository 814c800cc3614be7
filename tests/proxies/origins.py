"""The local AI Endpoints in a process of its own, which is told what to do: the origin behind the proxies.

python origins.py PORT [ROLE] serves until its input ends.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

BEGUN, ENDED = "Half of it,", " and the rest."
SHORT, LONG = 0.2, 3.0  # seconds of silence: within the timeouts of the proxies, and beyond
SCRIPTED = 20_000  # answers; more than any run asks for


class Origin:
    """The process, from the outside."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}/v1"

    def stop(self) -> None:
        """Closes all connections, and refuses others."""
        self._tell("stop")

    def start(self) -> None:
        """Listens on the same port again."""
        self._tell("start")

    def _tell(self, order: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(order, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def running_origin(port: int, role: str = "", *, within: Sequence[str] = ()) -> Iterator[Origin]:
    """An origin on a port.

    Args:
        role: "slow" for one whose streams take a while, "stalling" for one whose streams fall silent by turns, "late"
            for one whose answers are late by turns.
        within: a command that runs commands, as `ip netns exec` does.
    """
    command = [*within, sys.executable, __file__, str(port), role]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield Origin(process, port)
        finally:
            process.kill()


def _serve(port: int, role: str) -> None:
    said = "ready"
    while True:
        server = LocalEndpoints(port=port, requests_per_minute=10**9)
        _script(server, role)
        with server:
            _say(said)
            if sys.stdin.readline() != "stop\n":
                return
        _say("done")
        if sys.stdin.readline() != "start\n":
            return
        said = "done"


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _script(server: LocalEndpoints, role: str) -> None:
    for turn in range(SCRIPTED if role else 0):
        seconds = LONG if turn % 2 and role != "slow" else SHORT
        if role == "late":
            server.reply(pause=seconds)
        else:
            server.reply(events=[_delta(BEGUN), Pause(seconds), _delta(ENDED, "stop"), "[DONE]"])


def _delta(content: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}]}


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
