"""Asks for an object of a pydantic class, and reads it from an answer, whole or streamed.

The result is an object, or an error with the model's text; never None.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, Literal, get_args

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ThinkingBlock, ToolCallBlock
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.types import Model
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from llama_index_ovhcloud._messages import wire_tool
from llama_index_ovhcloud._results import finish_reason
from ovhcloud_ai_endpoints._chat import json_schema_format, read_json, texts_with_object
from ovhcloud_ai_endpoints._notices import CUT_ANSWER
from ovhcloud_ai_endpoints._values import INCOMPLETE

Method = Literal["json_schema", "function_calling", "prompt"]  # the last is never a default

SETTLED = frozenset({"tool_required", "tool_choice", "allow_parallel_tool_calls"})  # passed by core's programs; dropped
NOTABLE_GROWTH = 0.01  # of a text before it is parsed again; parsing it at each event would take quadratic time


class StructuredOutput(Generic[Model]):
    """How to ask for one object, and how to read it.

    Args:
        method: with "json_schema" the service enforces the schema; with "function_calling" the model calls a tool; with
            "prompt" the prompt asks for JSON, and nothing enforces it.
    """

    def __init__(self, output_cls: type[Model], method: Method) -> None:
        if not (isinstance(output_cls, type) and issubclass(output_cls, BaseModel)):
            raise TypeError(f"output_cls must be a pydantic class; got {output_cls!r}. For a list, wrap it in one")
        self._output_cls = output_cls
        self._method = method
        self._partial: Any = None
        self._read = 0

    @cached_property
    def _flexible(self) -> type[FlexibleModel]:
        return create_flexible_model(self._output_cls)

    @cached_property
    def _name(self) -> str:
        """The name of the tool whose arguments are the object."""
        return get_function_tool(self._output_cls).metadata.get_name()

    def messages(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """The messages to send; the input is not modified."""
        if self._method != "prompt":
            return list(messages)
        asked = PydanticOutputParser(self._output_cls).get_format_string(escape_json=False).strip()
        return [ChatMessage(asked, role=MessageRole.SYSTEM), *messages]

    def arguments(self, llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments for `chat`, besides the messages."""
        rest = {name: value for name, value in (llm_kwargs or {}).items() if name not in SETTLED}
        match self._method:
            case "json_schema":
                schema, name = self._output_cls.model_json_schema(), self._output_cls.__name__
                return rest | {"response_format": json_schema_format(schema, name=name, is_validated=True)}
            case "function_calling":
                tool = wire_tool(get_function_tool(self._output_cls).metadata)
                tool["function"]["parameters"] = self._output_cls.model_json_schema()  # core's version leaves parts out
                return rest | {"tools": [tool], "tool_choice": self._name, "parallel_tool_calls": False}
            case "prompt":
                return rest

    def parse(self, response: ChatResponse) -> Model:
        """The object of a whole answer.

        Raises:
            ValueError: the answer is not such an object; the error has its text.
        """
        blocks = response.message.blocks
        calls = [block for block in blocks if isinstance(block, ToolCallBlock) and block.tool_name == self._name]
        arguments = [_text_of(call) for call in calls]
        reasoning = "".join(block.content or "" for block in blocks if isinstance(block, ThinkingBlock))
        is_call, is_cut = self._method == "function_calling", finish_reason(response) in INCOMPLETE
        content = response.message.content or ""
        schema = self._output_cls.model_json_schema()
        problem: ValueError | None = None
        for text in texts_with_object(content, arguments, reasoning, is_call=is_call, is_cut=is_cut):
            try:
                return self._output_cls.model_validate_json(json.dumps(read_json(text, schema)))
            except ValueError as error:  # pydantic's ValidationError is one
                problem = problem or error
        why = CUT_ANSWER if finish_reason(response) == "length" else str(problem or "it is empty")
        name, said = self._output_cls.__name__, self._said(response) or response.message.content
        raise ValueError(f"The answer is not a valid {name}: {why}. The model said: {said!r}") from problem

    def parse_partial(self, response: ChatResponse) -> Model | FlexibleModel | None:
        """The object so far; None if little or nothing was added since the last call.

        It is an instance of the class as soon as it validates; until then, of one with the same fields, all optional.
        """
        said = self._said(response)
        if len(said) - self._read < len(said) * NOTABLE_GROWTH:
            return None
        self._read = len(said)
        try:
            partial = from_json(_from_its_beginning(said), cache_strings="keys", allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(partial, dict) or partial == self._partial:
            return None
        self._partial = partial
        try:
            return self._output_cls.model_validate(partial)
        except Exception:  # noqa: BLE001 - a user's validator may raise anything on half a value
            return self._flexible.model_validate(_by_field(partial, self._output_cls))

    def _said(self, response: ChatResponse) -> str:
        """The text that holds the object: the arguments of the tool, or else what the model says."""
        if self._method == "function_calling":
            for block in response.message.blocks:
                if isinstance(block, ToolCallBlock):
                    return _text_of(block)
        return response.message.content or ""


def _by_field(value: Any, kind: Any) -> Any:
    """Values by the names of the fields of a class, at any depth, since the class of partial objects has no aliases."""
    if isinstance(value, list):
        return [_by_field(inner, kind) for inner in value]
    model = next((one for one in _classes(kind) if issubclass(one, BaseModel)), None)
    if not isinstance(value, dict) or model is None:
        return value
    fields = model.model_fields
    names = {alias: name for name, field in fields.items() for alias in _aliases(field)}
    named = {names.get(key, key): inner for key, inner in value.items()}
    return {
        name: _by_field(inner, fields[name].annotation) if name in fields else inner for name, inner in named.items()
    }


def _classes(kind: Any) -> Iterator[type]:
    """A class, or the classes in an annotation such as a list of it, or it or None."""
    if isinstance(kind, type) and not get_args(kind):
        yield kind
    for inner in get_args(kind):
        yield from _classes(inner)


def _aliases(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for one in (field.alias, *(alias.choices if isinstance(alias, AliasChoices) else (alias,))):
        if isinstance(one, str):
            yield one


def _from_its_beginning(text: str) -> str:
    """The text from its first object or list on."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    return text[min(starts, default=0) :]


def _text_of(block: ToolCallBlock) -> str:
    kwargs = block.tool_kwargs
    return kwargs if isinstance(kwargs, str) else json.dumps(kwargs, ensure_ascii=False)
