"""Tools, prompts and resources of a real MCP server, through langchain-mcp-adapters, in agents on our chat model."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_server
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langgraph.checkpoint.memory import InMemorySaver

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.timeout(60),  # each starts the server as a process
    # LangGraph says so of `stream_events(version="v3")`, which is tested here.
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental"),
]
MODEL = "gpt-oss-120b"
SEES = "Qwen3.6-27B"
MISTRAL = "Mistral-Small-3.2-24B-Instruct-2506"
SERVER: Any = {"transport": "stdio", "command": sys.executable, "args": [mcp_server.__file__]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
ASKED: dict[str, Any] = {"messages": [HumanMessage("Call them all.")]}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{mcp_server.PNG}"}}
IMAGE_NOTE = "[image (image/png, 74 bytes): can't be shown to the model]"
# Each tool with its arguments, and what a model that sees no images is sent of its result.
RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "one_text": ({"city": "Paris"}, "Sunny in Paris"),
    "several_texts": ({}, "first\nsecond\nthird"),
    "nothing": ({}, ""),
    "an_image": ({}, f"Look:\n{IMAGE_NOTE}"),
    "an_embedded_text": ({}, "A note."),
    "an_embedded_csv": ({}, "city,sun\nParis,yes\n"),
    "an_embedded_image": ({}, IMAGE_NOTE),
    "an_embedded_pdf": ({}, "[file (application/pdf, 73 bytes): can't be shown to the model]"),
    "a_link": ({}, "[file (application/pdf, demo://reports/7): can't be shown to the model]"),
    "a_link_to_an_image": ({}, "[image (https://example.org/a.png): can't be shown to the model]"),
    "an_object": ({"city": "Rome"}, '{\n  "city": "Rome",\n  "degrees": 21.5\n}'),
    "an_error": ({}, f"No such city.\n{IMAGE_NOTE}"),
    "an_exception": ({}, "Error executing tool an_exception: the city was not found"),
}
# The same for a model that sees images, where it differs.
SEEN: dict[str, Any] = {
    "an_image": [{"type": "text", "text": "Look:"}, IMAGE],
    "an_embedded_image": [IMAGE],
    "an_error": [{"type": "text", "text": "No such city."}, IMAGE],
}


@asynccontextmanager
async def tools() -> AsyncIterator[list[BaseTool]]:
    """The tools of one process that runs meanwhile."""
    async with MultiServerMCPClient({"every": SERVER}).session("every") as session:
        yield await load_mcp_tools(session)


def calls(*names: str) -> list[tuple[str, Any, str]]:
    return [(name, RESULTS[name][0], f"call-{name}") for name in names]


def results(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {message["name"]: message["content"] for message in messages if message["role"] == "tool"}


class Run:
    """An agent that calls all tools at once: what it sent last, and its messages."""

    def __init__(self, model: str) -> None:
        with LocalEndpoints() as server:
            server.reply("All.", reasoning="All of them.", tool_calls=calls(*RESULTS))
            server.reply("Done.")
            chat = ChatOVHCloud(model=model, base_url=server.base_url, api_key=server.api_key)
            self.messages = asyncio.run(self._run(chat))
            self.sent: list[dict[str, Any]] = server.requests[-1].json["messages"]
            self.refusals = server.refusals

    async def _run(self, chat: ChatOVHCloud) -> list[Any]:
        async with tools() as found:
            return (await create_agent(chat, tools=found).ainvoke(ASKED))["messages"]


@pytest.fixture(scope="module")
def _no_proxy() -> Iterator[None]:
    """As for every test, but in time for the runs that several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def blind(_no_proxy: None) -> Run:
    return Run(MODEL)


@pytest.fixture(scope="module")
def seeing(_no_proxy: None) -> Run:
    return Run(SEES)


@pytest.fixture(scope="module")
def mistral(_no_proxy: None) -> Run:
    return Run(MISTRAL)


class TestResults:
    @pytest.mark.parametrize("name", RESULTS)
    def test_are_sent_as_text_to_a_model_that_sees_none(self, blind: Run, name: str) -> None:
        assert results(blind.sent)[name] == RESULTS[name][1]

    @pytest.mark.parametrize("name", RESULTS)
    def test_are_sent_with_images_to_a_model_that_sees_them(self, seeing: Run, name: str) -> None:
        assert results(seeing.sent)[name] == SEEN.get(name, RESULTS[name][1])

    def test_of_mistral_have_their_images_behind_them(self, mistral: Run) -> None:
        assert results(mistral.sent)["an_image"] == "Look:\n[image 1: in the next message]"
        assert mistral.sent[-1] == {
            "role": "user",
            "content": [{"type": "text", "text": "Images from the results above:"}, IMAGE, IMAGE, IMAGE],
        }

    @pytest.mark.parametrize("run", ["blind", "seeing", "mistral"])
    def test_are_all_sent_in_the_order_of_the_calls(self, request: pytest.FixtureRequest, run: str) -> None:
        found: Run = request.getfixturevalue(run)

        assert list(results(found.sent)) == list(RESULTS)
        assert found.messages[-1].text == "Done."
        assert found.refusals == []

    def test_that_are_errors_say_so_in_the_state(self, blind: Run) -> None:
        states = {message.name: message.status for message in blind.messages if isinstance(message, ToolMessage)}

        assert [name for name, status in states.items() if status == "error"] == ["an_error", "an_exception"]

    def test_keep_the_structured_content_for_the_app(self, blind: Run) -> None:
        artifacts = {message.name: message.artifact for message in blind.messages if isinstance(message, ToolMessage)}

        assert artifacts["an_object"] == {"structured_content": {"city": "Rome", "degrees": 21.5}}


