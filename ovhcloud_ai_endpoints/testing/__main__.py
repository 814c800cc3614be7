"""Runs the local AI Endpoints until Ctrl-C, or for as long as a command takes.

    python -m ovhcloud_ai_endpoints.testing --port 8000
    python -m ovhcloud_ai_endpoints.testing -- python my_app.py

The command finds the server through environment variables, as it would find the service.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ovhcloud_ai_endpoints.testing import LocalEndpoints


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs a command, and returns its status, as shells give it: 128 and the number of the signal that ended it.

    Once it runs, it gets the signal that asks us to end. On Ctrl-C, which a terminal sends to it as well, we wait.
    """
    process: subprocess.Popen[bytes] | None = None
    is_asked_to_end = False

    def end(*_: object) -> None:
        nonlocal is_asked_to_end
        is_asked_to_end = True
        if process is not None:
            process.terminate()

    signal.signal(signal.SIGINT, lambda *_: None)  # a command would inherit SIG_IGN
    signal.signal(signal.SIGTERM, end)
    process = subprocess.Popen(command, env=environ)  # noqa: S603
    if is_asked_to_end:
        process.terminate()
    code = process.wait()
    return code if code >= 0 else 128 - code


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ovhcloud_ai_endpoints.testing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; by default any free one")
    parser.add_argument("--anonymous", action="store_true", help="set an empty API key")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="command to run with the server")
    options, rest = parser.parse_known_args()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}; a command comes after --")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(LocalEndpoints(port=options.port))
        except (OSError, ValueError) as error:
            parser.error(str(getattr(error, "strerror", error)))
        environ = server.environ | ({"OVHCLOUD_API_KEY": ""} if options.anonymous else {})
        if options.command:
            try:
                return _run(options.command, os.environ | environ)
            except OSError as error:
                parser.error(f"{options.command[0]} can't be run: {error.strerror}")
        print("# A local AI Endpoints, with no model behind it. To use it:")
        for name, value in environ.items():
            print(f"export {name}={value}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("# stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
