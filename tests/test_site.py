"""What the site is made of, beyond the pages that tests/test_docs.py runs."""

import importlib
import re
import runpy
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = ("langchain", "llama-index")


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_notebook_is_the_tutorial(tutorial: str) -> None:
    notebook = runpy.run_path(str(DOCS / "notebooks.py"))["notebook"]

    assert notebook(tutorial) == (DOCS / "notebooks" / f"{tutorial}.ipynb").read_text("utf-8")


@pytest.mark.timeout(60)  # a kernel starts, and imports all of a framework
@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_notebook_runs_without_a_key(tutorial: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OVHCLOUD_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_BASE"):
        monkeypatch.delenv(variable, raising=False)
    notebook = nbformat.read(DOCS / "notebooks" / f"{tutorial}.ipynb", as_version=4)

    NotebookClient(notebook, timeout=50).execute()

    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code" and "print(" in cell.source)


@pytest.mark.parametrize(
    ("package", "page"),
    [
        ("ovhcloud_ai_endpoints", "ovhcloud_ai_endpoints"),
        ("ovhcloud_ai_endpoints.ray", "ray"),
        ("ovhcloud_ai_endpoints.testing", "testing"),
        ("langchain_ovhcloud", "langchain_ovhcloud"),
        ("llama_index_ovhcloud", "llama_index_ovhcloud"),
    ],
)
def test_each_public_name_is_in_the_reference(package: str, page: str) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text("utf-8")
    documented = set(re.findall(r"^\.\. (?:auto\w+|data):: (\w+)$", text, re.MULTILINE))

    assert documented == set(importlib.import_module(package).__all__) - {"__version__"}


def test_each_page_has_its_place_in_the_site() -> None:
    listed = re.findall(r"^[\w/-]+$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE)
    pages = [page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")]

    assert sorted([*listed, "index"]) == sorted(pages)


def test_links_on_pypi_are_those_of_the_repository() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    readme = document["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]

    assert readme["substitutions"][0]["replacement"] == (
        f"]({document['project']['urls']['Repository']}/blob/v$HFPR_VERSION/"
    )
