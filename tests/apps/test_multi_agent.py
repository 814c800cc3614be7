"""Supervisors and swarms of agents on our chat model: handoffs, and the names of agents that models may refuse."""

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt.chat_agent_executor import AgentStateWithStructuredResponse
from langgraph_supervisor import create_supervisor
from langgraph_supervisor.handoff import create_forward_message_tool
from langgraph_swarm import create_handoff_tool, create_swarm
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # LangGraph says so of what langgraph-supervisor builds its supervisor from.
    pytest.mark.filterwarnings("ignore:create_react_agent has been moved"),
    pytest.mark.filterwarnings("ignore:AgentState.* has been moved"),
    # LangGraph says so of `stream_events(version="v3")`, which is tested here.
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental"),
]
MISTRAL = "Mistral-Nemo-Instruct-2407"
THREAD: Any = {"configurable": {"thread_id": "1"}}
ASKED: dict[str, Any] = {"messages": [HumanMessage("1 + 2? And the weather in Rome?", name="ann")]}


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture(params=["Qwen3.6-27B", "gpt-oss-120b", MISTRAL])
def model(request: pytest.FixtureRequest) -> ChatOVHCloud:
    return ChatOVHCloud(model=request.param)


@pytest.fixture
def qwen() -> ChatOVHCloud:
    return ChatOVHCloud(model="Qwen3.6-27B")


