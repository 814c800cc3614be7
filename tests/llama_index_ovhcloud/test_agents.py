import asyncio
import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from workflows.errors import WorkflowRuntimeError

from llama_index_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def now() -> str:
    """What time it is."""
    return "noon"


class Weather(BaseModel):
    """The weather."""

    city: str
    sky: str


def run(agent: Any, message: str | ChatMessage, **options: Any) -> tuple[AgentOutput, list[Any]]:
    """An agent's answer, and what it told on the way."""

    async def main() -> tuple[AgentOutput, list[Any]]:
        running = agent.run(message, **options)
        events = [event async for event in running.stream_events()]
        return await running, events

    return asyncio.run(main())


class TestFunctionAgent:
    def test_thinks_calls_and_goes_on(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        answer, events = run(FunctionAgent(tools=[get_weather], llm=llm), "What is the weather in Paris?")

        thoughts = "".join(event.thinking_delta or "" for event in events if isinstance(event, AgentStream))
        said = "".join(event.delta for event in events if isinstance(event, AgentStream))
        assert str(answer) == said == "The tool says: Sunny in Paris"
        assert "get_weather" in thoughts
        assert len(server.requests) == 2
        assert server.requests[-1].json["messages"][-2]["reasoning"]

    @pytest.mark.parametrize("streaming", [True, False])
    def test_calls_tools_without_arguments(self, server: LocalEndpoints, llm: ChatOVHCloud, streaming: bool) -> None:
        server.reply(tool_calls=[("now", "")])

        answer, _ = run(FunctionAgent(tools=[now], llm=llm, streaming=streaming), "Say")

        assert str(answer) == "The tool says: noon"
        assert server.requests[-1].json["messages"][-2]["tool_calls"][0]["function"]["arguments"] == "{}"

    def test_gives_results_in_the_order_of_the_calls(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        rome_is_known = asyncio.Event()

        async def slow() -> str:
            """A tool that ends last."""
            await rome_is_known.wait()
            return "Paris"

        async def fast() -> str:
            """A tool that ends first."""
            rome_is_known.set()
            return "Rome"

        server.reply(tool_calls=[("slow", {}, "a"), ("fast", {}, "b")])
        server.reply("Paris, then Rome")
        run(FunctionAgent(tools=[slow, fast], llm=llm), "Where?")

        results = [message["content"] for message in server.requests[-1].json["messages"] if message["role"] == "tool"]
        assert results == ["Paris", "Rome"]

    @pytest.mark.parametrize("name", ["get_weather<|channel|>commentary", "functions.get_weather"])
    @pytest.mark.parametrize("streaming", [True, False])
    def test_calls_the_tool_that_is_meant(
        self, server: LocalEndpoints, llm: ChatOVHCloud, name: str, streaming: bool
    ) -> None:
        server.reply(tool_calls=[(name, {"city": "Rome"}, "a")])

        answer, _ = run(FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming), "Weather?")

        assert str(answer) == "The tool says: Sunny in Rome"
        (sent,) = server.requests[-1].json["messages"][-2]["tool_calls"]
        assert sent["function"]["name"] == "get_weather"

    def test_does_not_run_a_tool_of_any_arguments_with_a_call_that_was_cut(
        self, server: LocalEndpoints, llm: ChatOVHCloud
    ) -> None:
        ran: list[Any] = []

        def delete(**kwargs: Any) -> str:
            """Deletes a file."""
            ran.append(kwargs)
            return "deleted"

        server.reply(tool_calls=[("delete", '{"path": "/tm')], finish_reason="length")
        server.reply("Sorry")
        run(FunctionAgent(tools=[FunctionTool.from_defaults(delete)], llm=llm), "Delete it")

        assert ran == []

    def test_calls_several_tools_at_once(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Rome"}, "a"), ("now", {}, "b")])
        server.reply("Sunny, at noon")

        answer, events = run(FunctionAgent(tools=[get_weather, now], llm=llm), "Weather and time?")

        results = {event.tool_id: event.tool_output.content for event in events if isinstance(event, ToolCallResult)}
        sent = server.requests[-1].json["messages"]
        assert str(answer) == "Sunny, at noon"
        assert results == {"a": "Sunny in Rome", "b": "noon"}
        assert {message["tool_call_id"]: message["content"] for message in sent[-2:]} == results

    @pytest.mark.parametrize("allowed", [False, True])
    def test_runs_several_calls_only_if_allowed(self, server: LocalEndpoints, llm: ChatOVHCloud, allowed: bool) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "a"}), ("get_weather", {"city": "b"})])

        _, events = run(FunctionAgent(tools=[get_weather], llm=llm, allow_parallel_tool_calls=allowed), "Say")

        assert sorted(event.tool_kwargs["city"] for event in events if isinstance(event, ToolCall)) == (
            ["a", "b"] if allowed else ["a"]
        )

    def test_survives_a_call_that_was_cut(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", '{"city": "Par')], finish_reason="length")
        server.reply("Sorry")

        answer, _ = run(FunctionAgent(tools=[get_weather], llm=llm), "What is the weather in Paris?")

        history = server.requests[-1].json["messages"]
        assert str(answer) == "Sorry"
        assert "multiple values for argument 'self'" in history[-1]["content"]
        assert json.loads(history[-2]["tool_calls"][0]["function"]["arguments"])["invalid_arguments"] == '{"city": "Par'

    @pytest.mark.parametrize("arguments", ['{"pattern": "/tmp/ju', "[1]", '"x"'])
    def test_does_not_run_a_tool_with_defaults_for_what_was_cut(
        self, server: LocalEndpoints, llm: ChatOVHCloud, arguments: str
    ) -> None:
        ran = []

        def wipe(pattern: str = "*", dry_run: bool = False) -> str:
            """Wipe."""
            ran.append(pattern)
            return "done"

        def wipe_all(pattern: str = "*") -> str:
            """Wipe."""
            return wipe(pattern)

        server.reply(tool_calls=[("wipe", arguments), ("wipe_all", arguments)], finish_reason="length")
        server.reply("Sorry")

        run(FunctionAgent(tools=[wipe, wipe_all], llm=llm), "Clean up")

        assert ran == []

    def test_survives_a_tool_that_there_is_not(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_wether", {"city": "Rome"})])
        server.reply("Sorry")

        answer, _ = run(FunctionAgent(tools=[get_weather], llm=llm), "Say")

        assert str(answer) == "Sorry"
        assert "get_wether" in server.requests[-1].json["messages"][-1]["content"]

    def test_begins_with_the_tool_that_it_is_told(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        agent = FunctionAgent(tools=[get_weather, now], llm=llm, initial_tool_choice="now")

        answer, _ = run(agent, "What is the weather in Paris?")

        assert str(answer) == "The tool says: noon"
        assert server.requests[0].json["tool_choice"]["function"]["name"] == "now"

    def test_returns_at_once_what_is_to_be_returned(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        direct = FunctionTool.from_defaults(get_weather, return_direct=True)

        answer, _ = run(FunctionAgent(tools=[direct], llm=llm), "What is the weather in Paris?")

        assert str(answer) == "Sunny in Paris"
        assert len(server.requests) == 1

    def test_gives_an_object(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Paris"})])
        server.reply("It is sunny in Paris")
        server.reply('{"city": "Paris", "sky": "sunny"}')

        answer, _ = run(FunctionAgent(tools=[get_weather], llm=llm, output_cls=Weather), "Say")

        assert answer.get_pydantic_model(Weather) == Weather(city="Paris", sky="sunny")
        assert server.requests[-1].json["response_format"]["json_schema"]["name"] == "Weather"

    def test_stops_after_its_last_iteration(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("now", {})], times=9)

        with pytest.raises(WorkflowRuntimeError, match="Max iterations of 3"):
            run(FunctionAgent(tools=[now], llm=llm), "Say", max_iterations=3)

    def test_remembers(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        agent = FunctionAgent(tools=[get_weather], llm=llm, system_prompt="Be brief")
        memory = Memory.from_defaults(session_id="s", token_limit=10_000)

        run(agent, "What is the weather in Paris?", memory=memory)
        run(agent, "Hello again", memory=memory)

        sent = server.requests[-1].json["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "assistant", "user"]
        assert "session_id" not in str(sent)

    @pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.EmptyAnswerWarning")
    def test_answer_without_text_is_empty_but_shows_its_thoughts(
        self, server: LocalEndpoints, llm: ChatOVHCloud
    ) -> None:
        server.reply("", reasoning="Thinking and thinking", finish_reason="length")

        answer, events = run(FunctionAgent(tools=[now], llm=llm), "Say")

        thoughts = "".join(event.thinking_delta or "" for event in events if isinstance(event, AgentStream))
        assert str(answer) == ""
        assert thoughts == "Thinking and thinking"
        assert answer.raw["choices"][0]["finish_reason"] == "length"


@pytest.mark.filterwarnings("ignore:is_running called:DeprecationWarning")  # by core itself
class TestReActAgent:
    STEPS = (
        'Thought: I need a tool.\nAction: get_weather\nAction Input: {"city": "Oslo"}',
        "Thought: I can answer without using any more tools.\nAnswer: It is sunny.",
    )

    @pytest.mark.parametrize("streaming", [True, False])
    def test_acts_and_answers(self, server: LocalEndpoints, llm: ChatOVHCloud, streaming: bool) -> None:
        for step in self.STEPS:
            server.reply(step, reasoning="as I was told")

        answer, _ = run(ReActAgent(tools=[get_weather], llm=llm, streaming=streaming), "Weather in Oslo?")

        assert str(answer) == "It is sunny."
        assert "Sunny in Oslo" in str(server.requests[-1].json["messages"])
        assert "tools" not in server.requests[-1].json

    def test_works_with_a_model_without_tools(self, server: LocalEndpoints) -> None:
        for step in self.STEPS:
            server.reply(step)
        llm = ChatOVHCloud(model="Qwen2.5-VL-72B-Instruct")

        assert str(run(ReActAgent(tools=[get_weather], llm=llm), "Weather in Oslo?")[0]) == "It is sunny."


class TestAgentWorkflow:
    def test_takes_function_calling_agents_for_models_that_call(self, llm: ChatOVHCloud) -> None:
        workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=llm)

        assert [type(agent) for agent in workflow.agents.values()] == [FunctionAgent]
        assert str(run(workflow, "What is the weather in Paris?")[0]) == "The tool says: Sunny in Paris"

    def test_hands_over(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        first = FunctionAgent(name="first", description="asks", tools=[now], llm=llm, can_handoff_to=["second"])
        second = FunctionAgent(name="second", description="answers", tools=[get_weather], llm=llm)
        server.reply(tool_calls=[("handoff", {"to_agent": "second", "reason": "weather"})])
        server.reply(tool_calls=[("get_weather", {"city": "Rome"})])
        server.reply("Sunny, says the second")

        answer, _ = run(AgentWorkflow(agents=[first, second], root_agent="first"), "Weather in Rome?")

        assert str(answer) == "Sunny, says the second"
        assert answer.current_agent_name == "second"


def test_code_act_agent_runs_code_until_there_is_an_answer(server: LocalEndpoints, llm: ChatOVHCloud) -> None:
    ran: list[str] = []

    def execute(code: str) -> str:
        ran.append(code)
        return "42"

    server.reply("Let me see.\n<execute>\nprint(6 * 7)\n</execute>")
    server.reply("It is 42.")

    answer, _ = run(CodeActAgent(code_execute_fn=execute, llm=llm), "What is 6 times 7?")

    assert str(answer) == "It is 42."
    assert [code.strip() for code in ran] == ["print(6 * 7)"]


def test_memory_is_as_large_as_the_model_allows(llm: ChatOVHCloud) -> None:
    assert ChatMemoryBuffer.from_defaults(llm=llm).token_limit == 131_072 * 3 // 4
