"""Streams that are left, cancelled or traced."""

import asyncio
import json
from contextlib import aclosing, closing
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.block_translators import PROVIDER_TRANSLATORS
from langchain_core.tools import StructuredTool
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1
from waiting import eventually

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import APIConnectionError, APITimeoutError, RateLimitError, Timeouts
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
]
TEXT = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture
def slow(server: LocalEndpoints) -> LocalEndpoints:
    """A server whose next stream never ends."""
    server.reply(events=[TEXT, Pause(5)])
    return server


class TestLeaving:
    def test_closes_the_connection(self, slow: LocalEndpoints, model: ChatOVHCloud) -> None:
        with closing(model.stream("Hello")) as chunks:
            next(chunks)
        model.invoke("Hello")

        assert eventually(lambda: slow.hung_up == 1)

    async def test_closes_the_asynchronous_connection(self, slow: LocalEndpoints, model: ChatOVHCloud) -> None:
        async with aclosing(model.astream("Hello")) as chunks:
            await anext(chunks)
        await model.ainvoke("Hello")

        assert eventually(lambda: slow.hung_up == 1)

    async def test_by_cancellation_closes_the_connection(self, slow: LocalEndpoints, model: ChatOVHCloud) -> None:
        first = asyncio.Event()

        async def read() -> None:
            async for _ in model.astream("Hello"):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await model.ainvoke("Hello")

        assert eventually(lambda: slow.hung_up == 1)

    async def test_events_of_version_3_closes_the_connection(self, slow: LocalEndpoints, model: ChatOVHCloud) -> None:
        stream = await model.astream_events("Hello", version="v3")
        async for _ in stream:
            break
        await stream.aclose()
        await model.ainvoke("Hello")

        assert eventually(lambda: slow.hung_up == 1)


def test_silence_is_cores_timeout_too(slow: LocalEndpoints) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b", timeout=Timeouts(idle=0.1))

    with pytest.raises(APITimeoutError, match="silent"):
        list(model.stream("Hello"))


