"""What the quickstarts read and print: nothing of a framework, and nothing that your app needs."""

import argparse
import codecs
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ovhcloud_ai_endpoints import OVHCloudError, model

REPOSITORY = Path(__file__).parents[2]
QUESTION = "How many requests a minute does the service take without a key?"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
HAS_COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if HAS_COLOURS else text


def grey(text: str) -> str:
    return f"\033[90m{text}\033[0m" if HAS_COLOURS else text


class Shown:
    """Prints an answer as it comes, its reasoning in grey on lines of its own."""

    def __init__(self) -> None:
        self.is_thinking = False

    def reasoning(self, text: str) -> None:
        if text and not self.is_thinking:
            print(grey("It thinks: "), end="")
        self.is_thinking = self.is_thinking or bool(text)
        print(grey(text) if text else "", end="", flush=True)

    def text(self, text: str) -> None:
        print(f"\n{text}" if self.is_thinking and text else text, end="", flush=True)
        self.is_thinking = self.is_thinking and not text


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints the title of a step before it, and how long it took behind it."""
    print(f"\n{bold(title)}", flush=True)
    started = time.perf_counter()
    yield
    print(grey(f"({time.perf_counter() - started:.2f} s)"))


def run(main: Callable[[dict[str, str], str], None]) -> None:
    """Calls `main` with the documents and the question that the command line names."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY, help="with your Markdown files")
    parser.add_argument("question", nargs="?", default="", help="about what they say")
    asked = parser.parse_args()
    question = asked.question or (QUESTION if asked.folder.resolve() == REPOSITORY else "What is this about?")
    try:
        main(documents(asked.folder.expanduser()), question)
    except OVHCloudError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


def documents(folder: Path) -> dict[str, str]:
    """The texts of the Markdown files of a folder, by name; not those of hidden folders and virtual environments."""
    if not folder.is_dir():
        raise SystemExit(f"FOLDER must be a folder with Markdown files; there is none at {str(folder)!r}")
    environments = {path.parent for path in folder.glob("*/pyvenv.cfg")}
    found = sorted(folder.glob("*.md")) + sorted(folder.glob("[!.]*/**/*.md"))
    texts = {str(path.relative_to(folder)): read(path) for path in found if not environments & set(path.parents)}
    texts = {name: text for name, text in texts.items() if text.strip()}
    if not texts:
        raise SystemExit(f"FOLDER must hold Markdown files (*.md) with some text; {str(folder)!r} has none")
    return texts


def read(path: Path) -> str:
    """The text of a file: in UTF-8, in what its first bytes say, or else in Windows-1252."""
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def count(number: int, what: str) -> str:
    """A number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def used(tokens: Mapping[str, tuple[int, int]]) -> str:
    """What models have used, as a sentence: tokens of prompts and answers by the model's name, and their price."""
    parts = " and ".join(f"{sum(both):,} tokens of {name}" for name, both in tokens.items())
    try:
        dollars = sum(model(name).cost(input_tokens=read, output_tokens=said) for name, (read, said) in tokens.items())
    except ValueError:  # a model of another server, whose price is not known
        return f"\nUsed {parts}."
    return f"\nUsed {parts}: on the service, ${dollars:.5f}."
