"""Schemas to ask for an object, and parsers that return it whole or raise: never None, never half of one."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import add
from typing import Any, get_origin

from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import (
    BaseCumulativeTransformOutputParser,
    BaseOutputParser,
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from ovhcloud_ai_endpoints._chat import read_json, readable, texts_with_object
from ovhcloud_ai_endpoints._notices import CUT_ANSWER
from ovhcloud_ai_endpoints._values import INCOMPLETE

OTHER_FORMS = frozenset({"name", "function", "parameters", "input_schema", "toolSpec"})  # of a tool, as a dict
OPTIONS = frozenset({"anyOf", "oneOf", "allOf", "$ref", "enum", "const"})
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": (int, float),
    "number": (int, float),
}
BESIDE_ARGUMENTS = frozenset({"title", "description"})  # the tool itself has these


def check_schema(schema: Any) -> None:
    """Checks that a schema is one of objects.

    Raises:
        ValueError: it is a type such as `list[Ticket]` or `int`.
    """
    is_generic = get_origin(schema) is not None
    if is_generic or (isinstance(schema, type) and schema.__module__ == "builtins"):
        shown = str(schema) if is_generic else schema.__name__
        raise ValueError(f"The schema must be that of an object; got {shown}. Give a class with a field of that type")


def json_schema_of(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """The JSON schema of what users pass as one: a class, or a dict in any of the usual forms."""
    match schema:
        case None:
            return {}
        case {"json_schema": {"name": str(name), "schema": {} as inner}} | {"name": str(name), "schema": {} as inner}:
            schema = {**inner, "title": name}
        case {"title": _} | {"name": _} | {"function": _}:
            pass
        case {}:
            schema = {**schema, "title": "answer"}
        case type() if issubclass(schema, BaseModel) and not strict:
            return schema.model_json_schema()  # core's conversion would cut recursive classes
    if isinstance(schema, dict) and _is_beyond_core(schema):
        return schema
    return convert_to_json_schema(schema, strict=strict)


def _is_beyond_core(schema: Mapping[str, Any]) -> bool:
    """Whether core's conversion of a JSON schema would keep its title only, or fail."""
    is_odd = "properties" not in schema or isinstance(schema.get("type"), list)
    return is_odd and schema.keys().isdisjoint(OTHER_FORMS)


