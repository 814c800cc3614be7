"""Runs the programs of `tests/scripts`, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from ovhcloud_ai_endpoints.testing import LocalEndpoints

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run_script(server: LocalEndpoints, script: str, *arguments: str) -> list[str]:
    """The lines that it prints; it must end well, and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", SCRIPTS / script, *arguments],
        env=os.environ | server.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()