class TestResultsThatTheAdapterCanNotConvert:
    """It raises for them, whatever the model."""

    @pytest.fixture(params=["a_sound", "an_embedded_blob"])
    def name(self, server: LocalEndpoints, request: pytest.FixtureRequest) -> str:
        server.reply("Both.", tool_calls=[(request.param, {}, "call-1"), *calls("one_text")])
        server.reply("Done.")
        return request.param

    async def test_end_the_run_and_the_next_turn_goes_on(self, server: LocalEndpoints, name: str) -> None:
        async with tools() as found:
            agent = create_agent(ChatOVHCloud(model=MODEL), tools=found, checkpointer=InMemorySaver())
            with pytest.raises((NotImplementedError, ValueError), match=r"not yet supported|mime_type is required"):
                await agent.ainvoke(ASKED, THREAD)

            done = await agent.ainvoke({"messages": [HumanMessage("Go on.")]}, THREAD)

        assert done["messages"][-1].text == "Done."
        _, _, failed, _, question = server.requests[-1].json["messages"]
        assert failed["content"] == "This call was interrupted; it has no result."
        assert question["content"] == "Go on."

    async def test_may_be_told_to_the_model(self, server: LocalEndpoints, name: str) -> None:
        told = ToolErrorMiddleware(lambda error, _: f"It failed: {error}")
        async with tools() as found:
            agent = create_agent(ChatOVHCloud(model=MODEL), tools=found, middleware=[told])
            done = await agent.ainvoke(ASKED)

        assert done["messages"][-1].text == "Done."
        failed, other = results(server.requests[-1].json["messages"]).items()
        assert (failed[0], other) == (name, ("one_text", "Sunny in Paris"))
        assert failed[1].startswith("It failed: ")


class TestTools:
    async def test_are_offered_with_schemas_that_models_can_read(self, server: LocalEndpoints) -> None:
        server.reply("Hi.")
        async with tools() as found:
            await ChatOVHCloud(model=MODEL).bind_tools(found).ainvoke("Hello")

        offered = {tool["function"]["name"]: tool["function"] for tool in server.requests[0].json["tools"]}
        assert set(RESULTS) < set(offered)
        assert offered["one_text"]["description"] == "Gives a text."
        parameters = offered["many_arguments"]["parameters"]
        assert parameters["required"] == ["city"]
        assert not [word for word in ("$ref", "$defs", "anyOf", '"title"') if word in str(parameters)]
        assert parameters["properties"]["place"]["properties"]["degrees"]["type"] == "number"

    async def test_get_arguments_that_the_model_wrote_as_texts(self, server: LocalEndpoints) -> None:
        arguments = {"city": "Rome", "tags": '["a", "b"]', "place": '{"city": "Rome", "degrees": 3}'}
        server.reply(tool_calls=[("many_arguments", arguments, "call-1")])
        server.reply("Done.")

        async with tools() as found:
            done = await create_agent(ChatOVHCloud(model=MODEL), tools=found).ainvoke(ASKED)

        assert done["messages"][2].artifact["structured_content"] == {
            "city": "Rome",
            "days": 3,
            "tags": ["a", "b"],
            "place": {"city": "Rome", "degrees": 3.0},
        }

    async def test_may_start_a_process_for_each_call(self, server: LocalEndpoints) -> None:
        client = MultiServerMCPClient({"every": SERVER}, tool_name_prefix=True)
        server.reply(tool_calls=[("every_one_text", {"city": "Paris"}, "call-1")])
        server.reply("Done.")

        await create_agent(ChatOVHCloud(model=MODEL), tools=await client.get_tools()).ainvoke(ASKED)

        assert results(server.requests[-1].json["messages"]) == {"every_one_text": "Sunny in Paris"}

    async def test_work_in_a_stream_of_blocks(self, server: LocalEndpoints) -> None:
        server.reply("Look.", reasoning="An image.", tool_calls=calls("an_image"))
        server.reply("A square.")

        async with tools() as found:
            run: Any = await create_agent(ChatOVHCloud(model=SEES), tools=found).astream_events(ASKED, version="v3")
            texts = [await said.text async for said in run.messages]

        assert texts == ["Look.", "A square."]
        assert results(server.requests[-1].json["messages"]) == {"an_image": SEEN["an_image"]}
        assert server.requests[-1].json["messages"][1]["reasoning"] == "An image."


class TestPromptsAndResources:
    async def test_a_prompt_is_sent_as_a_conversation(self, server: LocalEndpoints) -> None:
        client = MultiServerMCPClient({"every": SERVER})

        await ChatOVHCloud(model=MODEL).ainvoke(await client.get_prompt("every", "review", arguments={"city": "Rome"}))

        assert server.requests[0].json["messages"] == [
            {"role": "user", "content": "Tell me about Rome."},
            {"role": "assistant", "content": "What of it?"},
            {"role": "user", "content": "The weather."},
        ]

    async def test_resources_may_be_put_into_a_message(self, server: LocalEndpoints) -> None:
        note, picture = await MultiServerMCPClient({"every": SERVER}).get_resources("every")
        image = {
            "type": "image",
            "base64": base64.b64encode(picture.as_bytes()).decode(),
            "mime_type": picture.mimetype,
        }

        await ChatOVHCloud(model=SEES).ainvoke([HumanMessage([{"type": "text", "text": note.as_string()}, image])])

        assert server.requests[0].json["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "A note."}, IMAGE]}
        ]