class TestHandlers:
    class Handler(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.errors: list[Any] = []

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            self.tokens.append(token)

        def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            self.errors.append(error)

    def test_are_shown_no_answer_where_there_was_none(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        seen: list[Any] = []

        class Seen(BaseCallbackHandler):
            def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
                seen.append(kwargs["response"].generations)

        server.fail("reset", times=10)
        with pytest.raises(APIConnectionError):
            model.invoke("Hello", config={"callbacks": [Seen()]})

        assert seen == [[[]]]

    def test_of_version_3_are_told_each_token_once(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        handler = self.Handler()
        server.reply("one two three")

        list(model.stream_events("Hello", config={"callbacks": [handler]}, version="v3"))

        assert "".join(handler.tokens) == "one two three"

    def test_are_told_status_body_and_id_of_an_error(self, server: LocalEndpoints) -> None:
        handler = self.Handler()
        server.reply(status=429, headers={"x-request-id": "r-1"})

        with pytest.raises(RateLimitError):
            ChatOVHCloud(model="gpt-oss-120b", max_retries=0).invoke("Hello", config={"callbacks": [handler]})

        error = handler.errors[0]
        assert (error.response.status_code, error.request_id) == (429, "r-1")
        assert error.response.json()["message"]


class TestTools:
    def test_of_every_form_are_sent(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        class OldStyle(BaseModelV1):
            """Of pydantic 1."""

            city: str

        async def later(city: str) -> str:
            """Only asynchronous."""
            return city

        parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        tools = [
            OldStyle,
            StructuredTool.from_function(coroutine=later),
            {"name": "anthropic", "description": "d", "input_schema": parameters},
            {"type": "function", "function": {"name": "openai", "description": "d", "parameters": parameters}},
        ]
        model.bind_tools(tools).invoke("Hello")

        functions = [tool["function"] for tool in server.requests[-1].json["tools"]]
        assert [function["name"] for function in functions] == ["OldStyle", "later", "anthropic", "openai"]
        assert {function["parameters"]["required"][0] for function in functions} == {"city"}

    def test_keep_what_was_bound_before(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        def f(x: int) -> int:
            """F."""
            return x

        model.bind_tools([f], strict=True, temperature=0.5).bind(seed=7).invoke("Hello", max_tokens=99)

        body = server.requests[-1].json
        assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.5, 7, 99)
        assert body["tools"][0]["function"]["strict"] is True


def test_blocks_are_read_where_this_package_is_not_imported(
    server: LocalEndpoints, model: ChatOVHCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply("Hello", reasoning="hm", tool_calls=[("f", {"x": 1}, "a")])
    message = model.invoke("Hello")

    monkeypatch.delitem(PROVIDER_TRANSLATORS, "ovhcloud")

    assert sorted(block["type"] for block in message.content_blocks) == ["reasoning", "text", "tool_call"]


@pytest.mark.parametrize("disabled", [True, "tool_calling"])
def test_streaming_can_be_disabled(server: LocalEndpoints, disabled: Any) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b", disable_streaming=disabled)

    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    list(model.bind_tools([tool]).stream("Hello"))

    assert "stream" not in server.requests[-1].json


def test_agent_of_a_model_that_is_said_to_do_schemas_sends_one(server: LocalEndpoints) -> None:
    class Report(BaseModel):
        """A report."""

        city: str

    model = ChatOVHCloud(model="gpt-oss-120b", profile={"structured_output": True, "tool_calling": True})
    result = create_agent(model, tools=[], response_format=Report).invoke({"messages": [("user", "The city is Lyon.")]})

    assert result["structured_response"] == Report(city="Lyon")
    assert server.requests[-1].json["response_format"]["type"] == "json_schema"


def test_history_survives_saving_and_a_change_of_version(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    server.reply("I look.", reasoning="Tools help.", tool_calls=[("f", {"x": 1}, "call12345")], times=2)
    plain = model.invoke("Hello")
    of_version_1 = ChatOVHCloud(model="gpt-oss-120b", output_version="v1").invoke("Hello")
    result = ToolMessage("1", tool_call_id="call12345")

    sent = []
    for message in (plain, AIMessage(**json.loads(plain.model_dump_json())), of_version_1):
        model.invoke([HumanMessage("Hello"), message, result])
        sent.append(server.requests[-1].json["messages"][1])

    assert sent[0] == sent[1] == sent[2]
    assert sent[0]["reasoning"] == "Tools help."


class TestGarbledCalls:
    """What open models and engines do to calls, as an agent and a reader of chunks meet it."""

    @pytest.fixture
    def bound(self, model: ChatOVHCloud) -> Any:
        def get_weather(city: str) -> str:
            """The weather in a city."""
            return f"Sunny in {city}"

        def query_dataset(city: str) -> str:
            """Data of a city."""
            return f"Data of {city}"

        return model.bind_tools([get_weather, query_dataset])

    @staticmethod
    def asked(bound: Any, way: str) -> Any:
        if way == "whole":
            return bound.invoke("Hello")
        if way == "awaited":
            return asyncio.run(bound.ainvoke("Hello"))
        found = None
        for chunk in bound.stream("Hello"):
            found = chunk if found is None else found + chunk
        return found

    @pytest.mark.parametrize("way", ["whole", "awaited", "streamed"])
    @pytest.mark.parametrize("name", ["query_dataset<|channel|>commentary", "functions.query_dataset"])
    def test_offered_tool_is_called(self, server: LocalEndpoints, bound: Any, way: str, name: str) -> None:
        server.reply(tool_calls=[(name, {"city": "Rome"}, "a")])

        (call,) = self.asked(bound, way).tool_calls

        assert (call["name"], call["args"], call["id"]) == ("query_dataset", {"city": "Rome"}, "a")

    def test_history_names_the_tool_that_was_meant(self, server: LocalEndpoints, bound: Any) -> None:
        call = {"id": "a", "name": "get_weather<|channel|>commentary", "args": {}}

        bound.invoke([HumanMessage("Hi"), AIMessage("", tool_calls=[call]), ToolMessage("Sunny", tool_call_id="a")])

        (sent,) = server.requests[0].json["messages"][1]["tool_calls"]
        assert sent["function"]["name"] == "get_weather"

    def test_name_in_pieces_is_one_call(self, server: LocalEndpoints, bound: Any) -> None:
        pieces = [{"id": "a", "index": 0, "function": {"name": "get_"}}, {"index": 0, "function": {"name": "weather"}}]
        last = {"index": 0, "function": {"arguments": '{"city": "Rome"}'}}
        events = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in [*pieces, last, last]]
        server.reply(events=[*events, "[DONE]"])

        (call,) = self.asked(bound, "streamed").tool_calls

        assert (call["name"], call["args"]) == ("get_weather", {"city": "Rome"})

    @pytest.mark.parametrize("way", ["whole", "awaited", "streamed"])
    def test_arguments_that_are_nested_too_deeply_are_invalid(
        self, server: LocalEndpoints, bound: Any, way: str
    ) -> None:
        server.reply(tool_calls=[("get_weather", "[" * 1200, "a")])

        message = self.asked(bound, way)

        assert message.tool_calls == []
        assert message.invalid_tool_calls[0]["name"] == "get_weather"

    def test_pieces_of_a_call_in_one_event_are_one_call(self, server: LocalEndpoints, bound: Any) -> None:
        pieces = [
            {"index": 0, "id": "a", "function": {"name": "get_weather"}},
            {"index": 0, "function": {"arguments": '{"city": "Rome"}'}},
        ]
        server.reply(events=[{"choices": [{"index": 0, "delta": {"tool_calls": pieces}}]}, "[DONE]"])

        (call,) = self.asked(bound, "streamed").tool_calls

        assert (call["name"], call["args"], call["id"]) == ("get_weather", {"city": "Rome"}, "a")


class Tree(BaseModel):
    """A tree."""

    value: int
    children: list["Tree"] = []


@pytest.mark.parametrize("by", ["class", "tool"])
def test_class_that_refers_to_itself_is_sent_whole(server: LocalEndpoints, model: ChatOVHCloud, by: str) -> None:
    tool = StructuredTool.from_function(lambda **_: "", name="Tree", description="A tree.", args_schema=Tree)

    model.bind_tools([Tree if by == "class" else tool]).invoke("Hello")

    sent = server.requests[0].json["tools"][0]["function"]["parameters"]
    inner = sent["$defs"]["Tree"]["properties"]
    assert inner["value"] == {"type": "integer"}
    assert inner["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert sent["properties"]["children"]["items"] != {}
