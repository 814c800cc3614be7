"""Twice the work takes twice the steps and bytes, which are counted, since times depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "effort.py"
NOISE = 1_000_000  # bytes, by which garbage that is not collected yet may differ


@pytest.mark.timeout(120)
def test_grows_with_the_work() -> None:
    run = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    faster = [
        (kind, steps, held)
        for kind, steps, held in found
        if steps[2] - steps[1] >= 1.5 * 2 * (steps[1] - steps[0]) + steps[0] / 4
        or held[2] - held[1] >= 1.5 * 2 * (held[1] - held[0]) + NOISE
    ]

    assert len(found) == 11
    assert faster == []
