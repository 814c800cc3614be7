"""The code blocks of the docs that need Ray, each in a process of its own, as Ray would be left in the tests'."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import examples, name
from pytest_examples import CodeExample

from ovhcloud_ai_endpoints.testing import LocalEndpoints

QUIET = """
import ray
ray.init(num_cpus=4, include_dashboard=False, object_store_memory=2 * 10**8, logging_level="ERROR", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
"""


@pytest.mark.parametrize("example", examples('python {requires="ray"}'), ids=name)
def test_example_prints_what_it_says(example: CodeExample, server: LocalEndpoints, tmp_path: Path) -> None:
    environ = {**os.environ, **server.environ, "HOME": str(tmp_path), "RAY_TMPDIR": "/tmp/ovhcloud-ray"}

    ran = subprocess.run(
        [sys.executable, "-c", QUIET + example.source],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == re.findall(r"^#> (.*)$", example.source, re.MULTILINE)
