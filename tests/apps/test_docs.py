"""The code blocks of the docs that need packages of others."""

from pathlib import Path

import pytest
from examples import examples, name, run
from pytest_examples import CodeExample, EvalExample

pytestmark = pytest.mark.filterwarnings("default")  # those packages have warnings of their own


@pytest.mark.parametrize("example", examples('python {requires="apps"}'), ids=name)
@pytest.mark.usefixtures("environ")
def test_example_runs_and_prints_what_it_says(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(example, eval_example, monkeypatch, tmp_path)
