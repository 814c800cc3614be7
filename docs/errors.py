"""Writes the tables of errors into their page: python docs/errors.py"""

from collections.abc import Iterable, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path

from langchain_ovhcloud._errors import TWINS
from ovhcloud_ai_endpoints import OVHCloudError

PAGE = Path(__file__).parent / "guides" / "errors.md"
MARK = "<!-- The rest of this page is written by `python docs/errors.py`. -->\n"
WHAT_HELPS = {
    "OVHCloudError": "the message says what to do",
    "BadRequestError": "the message is the service's own",
    "ContextOverflowError": "fewer or shorter messages",
    "AuthenticationError": "a new key; the message says where keys are made",
    "PermissionDeniedError": "a payment method, in most cases",
    "NotFoundError": "the message has the nearest names",
    "PayloadTooLargeError": "smaller images, fewer texts",
    "RateLimitError": "`max_retries`, `max_wait`, a key",
    "InternalServerError": "another try, later",
    "APIConnectionError": "network, proxy, base URL",
    "APITimeoutError": "the message says which one",
    "StreamInterruptedError": "`error.partial` has the partial answer",
    "InvalidResponseError": "the message has its first bytes",
    "EmbeddingsInterruptedError": "`error.vectors`, `error.remaining`",
}


def page() -> str:
    """The page as it should be."""
    kinds = list(tree(OVHCloudError))
    helped = ((name(kind), summary(kind) + also(kind), WHAT_HELPS[kind.__name__]) for kind in kinds)
    more = (f"{name(kind)} also:\n\n{found}" for kind in kinds[1:] if (found := attributes(kind)))
    parts = [
        table(("error", "when", "what helps"), helped),
        "## What they have",
        attributes(OVHCloudError),
        *more,
        "## In LangChain",
        table(("error", "is also"), ((name(kind), in_core(kind)) for kind in kinds)),
    ]
    text = PAGE.read_text("utf-8").partition(MARK)[0]
    return f"{text}{MARK}\n" + "\n\n".join(parts) + "\n"


def tree(kind: type[OVHCloudError]) -> Iterator[type[OVHCloudError]]:
    """A public error and those below it, each followed by its own."""
    yield kind
    for below in kind.__subclasses__():
        if below in TWINS:
            yield from tree(below)


def name(kind: type) -> str:
    """A class, as code."""
    return f"`{kind.__name__}`"


def summary(kind: type) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def also(kind: type[OVHCloudError]) -> str:
    """What an error is besides an `OVHCloudError`."""
    others = [name(base) for base in kind.__bases__ if base not in {Exception, OVHCloudError}]
    return f" Also a kind of {' and '.join(others)}." if others else ""


def in_core(kind: type[OVHCloudError]) -> str:
    """What an error is in LangChain."""
    return ", ".join(name(base) for base in TWINS[kind].__bases__ if not issubclass(base, OVHCloudError))


def attributes(kind: type) -> str:
    """The attributes in a docstring, as a list; empty if there are none."""
    text = cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].replace("\n        ", " ")  # a line for each
    lines = text.splitlines()
    return "\n".join(f"- `{word}`: {text}" for word, _, text in (line.strip().partition(": ") for line in lines))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|" + "---|" * len(head), *others])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
