"""Parsers that give an object or raise: never None, never half an object, with the raw text in the error."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

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
from langchain_core.utils.json import parse_json_markdown

from ovhcloud_ai_endpoints._answer import CUT_ANSWER


def pydantic_parser(schema: Any) -> BaseOutputParser[Any]:
    """Gives instances of a pydantic class, from text."""
    return _Whole(inner=PydanticOutputParser(pydantic_object=schema))


def json_parser(schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Gives dicts that have what a JSON schema requires, from text."""
    return _Whole(inner=JsonOutputParser(), required=tuple(schema.get("required", ())))


def pydantic_tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Gives instances of a pydantic class, from a tool's call."""
    return _Whole(inner=PydanticToolsParser(tools=[schema], first_tool_only=True), is_of_tool=True)


def tool_parser(name: str, schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Gives the arguments of the tool's call, as a dict that has what a JSON schema requires."""
    inner = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return _Whole(inner=inner, required=tuple(schema.get("required", ())), is_of_tool=True)


class _Whole(BaseCumulativeTransformOutputParser[Any]):
    """What one of core's parsers gives, if the answer is whole.

    A stream is parsed as it comes, and once more at its end, which alone tells whether it was.
    """

    inner: Any
    required: tuple[str, ...] = ()
    is_of_tool: bool = False

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return self.inner.parse_result(result, partial=True)
        if not self.is_of_tool:
            _check_object(result)
        if self.is_of_tool and (_finish_reason(result) == "length" or _has_invalid_calls(result)):
            raise _failure(result, "The model called a tool with arguments that can't be read")
        try:
            parsed = self.inner.parse_result(result)
        except OutputParserException:
            raise
        except ValueError as error:  # of pydantic, either version's
            raise _failure(result, f"The arguments are not those of the tool: {error}") from error
        if parsed is None:
            raise _failure(result, "The model called no tool")
        if missing := [name for name in self.required if name not in parsed]:
            raise _failure(result, f"The answer lacks {', '.join(missing)}")
        return parsed

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002 - core's name
        seen: list[Any] = []
        yield from super()._transform(_kept(one, seen) for one in input)
        self._check(seen)

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002 - as above
        seen: list[Any] = []
        async for found in super()._atransform(_kept(one, seen) async for one in input):
            yield found
        self._check(seen)

    def _check(self, seen: list[Any]) -> None:
        whole = reduce(add, seen) if seen else ""
        message = whole if isinstance(whole, BaseMessage) else AIMessage(whole)
        self.parse_result([ChatGeneration(message=message)])


def _kept(one: Any, seen: list[Any]) -> Any:
    seen.append(one)
    return one


def _check_object(result: list[Generation]) -> None:
    """A text must hold a whole object: core's parsers complete what is cut, and a number may be cut too."""
    try:
        found = parse_json_markdown(result[0].text, parser=json.loads)
    except ValueError as error:
        raise _failure(result, "The answer is no JSON") from error
    if not isinstance(found, dict):
        raise _failure(result, "The answer is no JSON object")


def _has_invalid_calls(result: list[Generation]) -> bool:
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    return isinstance(message, AIMessage) and bool(message.invalid_tool_calls)


def _finish_reason(result: list[Generation]) -> str | None:
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    reason: str | None = None if message is None else message.response_metadata.get("finish_reason")
    return reason


def _failure(result: list[Generation], problem: str) -> OutputParserException:
    if _finish_reason(result) == "length":
        problem += f", because {CUT_ANSWER}"
    text = result[0].text
    return OutputParserException(f"{problem}. The model said: {text!r}", llm_output=text)
