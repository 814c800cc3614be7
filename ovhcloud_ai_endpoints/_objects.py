"""Objects in answers: in which way a model is best asked for one, and where in its answer it may be.

Pure; what an object is, is the frameworks' to check.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from ovhcloud_ai_endpoints._models import Model, names_of

Method = Literal["json_schema", "function_calling"]

_FENCED = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL)


def best_method(model: Model) -> Method:
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


def texts_with_object(content: str, arguments: Sequence[str] = (), reasoning: str = "") -> Iterator[str]:
    """The texts of an answer that may be the object, the likeliest first.

    Some engines put it into a call that nobody asked for, between fences, or with a reasoning model into the reasoning,
    if there is nothing else.

    Args:
        arguments: of the tool calls.
    """
    if content.strip():
        yield content
    yield from (text for text in arguments if text.strip())
    for fenced in _FENCED.findall(content):
        yield fenced.strip()
    for opening, closing in ("{}", "[]"):
        start, end = content.find(opening), content.rfind(closing)
        if 0 <= start < end:
            yield content[start : end + 1]
    if reasoning and not content.strip() and not arguments:
        yield from texts_with_object(reasoning)
