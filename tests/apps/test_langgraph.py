"""Graphs of LangGraph on our chat model: all ways to stream, interrupts, tools, retries, cancellations."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphRecursionError
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, RetryPolicy, Send, interrupt
from waiting import eventually, sockets_to

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import InternalServerError, NotFoundError, StreamInterruptedError
from ovhcloud_ai_endpoints.testing import RESET, LocalEndpoints, Pause

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # LangGraph says so of `stream_events(version="v3")`, which is tested here.
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental"),
    # LangChain says so of the first version of events, which apps still use.
    pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated"),
]
MODEL = "gpt-oss-120b"
ASKED: dict[str, Any] = {"messages": [HumanMessage("What is the weather in Paris?", id="asked")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
CALL = ("get_weather", {"city": "Paris"}, "call-1")
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
SENT_SECOND = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "reasoning": "I need the weather.",
        "tool_calls": [
            {
                "id": "call-1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "content": "Sunny in Paris", "tool_call_id": "call-1", "name": "get_weather"},
]


def get_weather(city: str) -> str:
    """The weather in a city."""
    get_stream_writer()(f"looking at {city}")
    return f"Sunny in {city}"


def script(server: LocalEndpoints) -> None:
    """One tool call, and an answer."""
    server.reply("Let me look.", reasoning="I need the weather.", tool_calls=[CALL], usage=USAGE)
    server.reply("It is sunny.", reasoning="That was easy.", usage=USAGE)


def sent(server: LocalEndpoints) -> list[list[dict[str, Any]]]:
    return [request.json["messages"] for request in server.requests]


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model=MODEL)


@pytest.fixture
def agent(model: ChatOVHCloud) -> Any:
    return create_agent(model, tools=[get_weather])


def asking(model: Runnable[Any, AIMessage]) -> Runnable[Any, Any]:
    """A node that asks a model, blocking or awaited as the graph is run."""

    async def awaited(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return RunnableLambda(lambda state: {"messages": [model.invoke(state["messages"])]}, awaited)


class Way:
    """Runs a graph blocking, or awaited on a loop that ends with the call."""

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async

    def invoke(self, graph: Any, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(graph.ainvoke(*args, **kwargs)) if self._is_async else graph.invoke(*args, **kwargs)

    def stream(self, graph: Any, *args: Any, **kwargs: Any) -> list[Any]:
        async def read() -> list[Any]:
            return [part async for part in graph.astream(*args, **kwargs)]

        return asyncio.run(read()) if self._is_async else list(graph.stream(*args, **kwargs))

    def events(self, graph: Any, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """The events of the third version, and the state at the end."""

        async def read() -> tuple[list[Any], Any]:
            run = await graph.astream_events(*args, version="v3", **kwargs)
            return [event async for event in run], await run.output()

        if self._is_async:
            return asyncio.run(read())
        run = graph.stream_events(*args, version="v3", **kwargs)
        return list(run), run.output


@pytest.fixture(params=["blocking", "awaited"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(is_async=request.param == "awaited")


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk  # type: ignore[assignment]
    return whole


class TestModesOfStreams:
    @pytest.fixture(autouse=True)
    def _scripted(self, server: LocalEndpoints) -> None:
        script(server)

    def test_values_are_the_whole_state_after_each_step(self, agent: Any, way: Way) -> None:
        parts = way.stream(agent, ASKED, stream_mode="values")

        assert [[type(message) for message in part["messages"]] for part in parts] == [
            [HumanMessage, AIMessage, ToolMessage, AIMessage][:count] for count in (1, 2, 3, 4)
        ]
        assert parts[-1]["messages"][-1].text == "It is sunny."

    def test_updates_are_what_each_node_adds(self, agent: Any, way: Way) -> None:
        parts = way.stream(agent, ASKED, stream_mode="updates")

        assert [(name, update["messages"][0].text) for part in parts for name, update in part.items()] == [
            ("model", "Let me look."),
            ("tools", "Sunny in Paris"),
            ("model", "It is sunny."),
        ]

    def test_custom_is_what_a_tool_writes(self, agent: Any, way: Way) -> None:
        assert way.stream(agent, ASKED, stream_mode="custom") == ["looking at Paris"]

    def test_tasks_begin_and_end(self, agent: Any, way: Way) -> None:
        parts = way.stream(agent, ASKED, stream_mode="tasks")

        assert [(part["name"], "input" in part, part.get("error")) for part in parts] == [
            (name, begins, None) for name in ("model", "tools", "model") for begins in (True, False)
        ]
        assert parts[-1]["result"]["messages"][0].text == "It is sunny."

    def test_checkpoints_have_the_state(self, model: ChatOVHCloud, way: Way) -> None:
        agent = create_agent(model, tools=[get_weather], checkpointer=InMemorySaver())

        parts = way.stream(agent, ASKED, THREAD, stream_mode="checkpoints")

        assert [len(part["values"]["messages"]) for part in parts] == [0, 1, 2, 3, 4]
        assert parts[-1]["values"]["messages"][-1].text == "It is sunny."

    def test_debug_has_tasks_and_checkpoints(self, model: ChatOVHCloud, way: Way) -> None:
        agent = create_agent(model, tools=[get_weather], checkpointer=InMemorySaver())

        parts = way.stream(agent, ASKED, THREAD, stream_mode="debug")

        kinds = [part["type"] for part in parts]
        assert {kind: kinds.count(kind) for kind in kinds} == {"checkpoint": 5, "task": 3, "task_result": 3}

    def test_several_at_once_name_their_mode(self, agent: Any, way: Way) -> None:
        parts = way.stream(agent, ASKED, stream_mode=["updates", "custom", "messages"])

        assert {mode for mode, _ in parts} == {"updates", "custom", "messages"}
        assert [data for mode, data in parts if mode == "custom"] == ["looking at Paris"]
        assert [next(iter(data)) for mode, data in parts if mode == "updates"] == ["model", "tools", "model"]

    def test_parts_of_the_second_version_name_their_type(self, agent: Any, way: Way) -> None:
        parts = way.stream(agent, ASKED, stream_mode=["values", "messages"], version="v2")

        texts = [part["data"][0].text for part in parts if part["type"] == "messages"]
        assert "".join(texts) == "Let me look.Sunny in ParisIt is sunny."
        assert len([part for part in parts if part["type"] == "values"]) == 4

    @pytest.mark.parametrize("mode", ["values", "updates", "messages", "custom", "tasks", "debug", "checkpoints"])
    def test_none_changes_what_is_sent(self, server: LocalEndpoints, agent: Any, way: Way, mode: str) -> None:
        way.stream(agent, ASKED, stream_mode=mode)

        assert sent(server) == [SENT_SECOND[:1], SENT_SECOND]
        assert [bool(request.json.get("stream")) for request in server.requests] == [mode == "messages"] * 2


class TestMessagesTokenByToken:
    @pytest.fixture
    def answers(self, server: LocalEndpoints, agent: Any, way: Way) -> list[list[AIMessageChunk]]:
        """The chunks of both answers."""
        script(server)
        parts = way.stream(agent, ASKED, stream_mode="messages")
        chunks = [chunk for chunk, _ in parts if isinstance(chunk, AIMessageChunk)]
        names = list(dict.fromkeys(chunk.id for chunk in chunks))
        return [[chunk for chunk in chunks if chunk.id == name] for name in names]

    def test_are_two_answers(self, answers: list[list[AIMessageChunk]]) -> None:
        assert [joined(chunks).text for chunks in answers] == ["Let me look.", "It is sunny."]

    def test_have_reasoning_before_the_text(self, answers: list[list[AIMessageChunk]]) -> None:
        kinds = [block["type"] for chunk in answers[1] for block in chunk.content_blocks]

        assert joined(answers[1]).content_blocks[0] == {
            "type": "reasoning",
            "reasoning": "That was easy.",
            "index": "lc_rs",
        }
        assert list(dict.fromkeys(kinds)) == ["reasoning", "text"]
        assert kinds.count("reasoning") > 1

    def test_have_chunks_of_the_tool_call(self, answers: list[list[AIMessageChunk]]) -> None:
        pieces = [piece for chunk in answers[0] for piece in chunk.tool_call_chunks]

        assert "".join(piece["args"] or "" for piece in pieces) == '{"city": "Paris"}'
        assert [piece["name"] for piece in pieces if piece["name"]] == ["get_weather"]
        assert [piece["id"] for piece in pieces if piece["id"]] == ["call-1"]
        assert {piece["index"] for piece in pieces} == {0}

    def test_have_the_usage_once_for_each_answer(self, answers: list[list[AIMessageChunk]]) -> None:
        for chunks in answers:
            usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
            assert [(usage["input_tokens"], usage["output_tokens"]) for usage in usages] == [(10, 20)]

    def test_have_the_model_and_the_node(self, server: LocalEndpoints, agent: Any, way: Way) -> None:
        script(server)

        parts = way.stream(agent, ASKED, stream_mode="messages")

        assert {
            (metadata["ls_model_name"], metadata["ls_provider"], metadata["langgraph_node"])
            for chunk, metadata in parts
            if isinstance(chunk, AIMessageChunk)
        } == {(MODEL, "ovhcloud", "model")}

    def test_of_three_calls_stay_apart_by_index(self, server: LocalEndpoints, agent: Any, way: Way) -> None:
        server.reply(tool_calls=[("get_weather", {"city": city}) for city in ("Paris", "Rome", "Bonn")])
        server.reply("Done.")

        parts = way.stream(agent, ASKED, stream_mode="messages")

        first = [chunk for chunk, _ in parts if isinstance(chunk, AIMessageChunk) and chunk.id == parts[0][0].id]
        assert [call["args"]["city"] for call in joined(first).tool_calls] == ["Paris", "Rome", "Bonn"]


class TestSubgraphs:
    @pytest.fixture
    def graph(self, agent: Any) -> Any:
        builder = StateGraph(MessagesState)
        builder.add_node("helper", agent)
        builder.add_edge(START, "helper")
        return builder.compile()

    def test_stream_with_their_namespace(self, server: LocalEndpoints, graph: Any, way: Way) -> None:
        script(server)

        parts = way.stream(graph, ASKED, stream_mode="updates", subgraphs=True)

        inner = [next(iter(update)) for namespace, update in parts if namespace]
        outer = [next(iter(update)) for namespace, update in parts if not namespace]
        assert (inner, outer) == (["model", "tools", "model"], ["helper"])
        assert all(namespace[0].startswith("helper:") for namespace, _ in parts if namespace)

    def test_stream_their_tokens(self, server: LocalEndpoints, graph: Any, way: Way) -> None:
        script(server)

        parts = way.stream(graph, ASKED, stream_mode="messages", subgraphs=True)

        texts = [chunk.text for _, (chunk, _) in parts if isinstance(chunk, AIMessageChunk) and chunk.text]
        assert texts == ["Let", " me", " look.", "It", " is", " sunny."]

    def test_are_seen_by_the_third_version(self, server: LocalEndpoints, graph: Any) -> None:
        script(server)
        run = graph.stream_events(ASKED, version="v3")

        seen = [
            (inner.path[-1].partition(":")[0], [said.text.get() for said in inner.messages]) for inner in run.subgraphs
        ]

        assert seen == [("helper", ["Let me look.", "It is sunny."])]


class TestEvents:
    @pytest.fixture(autouse=True)
    def _scripted(self, server: LocalEndpoints) -> None:
        script(server)

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_of_the_older_versions_stream_the_model(self, agent: Any, version: str) -> None:
        async def read() -> list[Any]:
            return [event async for event in agent.astream_events(ASKED, version=version)]

        events = asyncio.run(read())

        chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
        assert "".join(chunk.text for chunk in chunks) == "Let me look.It is sunny."
        ends = [event["data"]["output"] for event in events if event["event"] == "on_chat_model_end"]
        messages = [end if version == "v2" else end["generations"][0][0]["message"] for end in ends]
        assert [message.usage_metadata["total_tokens"] for message in messages] == [30, 30]

    def test_of_the_third_version_stream_each_kind_of_block(self, agent: Any, way: Way) -> None:
        events, _ = way.events(agent, ASKED)

        data = [event["params"]["data"][0] for event in events if event["method"] == "messages"]
        deltas = [event["delta"] for event in data if event["event"] == "content-block-delta"]
        assert "".join(delta.get("reasoning", "") for delta in deltas) == "I need the weather.That was easy."
        assert "".join(delta.get("text", "") for delta in deltas) == "Let me look.It is sunny."
        # of a call, each delta has the arguments so far
        assert [event["content"] for event in data if event["event"] == "content-block-finish"][2] == {
            "type": "tool_call",
            "id": "call-1",
            "name": "get_weather",
            "args": {"city": "Paris"},
        }

    def test_of_the_third_version_have_the_usage_once_for_each_answer(self, agent: Any, way: Way) -> None:
        events, _ = way.events(agent, ASKED)

        data = [event["params"]["data"][0] for event in events if event["method"] == "messages"]
        assert [event["usage"]["total_tokens"] for event in data if event["event"] == "message-finish"] == [30, 30]

    def test_of_the_third_version_change_nothing_of_what_is_sent(
        self, server: LocalEndpoints, agent: Any, way: Way
    ) -> None:
        _, state = way.events(agent, ASKED)

        assert sent(server) == [SENT_SECOND[:1], SENT_SECOND]
        assert state["messages"][-1].text == "It is sunny."

    def test_of_the_third_version_leave_a_history_that_can_go_on(
        self, server: LocalEndpoints, agent: Any, way: Way
    ) -> None:
        _, state = way.events(agent, ASKED)
        server.reply("Welcome.")

        way.invoke(agent, {"messages": [*state["messages"], HumanMessage("Thanks.")]})

        assert sent(server)[-1] == [
            SENT_SECOND[0],
            {name: value for name, value in SENT_SECOND[1].items() if name != "reasoning"},  # the turn has ended
            SENT_SECOND[2],
            {"role": "assistant", "content": "It is sunny."},
            {"role": "user", "content": "Thanks."},
        ]

    @pytest.mark.parametrize("name", ["Mistral-Nemo-Instruct-2407", "Meta-Llama-3_3-70B-Instruct", "Qwen3.6-27B"])
    def test_of_the_third_version_leave_a_history_for_other_families(
        self, server: LocalEndpoints, agent: Any, name: str
    ) -> None:
        state = agent.stream_events(ASKED, version="v3").output

        ChatOVHCloud(model=name).invoke([*state["messages"], HumanMessage("Thanks.")])

        assert server.refusals == []
        assert [(message["role"], message["content"]) for message in sent(server)[-1]] == [
            ("user", "What is the weather in Paris?"),
            ("assistant", "Let me look."),
            ("tool", "Sunny in Paris"),
            ("assistant", "It is sunny."),
            ("user", "Thanks."),
        ]

    def test_of_the_third_version_give_messages_as_they_come(self, agent: Any) -> None:
        async def read() -> list[Any]:
            run = await agent.astream_events(ASKED, version="v3")
            return [
                (await said.reasoning, await said.text, [call["name"] for call in await said.tool_calls])
                async for said in run.messages
            ]

        assert asyncio.run(read()) == [
            ("I need the weather.", "Let me look.", ["get_weather"]),
            ("That was easy.", "It is sunny.", []),
        ]


class TestInterrupts:
    def test_of_a_node_wait_for_an_answer(self, server: LocalEndpoints, model: ChatOVHCloud, way: Way) -> None:
        def ask(state: MessagesState) -> dict[str, Any]:
            return {"messages": [HumanMessage(interrupt("Which city?"))]}

        builder = StateGraph(MessagesState).add_sequence([ask, ("answer", asking(model))]).add_edge(START, "ask")
        graph = builder.compile(checkpointer=InMemorySaver())
        server.reply("Sunny.")

        paused = way.invoke(graph, {"messages": [HumanMessage("Weather?")]}, THREAD)
        assert [pause.value for pause in paused["__interrupt__"]] == ["Which city?"]
        assert server.requests == []
        done = way.invoke(graph, Command(resume="Rome"), THREAD)

        assert done["messages"][-1].text == "Sunny."
        assert sent(server) == [[{"role": "user", "content": "Weather?"}, {"role": "user", "content": "Rome"}]]

    @pytest.mark.parametrize(
        ("decision", "result"),
        [
            ({"type": "approve"}, "Sunny in Paris"),
            ({"type": "edit", "edited_action": {"name": "get_weather", "args": {"city": "Lyon"}}}, "Sunny in Lyon"),
            ({"type": "reject", "message": "Not now."}, "Not now."),
            ({"type": "respond", "message": "It rains."}, "It rains."),
        ],
        ids=lambda value: value["type"] if isinstance(value, dict) else "",
    )
    def test_for_a_human_decide_on_one_call_of_two(
        self, server: LocalEndpoints, model: ChatOVHCloud, way: Way, decision: dict[str, Any], result: str
    ) -> None:
        review = HumanInTheLoopMiddleware(interrupt_on={"get_weather": True})
        agent = create_agent(model, tools=[get_weather], middleware=[review], checkpointer=InMemorySaver())
        server.reply(reasoning="Two cities.", tool_calls=[CALL, ("get_weather", {"city": "Rome"}, "call-2")])
        server.reply("Done.")

        paused = way.invoke(agent, ASKED, THREAD)
        assert len(paused["__interrupt__"][0].value["action_requests"]) == 2
        done = way.invoke(agent, Command(resume={"decisions": [decision, {"type": "approve"}]}), THREAD)

        assert done["messages"][-1].text == "Done."
        _, call, *results = sent(server)[-1]
        assert call["reasoning"] == "Two cities."
        assert [one["id"] for one in call["tool_calls"]] == ["call-1", "call-2"]
        assert [one["tool_call_id"] for one in results] == ["call-1", "call-2"]
        assert results[0]["content"].endswith(result)
        assert results[1]["content"] == "Sunny in Rome"

    def test_may_be_left_for_a_new_question(self, server: LocalEndpoints, model: ChatOVHCloud, way: Way) -> None:
        review = HumanInTheLoopMiddleware(interrupt_on={"get_weather": True})
        agent = create_agent(model, tools=[get_weather], middleware=[review], checkpointer=InMemorySaver())
        script(server)
        way.invoke(agent, ASKED, THREAD)

        done = way.invoke(agent, {"messages": [HumanMessage("Never mind.")]}, THREAD)

        assert done["messages"][-1].text == "It is sunny."
        assert sent(server)[-1][2:] == [
            {
                "role": "tool",
                "content": "This call was interrupted; it has no result.",
                "tool_call_id": "call-1",
            },
            {"role": "user", "content": "Never mind."},
        ]

    def test_are_told_by_the_third_version(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        review = HumanInTheLoopMiddleware(interrupt_on={"get_weather": True})
        agent: Any = create_agent(model, tools=[get_weather], middleware=[review], checkpointer=InMemorySaver())
        script(server)

        run = agent.stream_events(ASKED, THREAD, version="v3")
        assert run.interrupted
        resumed = agent.stream_events(Command(resume={"decisions": [{"type": "approve"}]}), THREAD, version="v3")

        assert [said.text.get() for said in resumed.messages] == ["It is sunny."]
        assert sent(server)[-1] == SENT_SECOND


class TestTools:
    @pytest.fixture
    def three_calls(self, server: LocalEndpoints) -> None:
        calls = [("get_weather", {"city": city}, f"call-{city}") for city in ("Paris", "Atlantis", "Rome")]
        server.reply("I look.", tool_calls=calls)
        server.reply("Done.")

    @staticmethod
    def strict_weather(city: str) -> str:
        """The weather in a city."""
        if city == "Atlantis":
            raise LookupError("no such city")
        return f"Sunny in {city}"

    @pytest.fixture
    def weather(self) -> Any:
        return tool("get_weather")(self.strict_weather)

    def test_of_a_node_run_at_once_and_may_fail(
        self, server: LocalEndpoints, model: ChatOVHCloud, way: Way, weather: Any, three_calls: None
    ) -> None:
        builder = StateGraph(MessagesState)
        builder.add_node("call", asking(model.bind_tools([weather])))
        builder.add_node("tools", ToolNode([weather], handle_tool_errors=True))
        builder.add_edge(START, "call")
        builder.add_conditional_edges("call", tools_condition)
        builder.add_edge("tools", "call")

        done = way.invoke(builder.compile(), ASKED)

        assert done["messages"][-1].text == "Done."
        results = sent(server)[-1][2:]
        assert [result["tool_call_id"] for result in results] == ["call-Paris", "call-Atlantis", "call-Rome"]
        assert [result["content"] for result in results][::2] == ["Sunny in Paris", "Sunny in Rome"]
        assert "no such city" in results[1]["content"]

    def test_of_an_agent_that_raise_end_the_run_and_the_next_turn_goes_on(
        self, server: LocalEndpoints, model: ChatOVHCloud, way: Way, weather: Any, three_calls: None
    ) -> None:
        agent = create_agent(model, tools=[weather], checkpointer=InMemorySaver())
        with pytest.raises(LookupError, match="no such city"):
            way.invoke(agent, ASKED, THREAD)

        done = way.invoke(agent, {"messages": [HumanMessage("And now?")]}, THREAD)

        assert done["messages"][-1].text == "Done."
        _, _, *results, question = sent(server)[-1]
        assert [result["tool_call_id"] for result in results] == ["call-Paris", "call-Atlantis", "call-Rome"]
        assert results[1]["content"] == "This call was interrupted; it has no result."
        assert question == {"role": "user", "content": "And now?"}

    def test_may_return_a_command(self, server: LocalEndpoints, model: ChatOVHCloud, way: Way) -> None:
        class State(MessagesState):
            city: str

        @tool
        def choose(city: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Chooses a city."""
            return Command(update={"city": city, "messages": [ToolMessage(f"{city} it is", tool_call_id=tool_call_id)]})

        builder = StateGraph(State)
        builder.add_node("call", asking(model.bind_tools([choose])))
        builder.add_node("tools", ToolNode([choose]))
        builder.add_edge(START, "call")
        builder.add_conditional_edges("call", tools_condition)
        builder.add_edge("tools", "call")
        server.reply(tool_calls=[("choose", {"city": "Bonn"}, "call-1")])
        server.reply("Chosen.")

        done = way.invoke(builder.compile(), ASKED)

        assert (done["city"], done["messages"][-1].text) == ("Bonn", "Chosen.")
        assert sent(server)[-1][-1] == {
            "role": "tool",
            "content": "Bonn it is",
            "tool_call_id": "call-1",
            "name": "choose",
        }
        parameters = server.requests[0].json["tools"][0]["function"]["parameters"]
        assert list(parameters["properties"]) == ["city"]  # the id is not the model's to give


