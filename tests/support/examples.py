"""The code blocks of README and docs."""

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples(opening: str) -> list[CodeExample]:
    """The blocks that open with these words behind the backticks."""
    return [example for example in find_examples(*map(str, PAGES)) if example.prefix.strip() == opening]


def name(example: CodeExample) -> str:
    return f"{example.path.name}:{example.start_line}"


def run(example: CodeExample, eval_example: EvalExample, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Runs a block in a folder of its own, since some write files; and compares what it prints with what it shows."""
    monkeypatch.chdir(folder)
    eval_example.set_config(line_length=120)
    if "#>" in example.source:
        eval_example.run_print_check(example)
    else:
        eval_example.run(example)
