"""The code blocks of README and docs, and the quickstarts, run as they stand against the local AI Endpoints."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from examples import PAGES, ROOT, examples, name, run
from pytest_examples import CodeExample, EvalExample, find_examples

from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions
from ovhcloud_ai_endpoints.testing import LocalEndpoints


@pytest.mark.parametrize("example", examples("python"), ids=name)
@pytest.mark.usefixtures("environ")
def test_example_runs_and_prints_what_it_says(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(example, eval_example, monkeypatch, tmp_path)


def test_each_block_of_python_is_run_somewhere() -> None:
    known = {name(example) for opening in ("python", 'python {requires="apps"}') for example in examples(opening)}

    assert {name(example) for example in find_examples(*map(str, PAGES)) if "py" in example.prefix} == known


@pytest.mark.timeout(60)  # it imports all of a framework
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_quickstart_answers_with_sources(environ: LocalEndpoints, framework: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "examples" / f"{framework}_quickstart.py", ROOT],
        env=os.environ | environ.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert environ.base_url in done.stdout
    assert "A stream that breaks off raises" in done.stdout.replace("**", "")
    assert "Sources: README.md" in done.stdout or "docs/guides/streaming.md" in done.stdout
    assert "calls count_words({'text': 'to be or not to be'})" in done.stdout
    assert "Ticket(subject='streams', priority=2)" in done.stdout
    assert done.stdout.count("tokens") >= 4
    assert done.stderr == ""


def test_output_that_is_shown_is_checked() -> None:
    """A formatter may write "# >", which pytest-examples takes for a remark."""
    assert [page.name for page in PAGES if "# >" in page.read_text("utf-8")] == []


def test_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in page.read_text("utf-8").split("](")[1:]:
            path = target.partition(")")[0]
            file, _, anchor = path.partition("#")
            is_there = path.startswith("http") or (page.parent / file).exists()
            assert is_there, f"{page.name}: {path}"
            if anchor and not path.startswith("http"):
                assert anchor in anchors((page.parent / file).read_text("utf-8")), f"{page.name}: {path}"


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["arguments", "models", "faults"])
def test_table_on_its_page_is_that_of_the_code(name: str) -> None:
    written = runpy.run_path(str(ROOT / "docs" / f"{name}.py"))

    assert written["page"]() == written["PAGE"].read_text("utf-8")


@pytest.mark.parametrize("package", ["langchain_ovhcloud", "llama_index_ovhcloud"])
def test_editors_see_the_arguments_that_there_are(package: str) -> None:
    written = runpy.run_path(str(ROOT / "docs" / "arguments.py"))["module"]

    assert written(importlib.import_module(package)) == (ROOT / package / "_arguments.py").read_text("utf-8")


def test_every_argument_is_documented() -> None:
    page = (ROOT / "docs" / "guides" / "configuration.md").read_text("utf-8")
    names = {
        *ChatOptions.model_fields,
        *EmbeddingOptions.model_fields,
        *ChatOptions._ovhcloud_aliases,
        *EmbeddingOptions._ovhcloud_aliases,
    }

    assert {name for name in names if f"`{name}`" not in page} == set()