def one_call(model: ChatOVHCloud, retry: RetryPolicy) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("ask", asking(model), retry_policy=retry)
    builder.add_edge(START, "ask")
    return builder.compile()


class TestFailures:
    QUICK: Any = {"initial_interval": 0.01, "max_interval": 0.01, "jitter": False}

    @pytest.fixture
    def once(self) -> ChatOVHCloud:
        """A model that leaves all retries to the graph."""
        return ChatOVHCloud(model=MODEL, max_retries=0)

    def test_are_tried_again_by_a_policy(self, server: LocalEndpoints, way: Way, once: ChatOVHCloud) -> None:
        server.reply(status=500)
        server.reply("At last.")
        graph = one_call(once, RetryPolicy(retry_on=InternalServerError, **self.QUICK))

        assert way.invoke(graph, ASKED)["messages"][-1].text == "At last."
        assert len(server.requests) == 2

    def test_of_another_kind_are_not(self, server: LocalEndpoints, way: Way, once: ChatOVHCloud) -> None:
        server.reply(status=404)
        graph = one_call(once, RetryPolicy(retry_on=InternalServerError, **self.QUICK))

        with pytest.raises(NotFoundError):
            way.invoke(graph, ASKED)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("kind", ["429", "503", "reset"])
    def test_that_may_pass_are_tried_again_by_the_default_policy(
        self, server: LocalEndpoints, way: Way, once: ChatOVHCloud, kind: str
    ) -> None:
        if kind == "reset":
            server.reply(raw=[RESET])
        else:
            server.reply(status=int(kind))
        server.reply("At last.")

        assert way.invoke(one_call(once, RetryPolicy(**self.QUICK)), ASKED)["messages"][-1].text == "At last."

    def test_by_a_timeout_are_tried_again_by_the_default_policy(self, server: LocalEndpoints, way: Way) -> None:
        model = ChatOVHCloud(model=MODEL, max_retries=0, timeout=2)
        server.reply(pause=30)
        server.reply("At last.")
        graph = one_call(model, RetryPolicy(**self.QUICK))

        assert way.invoke(graph, ASKED)["messages"][-1].text == "At last."

    def test_end_a_loop_at_the_recursion_limit(self, server: LocalEndpoints, agent: Any, way: Way) -> None:
        server.reply(tool_calls=[CALL], times=9)

        with pytest.raises(GraphRecursionError):
            way.invoke(agent, ASKED, {"recursion_limit": 5})
        assert len(server.requests) == 3

    def test_in_a_stream_keep_what_came(self, server: LocalEndpoints, agent: Any) -> None:
        server.fail("stream-cut")
        seen: list[str] = []

        with pytest.raises(StreamInterruptedError) as failure:
            seen.extend(chunk.text for chunk, _ in agent.stream(ASKED, stream_mode="messages"))

        assert "".join(seen) == failure.value.partial.text != ""

    def test_in_a_stream_of_blocks_are_raised_too(self, server: LocalEndpoints, agent: Any, way: Way) -> None:
        server.fail("stream-cut")

        with pytest.raises(StreamInterruptedError) as failure:
            way.events(agent, ASKED)
        assert failure.value.partial.text != ""

    @pytest.mark.parametrize("how", ["whole", "stream", "events"])
    def test_of_one_call_of_two_are_told_to_the_model(
        self, server: LocalEndpoints, agent: Any, way: Way, how: str
    ) -> None:
        server.reply(
            tool_calls=[("get_weather", '{"city": "Par', "call-1"), ("get_weather", {"city": "Rome"}, "call-2")]
        )
        server.reply("Done.")

        if how == "whole":
            state = way.invoke(agent, ASKED)
        elif how == "stream":
            state = way.stream(agent, ASKED, stream_mode=["messages", "values"])[-1][1]
        else:
            _, state = way.events(agent, ASKED)

        assert state["messages"][-1].text == "Done."
        assert [call["args"] for call in state["messages"][1].tool_calls] == [{"city": "Rome"}]
        found = {
            message["tool_call_id"]: message["content"] for message in sent(server)[-1] if message["role"] == "tool"
        }
        assert found["call-2"] == "Sunny in Rome"
        assert "Sunny" not in found["call-1"] != ""


