"""The code blocks of the docs that need Ray."""

from pathlib import Path

import pytest
from examples import examples, name, run
from pytest_examples import CodeExample, EvalExample

from ovhcloud_ai_endpoints.testing import LocalEndpoints


@pytest.mark.parametrize("example", examples('python {requires="ray"}'), ids=name)
def test_example_runs_and_prints_what_it_says(
    example: CodeExample,
    eval_example: EvalExample,
    clean: LocalEndpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in clean.environ.items():
        monkeypatch.setenv(variable, value)
    run(example, eval_example, monkeypatch, tmp_path)
