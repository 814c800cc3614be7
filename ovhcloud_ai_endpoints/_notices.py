"""What a user should be told once: that a model goes, or that an answer was used up by its reasoning."""

import logging
import sys
import threading
import warnings

from ovhcloud_ai_endpoints._answer import Answer
from ovhcloud_ai_endpoints._models import Model, catalogue_date, nearest_names
from ovhcloud_ai_endpoints._models import model as model_facts

NOT_CALLERS = frozenset(
    {
        "ovhcloud_ai_endpoints",
        "langchain_ovhcloud",
        "llama_index_ovhcloud",
        "langchain_core",
        "llama_index",
        "llama_index_instrumentation",
        "workflows",
        "pydantic",
        "asyncio",
        "contextlib",
        "concurrent",
    }
)

log = logging.getLogger("ovhcloud_ai_endpoints")

_told: set[tuple[type[Warning], str]] = set()
_lock = threading.Lock()


class ModelDeprecationWarning(FutureWarning):
    """A model is about to go, or another answers in its place."""


class EmptyAnswerWarning(UserWarning):
    """An answer holds reasoning and nothing else, because `max_tokens` was used up by it."""


def notice(model: str, warning: str | None, answer: Answer | None = None) -> None:
    """Warns of what is known of a model, what the service said of it and of what an answer lacks; of each but once.

    Args:
        model: the name that was asked for.
        warning: what the service said in its header `x-warning`.
    """
    facts = model_facts(model)
    if warning:
        _tell(ModelDeprecationWarning, model, f"{model}: the service says: {warning}{_instead(facts)}")
    elif facts.status == "grace":
        text = f"{model} is about to be retired and then answers with status 404{_instead(facts)}"
        _tell(ModelDeprecationWarning, model, text)
    if answer and any(message.is_only_reasoning for message in answer.messages):
        _tell(
            EmptyAnswerWarning,
            model,
            f"{model} used up max_tokens with its reasoning, so that its answer is empty; raise max_tokens, or lower "
            f"reasoning_effort{_efforts(facts)}. The reasoning is in the message.",
        )


def say_unknown(facts: Model) -> None:
    """Logs once that nothing is known of a model, so that its window and abilities are taken to be the least."""
    with _lock:
        is_new = (Warning, facts.id) not in _told
        _told.add((Warning, facts.id))
    if is_new:
        hint = "" if facts.is_virtual else f" The nearest names are {', '.join(nearest_names(facts.id))}."
        log.warning(
            "%s is not in the catalogue of %s, so that its window is not known, nor whether it calls tools; "
            "context_window= and is_function_calling_model= say so.%s",
            facts.id,
            catalogue_date(),
            hint,
        )


def _instead(facts: Model) -> str:
    return f"; use {facts.replaced_by}, for example" if facts.replaced_by else ""


def _efforts(facts: Model) -> str:
    return f" ({', '.join(facts.reasoning_efforts)})" if facts.reasoning_efforts else ""


def _tell(kind: type[Warning], model: str, text: str) -> None:
    with _lock:
        if (kind, model) in _told:
            return
        _told.add((kind, model))
    warnings.warn(text, kind, stacklevel=frames_to_the_caller())


def frames_to_the_caller() -> int:
    """How far up, from who calls this, the code is that is neither ours nor a framework's."""
    frame, count = sys._getframe(1), 1  # noqa: SLF001 - as `warnings` does it from Python 3.12 on
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in NOT_CALLERS:
        frame, count = frame.f_back, count + 1
    return count
