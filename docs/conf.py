"""The site of these pages: make docs"""

import os
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from langchain_core.language_models import LanguageModelInput
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

import ovhcloud_ai_endpoints.testing  # noqa: F401 - autodoc imports with TYPE_CHECKING set, which pydantic's models don't bear

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
MODEL_INPUT = stringify_annotation(LanguageModelInput, "smart")
OURS = ("ovhcloud_ai_endpoints", "langchain_ovhcloud", "llama_index_ovhcloud")

project = "OVHcloud AI Endpoints"
html_title = project
project_copyright = "2026, the OVHcloud AI Endpoints for LangChain and LlamaIndex developers"
release = version = metadata.version(PROJECT["name"])
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]

myst_heading_anchors = 4  # so that page.md#heading leads where it leads on GitHub
highlight_language = "text"  # of blocks that name none: shells
smartquotes_action = "D"  # dashes only, since docstrings have values in quotes

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}

add_module_names = False
default_role = "py:obj"  # docstrings are written like Markdown: a name in backticks is a link if it is documented
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
autodoc_default_options = {"inherited-members": True}
autodoc_inherit_docstrings = False  # what a framework says of its own methods is in its own docs
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, not a directive and an anchor for each
toc_object_entries_show_parents = "hide"

nitpicky = True
nitpick_ignore = [
    ("py:class", "LanguageModelInput"),  # of LangChain
    ("py:class", "BaseTool"),  # of the frameworks, which our modules import for type checkers only
    ("py:exc", "OutputParserException"),  # of langchain_core
    ("py:class", "ovhcloud_ai_endpoints.testing._script._End"),  # the type of CUT and RESET
    ("py:class", "langchain_ovhcloud._configurable.ConfigurableFields"),  # runnables, as far as users need to know
    ("py:class", "langchain_ovhcloud._configurable.ConfigurableAlternatives"),
    ("py:class", "langchain_ovhcloud.chat_models._Object"),  # type variables
    ("py:class", "ovhcloud_ai_endpoints._batches.batch.I"),
    ("py:class", "ovhcloud_ai_endpoints._batches.batch.O"),
]
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # the default role, whose text is often no name but a value
    # Names of others; a build needs no network, and LangChain and LlamaIndex are not known to have inventories.
    ("py:class", r"(collections\.abc|langchain_core|llama_index\.core|os|pathlib|pydantic\.types|ssl)\..+"),
]
if os.environ.get("ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "pydantic": ("https://docs.pydantic.dev/latest", None),
    }


def setup(app: Sphinx) -> None:
    """Connects what is below."""
    app.connect("source-read", lambda _, name, text: _point_links(app.env.doc2path(name), text))
    app.connect("include-read", lambda _, path, __, text: _point_links(DOCS / path, text))
    app.connect("autodoc-skip-member", _skip_foreign)
    app.connect("autodoc-process-docstring", _mark_examples, priority=400)  # both before napoleon
    app.connect("autodoc-process-docstring", _complete_arguments, priority=410)
    app.connect("autodoc-process-signature", _shorten_signature)


def _point_links(page: str | Path, text: list[str]) -> None:
    """Points links to files that are no pages to the repository, and those of the included README to pages."""
    page = Path(page).resolve()

    def pointed(link: re.Match[str]) -> str:
        target = (page.parent / link["path"]).resolve()
        if not target.is_relative_to(ROOT) or not target.exists() or target.suffix == ".svg":
            return link[0]
        if target.is_relative_to(DOCS) and target.suffix == ".md":
            return link[0] if page.is_relative_to(DOCS) else f"](/{target.relative_to(DOCS)}"
        return f"]({REPOSITORY}/blob/main/{target.relative_to(ROOT)}"

    text[0] = re.sub(r"\]\((?P<path>[^)#:]+)", pointed, text[0])


def _skip_foreign(_app: Sphinx, _what: str, _name: str, member: Any, *_: Any) -> bool | None:
    """Leaves out what a class inherits from its framework or from pydantic."""
    module = getattr(getattr(member, "fget", member), "__module__", None) or ""
    return None if module.startswith(OURS) else True


def _mark_examples(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Makes code of what is indented below a paragraph, as in Markdown."""
    marked: list[str] = []
    last, blank = "", True
    for line in lines:
        if line.startswith("    ") and blank and not last.startswith(" "):
            marked += [".. code-block:: python", ""]
        marked.append(line)
        last, blank = line or last, not line
    if what == "property":
        marked[:0] = ["..", ""]  # a comment; napoleon takes what is before a colon in the first line for a type
    lines[:] = marked


def _complete_arguments(_app: Sphinx, what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """Adds type, default and aliases of each argument to the docstring of a pydantic class."""
    if what != "class" or not issubclass(obj, BaseModel):
        return
    for place, line in enumerate(lines):
        argument, colon, text = line.strip().partition(": ")
        if not colon or argument not in obj.model_fields:
            continue
        field = obj.model_fields[argument]
        if field.default is not None and field.default is not PydanticUndefined:
            text += f" Default: ``{field.default!r}``."
        aliases = obj._ovhcloud_aliases.items()  # noqa: SLF001 - our own
        if others := [f"``{alias}``" for alias, meant in aliases if meant == argument]:
            text += f" Also: {', '.join(others)}."
        lines[place] = f"    {argument} ({stringify_annotation(field.annotation, 'smart')}): {text}"


def _shorten_signature(
    _app: Sphinx, what: str, _name: str, obj: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """Leaves the arguments of a pydantic class to the list below it, and makes Python of others."""
    if what == "class" and issubclass(obj, BaseModel):
        return "(**arguments)", None
    returns = returns and returns.replace(MODEL_INPUT, "LanguageModelInput")
    return signature and signature.replace("<factory>", "..."), returns
