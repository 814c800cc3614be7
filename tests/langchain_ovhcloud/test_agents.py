"""LangChain's agents and runnables on our chat model."""

import asyncio
import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import RetryPolicy
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import APITimeoutError, NotFoundError, RateLimitError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
ASKED = {"messages": [HumanMessage("What is the weather in Paris?")]}


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def get_time(city: str) -> str:
    """The time in a city."""
    return f"Noon in {city}"


class Report(BaseModel):
    """A report."""

    city: str
    sunny: bool


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Any:
    def run(agent: Any, asked: dict[str, Any] = ASKED) -> dict[str, Any]:
        return agent.invoke(asked) if request.param == "sync" else asyncio.run(agent.ainvoke(asked))

    return run


class TestAgents:
    def test_call_one_of_two_tools_and_go_on(self, model: ChatOVHCloud, run: Any) -> None:
        messages = run(create_agent(model, tools=[get_weather, get_time]))["messages"]

        assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert messages[-1].text == "The tool says: Sunny in Paris"

    def test_call_two_tools_at_once(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Paris"}), ("get_time", {"city": "Paris"})])

        messages = run(create_agent(model, tools=[get_weather, get_time]))["messages"]

        assert [message.content for message in messages if isinstance(message, ToolMessage)] == [
            "Sunny in Paris",
            "Noon in Paris",
        ]

    def test_go_on_after_a_result_that_can_not_be_sent(self, model: ChatOVHCloud, run: Any) -> None:
        def report() -> list[dict[str, str]]:
            """Reads a report."""
            return [
                {"type": "text", "text": "see"},
                {"type": "file", "url": "demo://report/1", "mime_type": "application/pdf"},
            ]

        agent = create_agent(model, tools=[report])
        first = run(agent, {"messages": [HumanMessage("Call report")]})["messages"]
        second = run(agent, {"messages": [*first, HumanMessage("Go on")]})["messages"]

        said = "[file (application/pdf, demo://report/1): can't be shown to the model]"
        assert first[-1].text == f"The tool says: see\n{said}"
        assert isinstance(second[-1], AIMessage)

    def test_give_objects_by_a_tool(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Paris"})])
        server.reply(tool_calls=[("Report", {"city": "Paris", "sunny": True})])

        result = run(create_agent(model, tools=[get_weather], response_format=Report))

        assert result["structured_response"] == Report(city="Paris", sunny=True)
        assert all("response_format" not in request.json for request in server.requests)
        assert {request.json["tool_choice"] for request in server.requests} == {"required"}

    def test_give_objects_by_schema_when_asked_to(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Paris"})])
        server.reply('{"city": "Paris", "sunny": true}')

        result = run(create_agent(model, tools=[get_weather], response_format=ProviderStrategy(Report)))

        assert result["structured_response"] == Report(city="Paris", sunny=True)
        assert server.requests[-1].json["response_format"]["json_schema"]["name"] == "Report"

    def test_without_tools_send_none(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        run(create_agent(model, tools=[]))

        assert not {"tools", "tool_choice"} & set(server.requests[-1].json)

    def test_survive_a_call_that_was_cut(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("get_weather", '{"city": "Par')], finish_reason="length")

        messages = run(create_agent(model, tools=[get_weather]))["messages"]

        assert messages[-1].invalid_tool_calls[0]["args"] == '{"city": "Par'
        assert not [message for message in messages if isinstance(message, ToolMessage)]

    def test_summarise_at_a_fraction_of_the_window(self, server: LocalEndpoints, run: Any) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", profile={"max_input_tokens": 2000, "tool_calling": True})
        summariser = SummarizationMiddleware(model=model, trigger=("fraction", 0.5), keep=("messages", 2))
        talk = [
            HumanMessage("word " * 400),
            AIMessage("I see."),
            HumanMessage("word " * 400),
            AIMessage("Yes."),
            HumanMessage("And?"),
        ]

        run(create_agent(model, tools=[], middleware=[summariser]), {"messages": talk})

        assert len(server.requests) == 2
        assert len(server.requests[-1].json["messages"]) < len(talk)

    def test_have_a_window_for_the_middleware_from_the_catalogue(self, model: ChatOVHCloud) -> None:
        SummarizationMiddleware(model=model, trigger=("fraction", 0.8), keep=("fraction", 0.3))

    @pytest.mark.parametrize("mode", ["values", "updates", "messages", "custom", "debug"])
    def test_stream_in_every_mode(self, model: ChatOVHCloud, mode: str) -> None:
        agent = create_agent(model, tools=[get_weather])

        async def read() -> list[Any]:
            return [part async for part in agent.astream(ASKED, stream_mode=mode)]

        parts, awaited = list(agent.stream(ASKED, stream_mode=mode)), asyncio.run(read())

        assert len(parts) == len(awaited)
        assert bool(parts) == (mode != "custom")
        if mode == "messages":
            texts = [chunk.text for chunk, _ in parts if isinstance(chunk, AIMessage)]
            assert "".join(texts) == "The tool says: Sunny in Paris"


class TestRunnables:
    def test_fall_back_to_another_model(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        server.reply(status=404)

        answer = model.with_fallbacks([ChatOVHCloud(model="gpt-oss-20b")]).invoke("Hello")

        assert answer.response_metadata["model_name"] == "gpt-oss-20b"

    def test_fall_back_from_a_stream_that_fails_before_its_first_token(
        self, server: LocalEndpoints, model: ChatOVHCloud
    ) -> None:
        server.reply(events=[{"error": {"message": "no room", "code": 503}}])
        server.reply("Hi")

        assert "".join(chunk.text for chunk in model.with_fallbacks([model]).stream("Hello")) == "Hi"

    def test_try_again_what_may_pass_and_nothing_else(self, server: LocalEndpoints) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", max_retries=0)
        again = model.with_retry(
            retry_if_exception_type=(RateLimitError,), stop_after_attempt=2, wait_exponential_jitter=False
        )
        server.reply(status=429)
        assert again.invoke("Hello").text
        server.reply(status=404, times=2)
        with pytest.raises(NotFoundError):
            again.invoke("Hello")

        assert len(server.requests) == 3

    def test_answer_batches_in_order(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        asked = [f"Number {at} it is" for at in range(20)]

        answers = model.batch(asked, config={"max_concurrency": 5})
        awaited = asyncio.run(model.abatch(asked))

        assert [answer.text.rpartition(": ")[2] for answer in answers] == asked
        assert [answer.text for answer in awaited] == [answer.text for answer in answers]

    def test_answer_batches_as_they_are_done(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        async def main() -> list[int]:
            return [at async for at, _ in model.abatch_as_completed(["a", "b", "c"])]

        assert sorted(asyncio.run(main())) == [0, 1, 2]

    def test_keep_what_succeeded_of_a_batch(self, server: LocalEndpoints) -> None:
        server.reply(status=404)
        model = ChatOVHCloud(model="gpt-oss-120b")

        answers = model.batch(["a", "b"], config={"max_concurrency": 1}, return_exceptions=True)

        assert [type(answer).__name__ for answer in answers] == ["NotFoundError", "AIMessage"]

    def test_wait_for_a_rate_limiter_once_for_each_call(self, model: ChatOVHCloud) -> None:
        class Counting(InMemoryRateLimiter):
            taken = 0

            def acquire(self, *, blocking: bool = True) -> bool:
                Counting.taken += 1
                return True

            async def aacquire(self, *, blocking: bool = True) -> bool:
                return self.acquire()

        limited = ChatOVHCloud(model="gpt-oss-120b", rate_limiter=Counting())
        limited.invoke("Hello")
        list(limited.stream("Hello"))
        asyncio.run(limited.ainvoke("Hello"))

        assert Counting.taken == 3

    def test_count_tokens_of_several_prompts(self, model: ChatOVHCloud) -> None:
        counter = UsageMetadataCallbackHandler()

        result = model.generate([[HumanMessage("a")], [HumanMessage("b")]], callbacks=[counter])

        assert result.llm_output is not None
        assert (
            result.llm_output["token_usage"]["total_tokens"] == counter.usage_metadata["gpt-oss-120b"]["total_tokens"]
        )


def test_sound_from_a_tool_is_a_note(server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
    """Core makes a text of all blocks of such a result, sound included."""

    def listen() -> Any:
        """Listen to a place."""
        return [
            {"type": "audio", "base64": "UklGRg==" * 50, "mime_type": "audio/wav"},
            {"type": "text", "text": "Hush."},
        ]

    server.reply(tool_calls=[("listen", {})])
    run(create_agent(model, tools=[listen]))

    result = server.requests[-1].json["messages"][-1]
    assert result["role"] == "tool"
    assert "UklGRg" not in str(result["content"])
    assert "[sound (wav" in str(result["content"])
    assert "Hush." in str(result["content"])


@pytest.mark.parametrize(
    "text",
    [
        '[{"type": "video", "id": "abc", "title": "How to bake"}]',
        '[{"type": "audio", "base64": "UklGRg=="}, 5]',
        '[{"type": "' + "[" * 100_000,
    ],
    ids=["a list of videos", "no list of blocks", "brackets"],
)
def test_result_that_only_looks_like_blocks_is_text(server: LocalEndpoints, model: ChatOVHCloud, text: str) -> None:
    called = {"name": "find", "args": {}, "id": "1", "type": "tool_call"}
    model.invoke([HumanMessage("Find it."), AIMessage("", tool_calls=[called]), ToolMessage(text, tool_call_id="1")])

    assert server.requests[-1].json["messages"][-1]["content"] == text


def test_timeout_of_a_call_can_be_pickled_and_says_what_it_is(server: LocalEndpoints) -> None:
    server.reply(pause=30)
    with pytest.raises(APITimeoutError) as caught:
        ChatOVHCloud(model="gpt-oss-120b", timeout=1, max_retries=0).invoke("Hello")

    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) != ""
    assert again.args == caught.value.args != ()
    assert isinstance(again, ConnectionError)


def test_timeout_is_tried_again_by_the_graphs_own_policy(server: LocalEndpoints) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b", timeout=1, max_retries=0)
    server.reply(pause=30)
    server.reply("At last.")

    graph = StateGraph(MessagesState)
    policy = RetryPolicy(initial_interval=0.01)
    graph.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]}, retry_policy=policy)
    graph.set_entry_point("ask")

    assert graph.compile().invoke(ASKED)["messages"][-1].text == "At last."
