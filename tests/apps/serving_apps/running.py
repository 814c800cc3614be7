"""Runs the apps of this folder, each as a process of its own, and what serves them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import bare_environ
from waiting import eventually

HERE = Path(__file__).parent


def environ_of_apps(*more: Mapping[str, str]) -> dict[str, str]:
    """The environment of an app, which finds its modules there."""
    found = bare_environ(PYTHONPATH=str(HERE.parent), PYTHONUNBUFFERED="1")
    for one in more:
        found |= one
    return found


def run_app(script: str, *arguments: str, environ: Mapping[str, str]) -> str:
    """What an app prints; it must end well, and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", HERE / script, *arguments],
        env=environ_of_apps(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


class Process:
    """A process that runs until it is told to stop, and what it has printed."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self.child = subprocess.Popen(
            command,
            env=environ_of_apps(environ),
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(list(self.lines))

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def wait_for(self, text: str, times: int = 1, seconds: float = 60) -> None:
        """Until it has printed a text so often."""
        came = eventually(lambda: self.output.count(text) >= times or self.child.poll() is not None, seconds)
        assert came, f"{text!r} did not come: {self.output}"
        assert self.output.count(text) >= times, self.output

    def stop(self) -> int:
        """Ends it as an operator would, and returns its status."""
        if self.child.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.child.wait(40)
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """Ends it, and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(10)
        self._reader.join(5)
        if self.child.stdout is not None:
            self.child.stdout.close()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.append(line)


@contextmanager
def running(command: list[str], *, ready: str, environ: Mapping[str, str], times: int = 1) -> Iterator[Process]:
    """A process, once it has printed that it is ready."""
    process = Process(command, environ)
    try:
        process.wait_for(ready, times)
        yield process
    finally:
        process.kill()
