"""The code blocks of README and docs, and the quickstarts, run as they stand against the local AI Endpoints."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from examples import PAGES, ROOT, examples, name, run
from pytest_examples import CodeExample, EvalExample, find_examples

from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions


@pytest.mark.timeout(60)  # some import a framework, and each print looks at the files of all modules
@pytest.mark.parametrize("example", examples("python"), ids=name)
@pytest.mark.usefixtures("environ")
def test_example_runs_and_prints_what_it_says(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(example, eval_example, monkeypatch, tmp_path)


def test_each_block_of_python_is_run_somewhere() -> None:
    openings = ("python", 'python {requires="apps"}', 'python {requires="ray"}')
    known = {name(example) for opening in openings for example in examples(opening)}

    assert {name(example) for example in find_examples(*map(str, PAGES)) if "py" in example.prefix} == known


@pytest.mark.timeout(90)  # it imports all of both frameworks
def test_demo_answers_with_sources_tokens_and_cost() -> None:
    done = demo()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A local stand-in for the service answers.")
    assert "Next: " in done.stdout.splitlines()[-3]
    for shown in (
        "The service takes 400 requests a minute for each model with a key, and 2 without one.",
        "Sources: docs/guides/limits.md",
        "The model calls count_words({'text': 'to be or not to be'})",
        "Ticket(subject='streams', priority=2)",
        "tokens of bge-m3: on the service, $0.00",
    ):
        assert done.stdout.count(shown) >= 2, shown  # once in each framework
    assert "\033[" not in done.stdout  # no colours, as this is no terminal


def test_demo_without_a_network_ends_in_one_sentence() -> None:
    done = demo("--live", OVHCLOUD_API_BASE="http://127.0.0.1:9/v1")

    assert done.returncode == 1
    assert done.stderr.startswith("The service can't be asked: No answer from http://127.0.0.1:9/v1")
    assert done.stderr.count("\n") == 1


def demo(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "docs" / "examples" / "demo.py", *arguments]
    return subprocess.run(
        command,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def documents() -> Callable[[Path], dict[str, str]]:
    """The function by which the quickstarts read a folder."""
    return runpy.run_path(str(ROOT / "docs" / "examples" / "console.py"))["documents"]


def test_quickstarts_read_a_folder_in_any_encoding(documents: Callable[[Path], dict[str, str]], tmp_path: Path) -> None:
    folder = tmp_path / "my notes"
    folder.mkdir()
    (folder / "empty.md").touch()
    encodings = ["utf-8", "utf-8-sig", "utf-16", "cp1252"]
    for encoding in encodings:
        (folder / f"{encoding}.md").write_text("Das Café öffnet um neun.", encoding)

    assert documents(folder) == {f"{encoding}.md": "Das Café öffnet um neun." for encoding in sorted(encodings)}


@pytest.mark.parametrize(("name", "problem"), [("nowhere", "there is none at"), (".", "has none")])
def test_quickstarts_say_what_is_wrong_with_a_folder(
    documents: Callable[[Path], dict[str, str]], tmp_path: Path, name: str, problem: str
) -> None:
    with pytest.raises(SystemExit, match=f"FOLDER must .*{problem}"):
        documents(tmp_path / name)


def test_output_is_printed_by_the_block_itself_and_so_compared() -> None:
    """What a function prints that is handed on, such as print as a callback, is not compared."""
    handed_on = [name(example) for example in examples("python") if re.search(r"=print\b|\(print\)", example.source)]

    assert handed_on == []


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
                text = (page.parent / file if file else page).read_text("utf-8")
                assert anchor in anchors(text), f"{page.name}: {path}"


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["arguments", "errors", "faults", "models"])
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
