"""Tools: how they are offered, and how calls are read."""

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard.ways import END, TOOLS, Suite, Way, piece


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


def now() -> str:
    """Say what time it is."""
    return "noon"


ADD, NOW = FunctionTool.from_defaults(add), FunctionTool.from_defaults(now)


def call(index: int | None, arguments: Any, *, id: str | None = None, name: str | None = None) -> dict[str, Any]:  # noqa: A002
    """A piece of a tool call."""
    function = {"arguments": arguments, **({"name": name} if name else {})}
    found: dict[str, Any] = {"function": function, **({"index": index} if index is not None else {})}
    return found | ({"id": id, "type": "function"} if id else {})


STREAMED = {
    "one": [[call(0, "", id="1", name="add")], [call(0, '{"a": ')], [call(0, "1}")]],
    "two": [
        [call(0, "", id="1", name="add")],
        [call(0, '{"a": 1}')],
        [call(1, "", id="2", name="add")],
        [call(1, '{"a": 2}')],
    ],
    "two in one event": [[call(0, '{"a": 1}', id="1", name="add"), call(1, '{"a": 2}', id="2", name="add")]],
    "interleaved": [
        [call(0, "", id="1", name="add"), call(1, "", id="2", name="add")],
        [call(0, '{"a": ')],
        [call(1, '{"a": ')],
        [call(0, "1}")],
        [call(1, "2}")],
    ],
    "whole in an event each": [[call(0, '{"a": 1}', id="1", name="add")], [call(1, '{"a": 2}', id="2", name="add")]],
    "no index": [[call(None, '{"a": 1}', id="1", name="add")], [call(None, '{"a": 2}', id="2", name="add")]],
    "name repeated": [[call(0, "", id="1", name="add")], [call(0, '{"a": 1}', id="1", name="add")]],
}