def tool_of(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """The tool whose arguments are the object."""
    if isinstance(schema, type):
        tool = convert_to_openai_tool(schema, strict=strict)
        return (
            tool if strict or not issubclass(schema, BaseModel) else _with_arguments(tool, schema.model_json_schema())
        )
    schema = json_schema_of(schema)
    if isinstance(schema.get("type"), list) and "object" in schema["type"]:
        schema = {**schema, "type": "object"}
    if "properties" in schema:
        return convert_to_openai_tool(schema, strict=strict)
    if schema.get("type", "object") != "object":
        raise ValueError(
            f"A tool's arguments are an object; method='json_schema' takes a schema of type {schema['type']}"
        )
    named = {name: value for name, value in schema.items() if name in BESIDE_ARGUMENTS}
    tool = _with_arguments(convert_to_openai_tool({**named, "type": "object", "properties": {}}), schema)
    return tool if strict is None else {**tool, "function": {**tool["function"], "strict": strict}}


def _with_arguments(tool: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The tool with a whole schema, of which core's conversion leaves parts out."""
    parameters = {name: value for name, value in schema.items() if name not in BESIDE_ARGUMENTS}
    return {**tool, "function": {**tool["function"], "parameters": parameters}}


def wire_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """The tools in the wire's form; core's conversion would cut arguments of classes that refer to themselves."""
    return [_wire_tool(tool, strict=strict) for tool in tools]


def _wire_tool(tool: Any, *, strict: bool | None) -> dict[str, Any]:
    wire = convert_to_openai_tool(tool, strict=strict)
    arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if strict or not (isinstance(arguments, type) and issubclass(arguments, BaseModel)):
        return wire
    schema = arguments.model_json_schema()
    return _with_arguments(wire, schema) if "$defs" in readable(schema) else wire


def pydantic_parser(schema: Any) -> BaseOutputParser[Any]:
    """Parses text into instances of a pydantic class."""
    text: BaseOutputParser[Any] = PydanticOutputParser(pydantic_object=schema)
    return _Whole(inner=text, text=text, name=schema.__name__, json_schema=json_schema_of(schema))


def json_parser(schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Parses text into dicts with all keys that a JSON schema requires."""
    name, required = str(schema.get("title", "")), tuple(schema.get("required", ()))
    return _Whole(inner=JsonOutputParser(), name=name, required=required, json_schema=schema)


def pydantic_tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Parses a tool call into instances of a pydantic class."""
    text: BaseOutputParser[Any] = PydanticOutputParser(pydantic_object=schema)
    return _Whole(
        inner=PydanticToolsParser(tools=[schema], first_tool_only=True),
        text=text,
        name=schema.__name__,
        is_of_tool=True,
    )


def tool_parser(name: str, schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Parses a tool call into a dict of its arguments, with all keys that a JSON schema requires."""
    inner = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    required = tuple(schema.get("required", ()))
    return _Whole(inner=inner, name=name, required=required, is_of_tool=True)


class _Whole(BaseCumulativeTransformOutputParser[Any]):
    """Returns what core's parsers would, but only for a whole answer, and wherever in it the object is.

    `inner` parses a stream as it arrives. At the end, when it is known whether the answer is whole, `text` parses it;
    without `text` the result is a dict. Tool calls count only if they are named after the object.
    """

    inner: Any
    text: Any = None
    name: str
    required: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None  # the schema of an object that is not a tool's arguments
    is_of_tool: bool = False

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            with suppress(RecursionError):  # by core's parser, for endless brackets; the end reports it
                return self.inner.parse_result(result, partial=True)
            return None
        content, arguments, reasoning = _said(result, self.name)
        if self.is_of_tool and not arguments and (_finish_reason(result) == "length" or _invalid_calls(result)):
            raise _failure(result, "The model called a tool with arguments that can't be read")
        problem: Exception | None = None
        is_cut = _finish_reason(result) in INCOMPLETE
        for text in texts_with_object(content, arguments, reasoning, is_call=self.is_of_tool, is_cut=is_cut):
            try:
                return self._object(text)
            except ValueError as error:  # from pydantic, either version, or from core
                problem = problem or error
        if refusal := _refusal(result):
            raise refusal
        called = self.is_of_tool and not arguments
        why = "The model called no tool" if called else str(problem or "The answer is empty")
        raise _failure(result, why) from problem

    def _object(self, text: str) -> Any:
        """The object in a text. A part of one is an error: core would complete it, even if a number was cut."""
        try:
            found = read_json(text, self.json_schema)
        except ValueError as error:
            raise ValueError("The answer is not JSON") from error
        if self.text is None and not _is_of_type(found, self.json_schema or {}):
            raise ValueError(f"The answer is not a JSON {self._type}")
        if isinstance(found, dict) and (missing := [name for name in self.required if name not in found]):
            raise ValueError(f"The answer lacks {', '.join(map(repr, missing))}")
        return found if self.text is None else self.text.parse_result([Generation(text=json.dumps(found))])

    @property
    def _type(self) -> str:
        kind = (self.json_schema or {}).get("type", "object")
        return " or ".join(kind) if isinstance(kind, list) else str(kind)

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002 - core's name
        seen: list[Any] = []
        found = None
        for found in super()._transform(_kept(one, seen) for one in input):
            yield found
        if (whole := self._at_its_end(seen)) != found:
            yield whole

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002 - as above
        seen: list[Any] = []
        found = None
        async for found in super()._atransform(_kept(one, seen) async for one in input):
            yield found
        if (whole := self._at_its_end(seen)) != found:
            yield whole

    def _at_its_end(self, seen: list[Any]) -> Any:
        whole = reduce(add, seen) if seen else ""
        message = whole if isinstance(whole, BaseMessage) else AIMessage(whole)
        return self.parse_result([ChatGeneration(message=message)])


def _is_of_type(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is of a type that a schema names; an object, if it names none and has no options."""
    kind = schema.get("type", None if OPTIONS & schema.keys() else "object")
    kinds = kind if isinstance(kind, list) else [kind]
    if isinstance(value, bool):
        return kind is None or "boolean" in kinds
    return kind is None or any(isinstance(value, TYPES.get(name, object)) for name in kinds)


def _kept(one: Any, seen: list[Any]) -> Any:
    seen.append(one)
    return one


def _said(result: list[Generation], name: str) -> tuple[str, list[str], str]:
    """The text of an answer, the arguments of its calls of one tool, and its reasoning."""
    if not isinstance(result[0], ChatGeneration) or not isinstance(message := result[0].message, AIMessage):
        return result[0].text, [], ""
    arguments = [json.dumps(call["args"]) for call in message.tool_calls if call["name"] == name]
    return str(message.text), arguments, str(message.additional_kwargs.get("reasoning_content", ""))


def _invalid_calls(result: list[Generation]) -> str:
    """The calls of an answer whose arguments can't be read, as the model wrote them."""
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    calls = message.invalid_tool_calls if isinstance(message, AIMessage) else []
    return ", ".join(f"{call['name']}({call['args']})" for call in calls)


def _finish_reason(result: list[Generation]) -> str | None:
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    reason: str | None = None if message is None else message.response_metadata.get("finish_reason")
    return reason


def _refusal(result: list[Generation]) -> Exception | None:
    """The error for an answer in which the model refuses; None if it does not."""
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    said = message.additional_kwargs.get("refusal") if isinstance(message, AIMessage) else None
    if not said:
        return None
    kind = getattr(exceptions, "ModelRefusalError", None)  # from langchain-core 1.7.5 on
    if kind is None:
        return OutputParserException(f"The model refused: {said}", llm_output=str(said))
    error: Exception = kind(f"The model refused: {said}", raw_message=message)
    return error


def _failure(result: list[Generation], problem: str) -> OutputParserException:
    if _finish_reason(result) == "length":
        problem += f", because {CUT_ANSWER}"
    text = " ".join(filter(None, (result[0].text, _invalid_calls(result))))
    return OutputParserException(f"{problem}. The model said: {text!r}", llm_output=text)
