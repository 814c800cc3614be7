"""Writes the arguments of constructors, with their aliases and descriptions: python docs/arguments.py

They go into the configuration page, and into a module of each framework that type checkers and editors read.
"""

import subprocess
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints._catalogue import bundled_models
from ovhcloud_ai_endpoints._http import TimeoutLike
from ovhcloud_ai_endpoints._options import ConnectionOptions

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guides" / "configuration.md"
PACKAGES = (langchain_ovhcloud, llama_index_ovhcloud)

# What a constructor takes beyond what its field holds.
ALSO = {"base_url": None, "default_headers": None, "timeout": TimeoutLike}
# The frameworks' own arguments, which they describe elsewhere.
OF_FRAMEWORKS = {
    "cache": "A cache of answers; with True, the global one.",
    "callback_manager": "Handlers of LlamaIndex's events.",
    "callbacks": "Handlers of this object's runs.",
    "custom_get_token_ids": "Counts tokens, instead of the estimate.",
    "disable_streaming": 'Whether `stream` gives the whole answer at once; with "tool_calling", when there are tools.',
    "metadata": "Goes into traces.",
    "name": "Name of this object in traces.",
    "output_version": "Form of the contents of answers.",
    "profile": "Facts about the model, instead of the catalogue's.",
    "pydantic_program_mode": "How objects are asked for.",
    "rate_limiter": "Asked before each request.",
    "tags": "Go into traces.",
    "verbose": "Whether runs are printed.",
}

HEAD = '''"""The constructors' arguments, for type checkers and editors. Written by `make arguments`."""

{imports}

'''


class Spelling:
    """Types as they are written, and the imports that they need."""

    def __init__(self) -> None:
        self.imports = {("typing", "Literal"), ("typing", "TypedDict")}

    def of(self, kind: Any) -> str:
        """A type as it is written."""
        origin, parts = get_origin(kind), get_args(kind)
        if kind is None or kind is types.NoneType:
            return "None"
        if origin in {Union, types.UnionType}:
            return " | ".join(sorted(map(self.of, parts), key="None".__eq__))  # which comes last
        if origin is Literal:
            return f"Literal[{', '.join(map(_quoted, parts))}]"
        if origin is Callable:
            *given, returned = parts
            return f"{self.named(Callable)}[[{', '.join(map(self.of, *given))}], {self.of(returned)}]"
        if parts:
            return f"{self.named(origin)}[{', '.join(map(self.of, parts))}]"
        return self.named(kind)

    def named(self, kind: Any) -> str:
        """The name of a class, which is then imported."""
        module = kind.__module__.removesuffix(".settings")  # a module of ours is imported by its folder
        if module != "builtins":
            self.imports.add((module, kind.__name__))
        return str(kind.__name__)

    def head(self) -> str:
        """The beginning of a module with the imports."""
        modules = sorted({module for module, _ in self.imports})
        names = {module: sorted(name for found, name in self.imports if found == module) for module in modules}
        return HEAD.format(imports="\n".join(f"from {module} import {', '.join(names[module])}" for module in modules))


def module(package: types.ModuleType) -> str:
    """The module of a framework's arguments, as it should be."""
    spelling = Spelling()
    text = ""
    for cls, kind in ((package.ChatOVHCloud, "Chat"), (package.OVHCloudEmbeddings, "Embedding")):
        names = [found.id for found in bundled_models() if found.kind == kind.lower() and found.status != "retired"]
        text += f"{kind}ModelName = Literal[{', '.join(map(_quoted, names))}]\n\n\n"
        text += f"class {kind}Arguments(TypedDict, total=False):\n" + "\n".join(_entries(cls, spelling)) + "\n\n\n"
    return in_style(spelling.head() + text)


def in_style(text: str) -> str:
    """A module with its imports sorted, formatted as all others."""
    for command in (["check", "--quiet", "--fix-only", "--select", "I"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "_arguments.py", "-"]
        text = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _entries(cls: Any, spelling: Spelling) -> Iterator[str]:
    """The arguments of a class, but for the model, which may be positional."""
    kinds = {}
    for name, field in cls.model_fields.items():
        kinds[name] = spelling.of(field.annotation | ALSO[name] if name in ALSO else field.annotation)
        if name != "model":
            yield _entry(name, kinds[name], described(cls, name))
    for alias, name in sorted(cls._ovhcloud_aliases.items()):
        if alias != "model" and alias not in cls.model_fields:
            yield _entry(alias, kinds[name], f"The same as `{name}`.")


def _entry(name: str, kind: str, description: str) -> str:
    return f"    {name}: {kind}\n    {_docstring(description)}"


def _docstring(text: str) -> str:
    lines, line = [], '"""'
    for word in f"{text}{' ' if text.endswith(chr(34)) else ''}".split(" "):
        if len(line) + len(word) > 110:
            lines.append(line)
            line = ""
        line += word if line in {"", '"""'} else f" {word}"
    return "\n    ".join([*lines, f'{line}"""'])


def described(cls: Any, name: str) -> str:
    """What an argument means."""
    return str(cls.model_fields[name].description or OF_FRAMEWORKS[name])


def table(*classes: Any, names: Iterable[str]) -> str:
    """A table of arguments, those of several classes in one."""
    rows = ["| argument | | default | other names |", "|---|---|---|---|"]
    for name in names:
        cls = next(cls for cls in classes if name in cls.model_fields)
        aliases = sorted({alias for cls in classes for alias, meant in cls._ovhcloud_aliases.items() if meant == name})
        others = ", ".join(f"`{alias}`" for alias in aliases if alias not in cls.model_fields)
        description = described(cls, name).replace("|", "\\|")
        rows.append(f"| `{name}` | {description} | {_default(cls, name)} | {others} |")
    return "\n".join(rows)


def _default(cls: Any, name: str) -> str:
    field = cls.model_fields[name]
    if field.is_required():
        return "required"
    return "" if field.default_factory or field.default is None else f"`{field.default!r}`".replace("'", '"')


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def page() -> str:
    """The configuration page as it should be."""
    text = PAGE.read_text("utf-8")
    chat, embeddings = zip(*((package.ChatOVHCloud, package.OVHCloudEmbeddings) for package in PACKAGES), strict=True)
    connection = ConnectionOptions.model_fields
    ours = {name: None for cls in chat for name in cls.model_fields if name not in connection and is_ours(cls, name)}
    of_embeddings = {name: None for cls in embeddings for name in cls.model_fields if name not in connection}
    ours_of_embeddings = [name for name in of_embeddings if any(is_ours(cls, name) for cls in embeddings)]
    for mark, found in (
        ("connection", table(*chat, *embeddings, names=connection)),
        ("chat", table(*chat, names=ours)),
        ("embeddings", table(*embeddings, names=ours_of_embeddings)),
    ):
        before, _, rest = text.partition(f"<!-- {mark}, written by `make arguments` -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        text = f"{before}<!-- {mark}, written by `make arguments` -->\n{found}\n{end}{after}"
    return text


def is_ours(cls: Any, name: str) -> bool:
    """Whether an argument is this package's and not the framework's."""
    owner = next((base for base in cls.__mro__ if name in vars(base).get("__annotations__", {})), None)
    return owner is not None and owner.__module__.startswith(("ovhcloud", "langchain_ovhcloud", "llama_index_ovhcloud"))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    for package in PACKAGES:
        (ROOT / package.__name__ / "_arguments.py").write_text(module(package), "utf-8")