class ToolTests(Suite):
    @pytest.fixture(params=TOOLS)
    def ask_with(self, request: pytest.FixtureRequest) -> Way:
        return Way(request.param, TOOLS[request.param])

    @pytest.fixture(params=["stream_chat", "astream_chat"])
    def stream_with(self, request: pytest.FixtureRequest) -> Way:
        return Way(request.param, TOOLS[request.param])

    def test_call_is_read(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        server.reply(tool_calls=[("add", {"a": 1, "b": 2}, "id-1")])

        response = ask_with(llm, [ADD], "What is 1 and 2?")[-1]

        selection = llm.get_tool_calls_from_response(response)[0]
        assert (selection.tool_name, selection.tool_kwargs) == ("add", {"a": 1, "b": 2})
        assert selection.tool_id == "id-1"

    def test_call_is_in_both_places_that_core_reads(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        server.reply(tool_calls=[("add", {"a": 1})])

        message = ask_with(llm, [ADD], "What is 1 and nothing?")[-1].message

        assert [block.tool_name for block in message.blocks if isinstance(block, ToolCallBlock)] == ["add"]
        assert len(message.additional_kwargs["tool_calls"]) == 1

    @pytest.mark.parametrize("arguments", ["", "null", "{}"])
    def test_call_without_arguments_has_none(
        self, server: LocalEndpoints, llm: Any, ask_with: Way, arguments: str
    ) -> None:
        server.reply(tool_calls=[("now", arguments)])

        response = ask_with(llm, [NOW], "What time is it?")[-1]

        assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {}

    @pytest.mark.parametrize("shape", STREAMED)
    def test_streamed_calls_are_put_together(
        self, server: LocalEndpoints, llm: Any, stream_with: Way, shape: str
    ) -> None:
        events = [piece({"tool_calls": calls}) for calls in STREAMED[shape]]
        server.reply(events=[piece({"role": "assistant", "content": ""}), *events, piece({}, "tool_calls"), END])

        response = stream_with(llm, [ADD], "Add", allow_parallel_tool_calls=True)[-1]

        selections = llm.get_tool_calls_from_response(response)
        count = 1 if shape in {"one", "name repeated"} else 2
        assert [(one.tool_name, one.tool_kwargs) for one in selections] == [
            ("add", {"a": number}) for number in range(1, count + 1)
        ]
        assert len({one.tool_id for one in selections}) == count

    def test_calls_can_be_read_while_they_come(self, server: LocalEndpoints, llm: Any, stream_with: Way) -> None:
        server.reply(tool_calls=[("add", {"a": 1, "b": 2})])

        for response in stream_with(llm, [ADD], "Add"):
            llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)

    def test_cut_arguments_are_not_completed(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        server.reply(tool_calls=[("add", '{"a": 12, "b": 3')], finish_reason="length")

        response = ask_with(llm, [ADD], "What is 12 and 345?")[-1]

        assert not {"a", "b"} & set(llm.get_tool_calls_from_response(response)[0].tool_kwargs)

    @pytest.mark.parametrize(
        ("options", "sent"),
        [
            ({}, {None, "auto"}),
            ({"tool_required": True}, {"required"}),
            ({"tool_choice": "none"}, {"none"}),
            ({"tool_choice": "add"}, {"add"}),
        ],
    )
    def test_choice_is_sent(self, server: LocalEndpoints, llm: Any, ask_with: Way, options: Any, sent: Any) -> None:
        ask_with(llm, [ADD, NOW], "Add", **options)

        choice = server.requests[-1].json.get("tool_choice")
        assert (choice["function"]["name"] if isinstance(choice, dict) else choice) in sent

    @pytest.mark.parametrize("allowed", [False, True])
    def test_several_calls_are_one_unless_allowed(
        self, server: LocalEndpoints, llm: Any, ask_with: Way, allowed: bool
    ) -> None:
        server.reply(tool_calls=[("add", {"a": 1}), ("add", {"a": 2})])

        response = ask_with(llm, [ADD], "Add", allow_parallel_tool_calls=allowed)[-1]

        assert len(llm.get_tool_calls_from_response(response)) == (2 if allowed else 1)

    def test_no_tools_is_nothing_sent(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        ask_with(llm, [], "Add")

        assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(server.requests[-1].json)

    def test_history_of_the_caller_stays(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        history = [ChatMessage("Be brief", role="system")]

        ask_with(llm, [ADD], "Hello", chat_history=history)

        assert len(history) == 1
        assert [message["role"] for message in server.requests[-1].json["messages"]] == ["system", "user"]

    def test_message_of_the_user_may_be_a_message(self, server: LocalEndpoints, llm: Any, ask_with: Way) -> None:
        ask_with(llm, [ADD], ChatMessage("Hello"), chat_history=[ChatMessage("Be brief", role="system")])

        assert [message["content"] for message in server.requests[-1].json["messages"]] == ["Be brief", "Hello"]

    def test_answer_without_a_call_is_an_error_unless_allowed(
        self, server: LocalEndpoints, llm: Any, ask_with: Way
    ) -> None:
        server.reply("I know it")
        response = ask_with(llm, [ADD], "Hello")[-1]

        with pytest.raises(ValueError, match="tool call"):
            llm.get_tool_calls_from_response(response)
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    @pytest.mark.parametrize("name", ["search web", "recherche-été", "x" * 70])
    def test_tool_of_any_name_is_run(self, llm: Any, name: str) -> None:
        tool = FunctionTool.from_defaults(add, name=name)

        for run in (
            llm.predict_and_call,
            lambda *args, **options: asyncio.run(llm.apredict_and_call(*args, **options)),
        ):
            response = run([tool], "Call it with 3", tool_required=True)
            assert response.sources[0].tool_name == name

    def test_agent_runs_a_tool_of_any_name(self, server: LocalEndpoints, llm: Any) -> None:
        tool = FunctionTool.from_defaults(now, name="look at the clock")

        async def main() -> str:
            return str(await FunctionAgent(tools=[tool], llm=llm).run("Please look at the clock."))

        assert "noon" in asyncio.run(main())

    def test_agent_calls_and_answers(self, server: LocalEndpoints, llm: Any) -> None:
        async def main() -> str:
            return str(await FunctionAgent(tools=[ADD], llm=llm).run("Add 1 and 2."))

        assert asyncio.run(main()) == "The tool says: 3"
        sent = server.requests[-1].json["messages"]
        assert [message["role"] for message in sent[-2:]] == ["assistant", "tool"]
        assert sent[-1]["tool_call_id"] == sent[-2]["tool_calls"][0]["id"]

    def test_agent_thinks_aloud(self, server: LocalEndpoints, llm: Any) -> None:
        server.reply("Done", reasoning="Nothing to do")

        async def main() -> str:
            run = FunctionAgent(tools=[ADD], llm=llm).run("Hello")
            thoughts = [
                event.thinking_delta or "" async for event in run.stream_events() if isinstance(event, AgentStream)
            ]
            await run
            return "".join(thoughts)

        assert asyncio.run(main()) == "Nothing to do"
