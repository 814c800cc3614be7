"""Parsers of tool calls that never answer None: no call of the tool is an error with the raw text."""

from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseOutputParser, JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation


def pydantic_tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Answers instances of a pydantic class."""
    return _PydanticTool(tools=[schema], first_tool_only=True)


def tool_parser(name: str) -> BaseOutputParser[Any]:
    """Answers the arguments of the tool's call, as a dict."""
    return _JsonTool(key_name=name, first_tool_only=True)


class _PydanticTool(PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _present(super().parse_result(result, partial=partial), result, partial=partial)


class _JsonTool(JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _present(super().parse_result(result, partial=partial), result, partial=partial)


def _present(parsed: Any, result: list[Generation], *, partial: bool) -> Any:
    if parsed is None and not partial:
        message = result[0].message if isinstance(result[0], ChatGeneration) else None
        raise OutputParserException(
            f"The model called no tool with readable arguments. It said: {result[0].text!r}",
            llm_output=str(message.content if message else result[0].text),
        )
    return parsed
