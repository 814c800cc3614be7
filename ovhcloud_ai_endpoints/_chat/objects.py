"""Objects in answers: how best to ask a model for one, and where in its answer to look for it.

Pure; the frameworks validate what is found.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ovhcloud_ai_endpoints._catalogue import Model, names_of
from ovhcloud_ai_endpoints._chat.tool_arguments import Arguments
from ovhcloud_ai_endpoints._surrogates import well_formed_json

ObjectMethod = Literal["json_schema", "function_calling"]
_FENCED = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)


def best_method(model: Model) -> ObjectMethod:
    """How best to ask a model for an object: by a schema that the service enforces, else by a tool.

    An unknown model is asked by a schema, because the engine enforces it, whatever the model.

    Raises:
        ValueError: the model is known to support neither.
    """
    if model.structured_output or not model.is_known:
        return "json_schema"
    if model.tool_calling:
        return "function_calling"
    raise ValueError(
        f"{model.id} answers with text only. Models that give objects: {', '.join(names_of('structured_output'))}."
    )


def texts_with_object(
    content: str, arguments: Sequence[str] = (), reasoning: str = "", *, is_call: bool = False, is_cut: bool = False
) -> Iterator[str]:
    """Yields the texts of an answer that may be the object, likeliest first.

    Some engines put it into a call that nobody asked for, between code fences or, with a reasoning model, into the
    reasoning, which is searched only if there is nothing else.

    Args:
        arguments: those of each call of the tool named after the object.
        is_call: whether the model was asked to call that tool.
        is_cut: whether the answer was cut off, so that a text that looks whole may be only a part.
    """
    called = [text for text in arguments if text.strip() and not (is_cut and text.strip() == "{}")]
    spoken = [content] if content.strip() else []
    yield from called + spoken if is_call else spoken + called
    if is_cut:
        return
    yield from _fenced(content)
    for opening, closing in ("{}", "[]"):
        start, end = content.find(opening), content.rfind(closing)
        if 0 <= start < end - 1:  # an empty pair of brackets in prose is no object
            yield content[start : end + 1]
    if not spoken and not called:
        yield from (text for text in (reasoning.strip(), *_fenced(reasoning)) if text)


def _fenced(text: str) -> list[str]:
    """The texts between code fences, last first, since earlier ones may be examples."""
    return [found.strip() for found in reversed(_FENCED.findall(text))]


def read_json(text: str, schema: Mapping[str, Any] | None = None) -> Any:
    """Parses JSON; its strings may hold raw line breaks and lone surrogates, since models write them.

    Args:
        schema: what it should follow; an object that the model wrote as a string where this wants one is undone.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    if schema:
        arguments = Arguments(schema)
        text = arguments.feed(text) + arguments.end()
        if arguments.is_too_deep:
            raise ValueError("it is nested too deeply")
    try:
        return json.loads(well_formed_json(text), strict=False)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