@pytest.fixture(params=["blocking", "awaited"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def run(app: Any, *args: Any) -> Any:
        return app.invoke(*args) if request.param == "blocking" else asyncio.run(app.ainvoke(*args))

    return run


def agents_on(model: ChatOVHCloud) -> list[Any]:
    return [
        create_agent(model, tools=[add], name="math_expert"),
        create_agent(model, tools=[get_weather], name="weather_expert"),
    ]


def sent(server: LocalEndpoints) -> list[list[dict[str, Any]]]:
    return [request.json["messages"] for request in server.requests]


def spoken(messages: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    """Who said what, of the assistants."""
    return [(message.get("name"), message["content"]) for message in messages if message["role"] == "assistant"]


def assert_mistral_takes(messages: list[dict[str, Any]]) -> None:
    """What the family's templates demand, read from what was sent."""
    roles = [message["role"] for message in messages]
    ids = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    assert not [message for message in messages if message["role"] != "tool" and "name" in message]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", id_) for id_ in ids)
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids
    assert not [pair for pair in pairwise(roles) if pair in {("user", "user"), ("assistant", "assistant")}]


class TestASupervisor:
    @pytest.fixture(autouse=True)
    def _scripted(self, server: LocalEndpoints) -> Iterator[None]:
        """One expert after the other, and a summary."""
        server.reply("Numbers first.", reasoning="Two tasks.", tool_calls=[("transfer_to_math_expert", {}, "call-1")])
        server.reply(tool_calls=[("add", {"a": 1, "b": 2}, "call-2")])
        server.reply("It is 3.")
        server.reply("Now the weather.", tool_calls=[("transfer_to_weather_expert", {}, "call-3")])
        server.reply(tool_calls=[("get_weather", {"city": "Rome"}, "call-4")])
        server.reply("Sunny in Rome.")
        server.reply("It is 3, and sunny.")
        yield
        assert server.refusals == []

    def test_asks_one_expert_after_the_other(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        app = create_supervisor(agents_on(model), model=model, prompt="You manage experts.").compile()

        done = run(app, ASKED)

        assert done["messages"][-1].text == "It is 3, and sunny."
        assert len(server.requests) == 7
        assert sent(server)[-1][0] == {"role": "system", "content": "You manage experts."}
        tools = [{tool["function"]["name"] for tool in request.json["tools"]} for request in server.requests]
        assert tools[0] == {"transfer_to_math_expert", "transfer_to_weather_expert"}
        assert (tools[1], tools[4]) == ({"add"}, {"get_weather"})
        assert sent(server)[2][-1]["content"] == "3"

    @pytest.mark.parametrize("name", ["Qwen3.6-27B", "gpt-oss-120b"])
    def test_tells_a_model_who_said_what(self, server: LocalEndpoints, name: str) -> None:
        model = ChatOVHCloud(model=name)

        create_supervisor(agents_on(model), model=model).compile().invoke(ASKED)

        last = sent(server)[-1]
        assert last[0] == {"role": "user", "content": "1 + 2? And the weather in Rome?", "name": "ann"}
        assert spoken(last) == [
            ("supervisor", "Numbers first."),
            ("math_expert", "It is 3."),
            ("math_expert", "Transferring back to supervisor"),
            ("supervisor", "Now the weather."),
            ("weather_expert", "Sunny in Rome."),
            ("weather_expert", "Transferring back to supervisor"),
        ]

    def test_sends_mistral_what_its_templates_take(self, server: LocalEndpoints) -> None:
        model = ChatOVHCloud(model=MISTRAL)

        create_supervisor(agents_on(model), model=model).compile().invoke(ASKED)

        for messages in sent(server):
            assert_mistral_takes(messages)
        assert spoken(sent(server)[-1]) == [
            (None, "Numbers first."),
            (None, "It is 3.\n\nTransferring back to supervisor"),
            (None, "Now the weather."),
            (None, "Sunny in Rome.\n\nTransferring back to supervisor"),
        ]

    def test_may_write_the_names_into_the_text(self, server: LocalEndpoints, qwen: ChatOVHCloud, run: Any) -> None:
        app = create_supervisor(agents_on(qwen), model=qwen, include_agent_name="inline").compile()

        run(app, ASKED)

        assert spoken(sent(server)[-1])[1] == (
            "math_expert",
            "<name>math_expert</name><content>It is 3.</content>",
        )

    def test_may_see_the_whole_work_of_an_expert(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        app = create_supervisor(agents_on(model), model=model, output_mode="full_history").compile()

        app.invoke(ASKED)

        calls = [call["function"]["name"] for message in sent(server)[-1] for call in message.get("tool_calls", [])]
        assert calls == [
            "transfer_to_math_expert",
            "add",
            "transfer_back_to_supervisor",
            "transfer_to_weather_expert",
            "get_weather",
            "transfer_back_to_supervisor",
        ]

    def test_streams_the_tokens_of_everybody(self, server: LocalEndpoints, qwen: ChatOVHCloud) -> None:
        app = create_supervisor(agents_on(qwen), model=qwen).compile()

        texts: dict[str, str] = {}
        for _, (chunk, metadata) in app.stream(ASKED, stream_mode="messages", subgraphs=True):
            if isinstance(chunk, AIMessageChunk):
                speaker = metadata["langgraph_checkpoint_ns"].partition(":")[0]
                texts[speaker] = texts.get(speaker, "") + chunk.text

        assert texts == {
            "supervisor": "Numbers first.Now the weather.It is 3, and sunny.",
            "math_expert": "It is 3.",
            "weather_expert": "Sunny in Rome.",
        }
        assert all(request.json["stream"] for request in server.requests)


class TestASupervisorThatHandsOffTwiceAtOnce:
    BOTH = (("transfer_to_math_expert", {}, "call-1"), ("transfer_to_weather_expert", {}, "call-2"))

    def test_follows_the_first_by_default(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply("Both.", tool_calls=self.BOTH)
        server.reply("It is 3.")
        server.reply("Done.")

        done = run(create_supervisor(agents_on(model), model=model).compile(), ASKED)

        assert [message.name for message in done["messages"] if message.text == "It is 3."] == ["math_expert"]
        assert len(server.requests) == 3
        assert server.refusals == []
        assert not any("parallel_tool_calls" in request.json for request in server.requests)

    @pytest.mark.parametrize("is_stream_of_blocks", [False, True])
    def test_shows_an_expert_its_own_call_only(
        self, server: LocalEndpoints, model: ChatOVHCloud, is_stream_of_blocks: bool
    ) -> None:
        server.reply("Both.", reasoning="Two.", tool_calls=self.BOTH)
        server.reply("It is so.", times=2)
        app: Any = create_supervisor(agents_on(model), model=model, parallel_tool_calls=True).compile()

        if is_stream_of_blocks:
            list(app.stream_events(ASKED, version="v3"))
        else:
            app.invoke(ASKED)

        assert server.refusals == []
        _, call, result = sent(server)[1]
        assert call["content"] == "Both."
        (handoff,) = call["tool_calls"]  # langgraph-supervisor follows whichever of the two comes first
        assert result["name"] == handoff["function"]["name"]
        assert result["tool_call_id"] == handoff["id"]


class Verdict(BaseModel):
    """A verdict."""

    total: int


def test_a_supervisor_gives_an_object(server: LocalEndpoints, model: ChatOVHCloud, run: Callable[..., Any]) -> None:
    server.reply("It is 3.")
    server.reply('{"total": 3}')

    app = create_supervisor(
        agents_on(model), model=model, response_format=Verdict, state_schema=AgentStateWithStructuredResponse
    )
    done = run(app.compile(), ASKED)

    assert done["structured_response"] == Verdict(total=3)
    assert server.requests[-1].json["response_format"]["json_schema"]["name"] == "Verdict"


def test_a_supervisor_forwards_an_answer(server: LocalEndpoints, qwen: ChatOVHCloud, run: Callable[..., Any]) -> None:
    server.reply(tool_calls=[("transfer_to_math_expert", {}, "call-1")])
    server.reply("It is 3.")
    server.reply(tool_calls=[("forward_message", {"from_agent": "math_expert"}, "call-2")])
    app = create_supervisor(agents_on(qwen), model=qwen, tools=[create_forward_message_tool()]).compile()

    done = run(app, ASKED)

    assert (done["messages"][-1].text, done["messages"][-1].name) == ("It is 3.", "supervisor")
    assert len(server.requests) == 3


def swarm_on(model: ChatOVHCloud, first: str = "alice", second: str = "bob") -> Any:
    one = create_agent(model, tools=[add, create_handoff_tool(agent_name=second)], name=first)
    other = create_agent(model, tools=[create_handoff_tool(agent_name=first)], name=second)
    return create_swarm([one, other], default_active_agent=first).compile(checkpointer=InMemorySaver())


class TestASwarm:
    @pytest.fixture(autouse=True)
    def _scripted(self, server: LocalEndpoints) -> Iterator[None]:
        yield
        assert server.refusals == []

    def test_hands_off_and_remembers_to_whom(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        app = swarm_on(model)
        server.reply("Ask Bob.", reasoning="Not mine.", tool_calls=[("transfer_to_bob", {}, "call-1")])
        server.reply("Ahoy.")
        server.reply("Ahoy again.")

        run(app, {"messages": [HumanMessage("I want Bob.")]}, THREAD)
        done = run(app, {"messages": [HumanMessage("Still there?")]}, THREAD)

        assert (done["active_agent"], done["messages"][-1].text) == ("bob", "Ahoy again.")
        tools = [[tool["function"]["name"] for tool in request.json["tools"]] for request in server.requests]
        assert tools == [["add", "transfer_to_bob"], ["transfer_to_alice"], ["transfer_to_alice"]]
        _, handing, result = sent(server)[1]
        assert (handing["content"], handing["reasoning"]) == ("Ask Bob.", "Not mine.")
        assert (result["content"], result["name"]) == ("Successfully transferred to bob", "transfer_to_bob")

    @pytest.mark.parametrize("name", ["Qwen3.6-27B", "gpt-oss-120b"])
    def test_tells_a_model_who_said_what(self, server: LocalEndpoints, name: str) -> None:
        server.reply("Ask Bob.", tool_calls=[("transfer_to_bob", {}, "call-1")])
        server.reply("Ahoy.")
        app = swarm_on(ChatOVHCloud(model=name))
        app.invoke({"messages": [HumanMessage("I want Bob.")]}, THREAD)

        app.invoke({"messages": [HumanMessage("Still there?")]}, THREAD)

        assert spoken(sent(server)[-1]) == [("alice", "Ask Bob."), ("bob", "Ahoy.")]

    def test_sends_mistral_what_its_templates_take(self, server: LocalEndpoints) -> None:
        server.reply("Ask Bob.", tool_calls=[("transfer_to_bob", {}, "call-1")])
        server.reply("Ahoy.")
        server.reply("Ahoy again.")
        app = swarm_on(ChatOVHCloud(model=MISTRAL))
        app.invoke({"messages": [HumanMessage("I want Bob.")]}, THREAD)

        app.invoke({"messages": [HumanMessage("Still there?")]}, THREAD)

        for messages in sent(server):
            assert_mistral_takes(messages)

    def test_hands_off_to_names_that_no_tool_may_have(
        self, server: LocalEndpoints, model: ChatOVHCloud, run: Any
    ) -> None:
        app = swarm_on(model, second="Zoë (the 2nd)")
        server.reply(tool_calls=[("transfer_to_zo___the_2nd_", {}, "call-1")])
        server.reply("Ahoy.")

        done = run(app, {"messages": [HumanMessage("I want Zoë.")]}, THREAD)

        offered = [tool["function"]["name"] for tool in server.requests[0].json["tools"]]
        assert offered == ["add", "transfer_to_zo___the_2nd_"]
        assert (done["active_agent"], done["messages"][-1].text) == ("Zoë (the 2nd)", "Ahoy.")
        assert [message.name for message in done["messages"] if isinstance(message, AIMessage)] == [
            "alice",
            "Zoë (the 2nd)",
        ]
