"""Objects in answers: in which way a model is best asked for one, and where in its answer it may be.

Pure; what an object is, is the frameworks' to check.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from ovhcloud_ai_endpoints._catalogue import Model, names_of

ObjectMethod = Literal["json_schema", "function_calling"]
_FENCED = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)


def best_method(model: Model) -> ObjectMethod:
    """How a model is asked for an object: by a schema to which the service holds it, else by a tool.

    One that is not known is asked by a schema: it is the engine that holds it to that.

    Raises:
        ValueError: it is known to do neither.
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
    """The texts of an answer that may be the object, the likeliest first.

    Some engines put it into a call that nobody asked for, between fences, or with a reasoning model into the reasoning,
    if there is nothing else.

    Args:
        arguments: of the calls of the tool that is named like the object.
        is_call: whether the model was asked to call that tool.
        is_cut: whether the answer was cut, so that what looks whole may be a part of something.
    """
    called = [text for text in arguments if text.strip() and not (is_cut and text.strip() == "{}")]
    spoken = [content] if content.strip() else []
    yield from called + spoken if is_call else spoken + called
    if is_cut:
        return
    yield from _fenced(content)
    for opening, closing in ("{}", "[]"):
        start, end = content.find(opening), content.rfind(closing)
        if 0 <= start < end - 1:  # an empty one in prose is none
            yield content[start : end + 1]
    if not spoken and not called:
        yield from (text for text in (reasoning.strip(), *_fenced(reasoning)) if text)


def _fenced(text: str) -> list[str]:
    """What stands between fences; the last first, since before it there may be examples."""
    return [found.strip() for found in reversed(_FENCED.findall(text))]


def read_json(text: str) -> Any:
    """The value of a JSON text, in whose strings there may be line ends as they are, which models write.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text, strict=False)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
