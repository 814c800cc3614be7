"""Warnings that users get once: a model is about to be retired, reasoning used up an answer, and the like."""

import logging
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints._catalogue import Model, alternatives, catalogue_date, is_ovhcloud, retirement, use_instead
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._errors import printable
from ovhcloud_ai_endpoints._process import Table

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._values import Answer

CUT_ANSWER = "it was cut at max_tokens; raise it, or lower reasoning_effort"
NOT_CALLERS = frozenset(
    {
        "ovhcloud_ai_endpoints",
        "langchain_ovhcloud",
        "llama_index_ovhcloud",
        "langchain_core",
        "langchain",
        "langgraph",
        "llama_index",
        "llama_index_instrumentation",
        "workflows",
        "pydantic",
        "asyncio",
        "threading",
        "contextlib",
        "concurrent",
    }
)

MOST_PLACES = 5  # that are named

log = logging.getLogger("ovhcloud_ai_endpoints")

_told: Table[tuple[str, str], object] = Table(4096)


class ModelDeprecationWarning(FutureWarning):
    """A model is about to be retired, or another one answers in its place."""


class EmptyAnswerWarning(UserWarning):
    """An answer holds only reasoning, which used up `max_tokens`."""


def warn_of_model(model: str | None, base_url: str) -> None:
    """Warns once that OVHcloud has retired or will retire a model.

    It warns before the request, so that a warning turned into an error loses no answer.
    """
    if not is_ovhcloud(base_url):
        return
    facts = model_facts(model or "")
    if gone := retirement(model or ""):
        _tell(ModelDeprecationWarning, str(model), gone)
    elif facts.status == "grace":
        when = f"is to be retired on {facts.retires_on}" if facts.retires_on else "is about to be retired"
        text = f"{model} {when} and then answers with status 404{use_instead(facts.replaced_by)}"
        _tell(ModelDeprecationWarning, facts.id, text)


def warn_of_header(model: str | None, warning: str | None) -> None:
    """Warns once with what the service says about a model in the header `x-warning`."""
    name = str(model)
    if warning and _is_new("x-warning", name):
        said = printable(f"{warning:.500}")
        _tell(
            ModelDeprecationWarning,
            name,
            f"{name}: the service says: {said}{use_instead(model_facts(name).replaced_by)}",
        )


def warn_of_empty_answer(model: str | None, answer: "Answer") -> None:
    """Warns once of a model whose answer holds only reasoning."""
    name = str(model)
    for message in answer.messages:
        if message.is_only_reasoning and message.finish_reason == "length":
            efforts = _efforts(model_facts(name))
            text = f"{name} reasoned without answering, because {CUT_ANSWER}{efforts}. Its reasoning is in the message."
            _tell(EmptyAnswerWarning, name, text)
        elif message.is_only_reasoning and _is_new("only reasoning", name):
            log.warning("%s reasoned without answering; its reasoning is in the message", name)


def warn_of_other_client(given: str, wanted: str) -> None:
    """Warns once that the given client can't serve this call: one of the two blocks, the other is awaited."""
    text = f"This call can't use {given} and opens its own connections; pass {wanted} too"
    _tell(UserWarning, given, text)


def warn_of_plain_http(base_url: str) -> None:
    """Warns once that the key goes to this URL unencrypted."""
    text = f"The key is sent to {base_url} over plain HTTP, where others can read it; use https, or no key"
    _tell(UserWarning, base_url, text)


def say_unknown(facts: Model) -> None:
    """Logs once that a model is not in the catalogue, so that we assume the least of its window and abilities."""
    if not retirement(facts.id) and _is_new("unknown", facts.id):
        hint = "" if facts.is_virtual else f" For chats, {alternatives(facts.id)}."
        log.warning(
            "%s is not in the catalogue of %s, so its window and whether it calls tools are unknown; "
            "set context_window= and is_function_calling_model=.%s",
            facts.id,
            catalogue_date(),
            hint,
        )


def say_replaced(what: str, places: Sequence[int]) -> None:
    """Logs once for the same places that lone surrogates, as readers of PDFs make them, are sent as U+FFFD."""
    shown = ", ".join(map(str, places[:MOST_PLACES])) + (", …" if len(places) > MOST_PLACES else "")
    if places and _is_new("surrogates", f"{what} {shown}"):
        log.warning("Lone surrogates are sent as U+FFFD, in %s %s", what, shown)


def _efforts(facts: Model) -> str:
    return f" ({', '.join(facts.reasoning_efforts)})" if facts.reasoning_efforts else ""


def _tell(kind: type[Warning], about: str, text: str) -> None:
    if _is_new(text, about):
        warnings.warn(text, kind, stacklevel=frames_to_the_caller())


def _is_new(what: str, about: str) -> bool:
    ours = object()
    return _told.setdefault((what, about), lambda: ours) is ours


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def frames_to_the_caller() -> int:
    """How many frames up the first code is that is neither ours nor a framework's."""
    frame, count = sys._getframe(1), 1  # noqa: SLF001 - as `warnings` does it from Python 3.12 on
    while frame.f_back is not None and _package(frame) in NOT_CALLERS:
        frame, count = frame.f_back, count + 1
    return count
