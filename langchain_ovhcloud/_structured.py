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

from ovhcloud_ai_endpoints._answer import CUT_ANSWER
from ovhcloud_ai_endpoints._objects import texts_with_object


def pydantic_parser(schema: Any) -> BaseOutputParser[Any]:
    """Gives instances of a pydantic class, from text."""
    text: BaseOutputParser[Any] = PydanticOutputParser(pydantic_object=schema)
    return _Whole(inner=text, text=text)


def json_parser(schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Gives dicts that have what a JSON schema requires, from text."""
    text = JsonOutputParser()
    return _Whole(inner=text, text=text, required=tuple(schema.get("required", ())))


def pydantic_tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Gives instances of a pydantic class, from a tool's call."""
    text: BaseOutputParser[Any] = PydanticOutputParser(pydantic_object=schema)
    return _Whole(inner=PydanticToolsParser(tools=[schema], first_tool_only=True), text=text, is_of_tool=True)


def tool_parser(name: str, schema: Mapping[str, Any]) -> BaseOutputParser[Any]:
    """Gives the arguments of the tool's call, as a dict that has what a JSON schema requires."""
    inner = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    required = tuple(schema.get("required", ()))
    return _Whole(inner=inner, text=JsonOutputParser(), required=required, is_of_tool=True)


class _Whole(BaseCumulativeTransformOutputParser[Any]):
    """What core's parsers give, if the answer is whole, wherever in it the object is.

    A stream is parsed as it comes by `inner`, and at its end, which alone tells whether it was whole, by `text`.
    """

    inner: Any
    text: Any
    required: tuple[str, ...] = ()
    is_of_tool: bool = False

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return self.inner.parse_result(result, partial=True)
        content, arguments, reasoning = _said(result)
        if self.is_of_tool and (_finish_reason(result) == "length" or _has_invalid_calls(result)):
            raise _failure(result, "The model called a tool with arguments that can't be read")
        problem: Exception | None = None
        for text in texts_with_object(content, arguments, reasoning):
            try:
                return self._object(text)
            except ValueError as error:  # of pydantic, either version's, and core's own
                problem = problem or error
        called = self.is_of_tool and not arguments
        why = "The model called no tool" if called else str(problem or "The answer is empty")
        raise _failure(result, why) from problem

    def _object(self, text: str) -> Any:
        """The object that a text is; no part of one, which core's parsers complete, though a number may be cut too."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError("The answer is no JSON") from error
        if not isinstance(found, dict):
            raise ValueError("The answer is no JSON object")  # noqa: TRY004 - as any other that is not what is wanted
        if missing := [name for name in self.required if name not in found]:
            raise ValueError(f"The answer lacks {', '.join(missing)}")
        return self.text.parse_result([Generation(text=json.dumps(found))])

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002 - core's name
        seen: list[Any] = []
        found = None
        for found in super()._transform(_kept(one, seen) for one in input):
            yield found
        if (whole := self._whole(seen)) != found:
            yield whole

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002 - as above
        seen: list[Any] = []
        found = None
        async for found in super()._atransform(_kept(one, seen) async for one in input):
            yield found
        if (whole := self._whole(seen)) != found:
            yield whole

    def _whole(self, seen: list[Any]) -> Any:
        whole = reduce(add, seen) if seen else ""
        message = whole if isinstance(whole, BaseMessage) else AIMessage(whole)
        return self.parse_result([ChatGeneration(message=message)])


def _kept(one: Any, seen: list[Any]) -> Any:
    seen.append(one)
    return one


def _said(result: list[Generation]) -> tuple[str, list[str], str]:
    """The text, the arguments of the tools and the reasoning of an answer."""
    if not isinstance(result[0], ChatGeneration) or not isinstance(message := result[0].message, AIMessage):
        return result[0].text, [], ""
    arguments = [json.dumps(call["args"]) for call in message.tool_calls]
    return str(message.text), arguments, str(message.additional_kwargs.get("reasoning_content", ""))


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