class TestBranches:
    def test_that_run_at_once_stream_apart(self, server: LocalEndpoints, model: ChatOVHCloud, way: Way) -> None:
        class State(TypedDict):
            said: Annotated[list[str], operator.add]

        def fan_out(state: State) -> list[Send]:
            return [Send("say", {"number": number}) for number in range(4)]

        say = (
            RunnableLambda(lambda state: f"The number is {state['number']}")
            | model
            | (lambda said: {"said": [said.text]})
        )
        builder = StateGraph(State)
        builder.add_node("say", say)
        builder.add_conditional_edges(START, fan_out, ["say"])
        graph = builder.compile()

        parts = way.stream(graph, {"said": []}, stream_mode="messages")

        texts: dict[str, str] = {}
        for chunk, metadata in parts:
            place = metadata["langgraph_checkpoint_ns"]
            texts[place] = texts.get(place, "") + chunk.text
        assert sorted(text[-1] for text in texts.values()) == ["0", "1", "2", "3"]
        assert len(server.requests) == 4


def test_functions_of_a_workflow_stream_too(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    @task
    def draft(topic: str) -> str:
        return model.invoke(f"Draft {topic}").text

    @entrypoint(checkpointer=InMemorySaver())
    def write(topic: str) -> str:
        return draft(topic).result() + interrupt("Fine?")

    server.reply("A draft")
    chunks = list(write.stream("cats", THREAD, stream_mode="messages"))
    done = write.invoke(Command(resume="!"), THREAD)

    assert "".join(chunk.text for chunk, _ in chunks) == "A draft"
    assert done == "A draft!"
    assert len(server.requests) == 1


HELD = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Once"}, "finish_reason": None}]},
    Pause(30),
]


class TestACancelledGraph:
    @pytest.fixture(autouse=True)
    def _held(self, server: LocalEndpoints) -> None:
        server.reply(events=HELD)

    @staticmethod
    async def cancelled(server: LocalEndpoints, read: Any) -> None:
        """Cancels what reads a stream once it has read something."""
        begun = asyncio.Event()
        reading = asyncio.create_task(read(begun))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(eventually, lambda: server.hung_up == 1 and sockets_to(server) == 0)

    async def test_closes_its_stream(self, server: LocalEndpoints, agent: Any) -> None:
        async def read(begun: asyncio.Event) -> None:
            async for _ in agent.astream(ASKED, stream_mode="messages"):
                begun.set()

        await self.cancelled(server, read)

    async def test_closes_its_stream_of_events(self, server: LocalEndpoints, agent: Any) -> None:
        async def read(begun: asyncio.Event) -> None:
            async for event in agent.astream_events(ASKED, version="v2"):
                if event["event"] == "on_chat_model_stream":
                    begun.set()

        await self.cancelled(server, read)

    async def test_closes_its_stream_when_the_reader_aborts(self, server: LocalEndpoints, agent: Any) -> None:
        run = await agent.astream_events(ASKED, version="v3")
        async for event in run:
            if event["method"] == "messages" and event["params"]["data"][0]["event"] == "content-block-delta":
                break
        await run.abort()

        assert await asyncio.to_thread(eventually, lambda: server.hung_up == 1 and sockets_to(server) == 0)

    async def test_closes_its_stream_when_the_reader_leaves(self, server: LocalEndpoints, agent: Any) -> None:
        parts = agent.astream(ASKED, stream_mode="messages")
        async for _ in parts:
            break
        await parts.aclose()

        assert await asyncio.to_thread(eventually, lambda: server.hung_up == 1 and sockets_to(server) == 0)

    async def test_can_be_asked_again(self, server: LocalEndpoints, agent: Any) -> None:
        async def read(begun: asyncio.Event) -> None:
            async for _ in agent.astream(ASKED, stream_mode="messages"):
                begun.set()

        await self.cancelled(server, read)
        script(server)

        assert (await agent.ainvoke(ASKED))["messages"][-1].text == "It is sunny."
