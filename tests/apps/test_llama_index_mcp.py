"""Tools of an MCP server in LlamaIndex's agents, over a real process.

`McpToolSpec` gives an agent the printed form of a result, whatever is in it. The last test shows how to keep images.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool, ToolOutput
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec, aget_tools_from_mcp_url
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, ImageContent

from llama_index_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(60)  # the first one starts a process that imports much
SERVER = Path(__file__).with_name("llama_index_mcp_server.py")
PICTURE = base64.b64encode((Path(__file__).parents[1] / "data" / "square.png").read_bytes()).decode()
CALLS = [
    ("text", {"place": {"city": "Paris"}, "unit": "F"}),
    *((name, {}) for name in ("texts", "image", "resource", "link", "error", "structured")),
]


@asynccontextmanager
async def session() -> AsyncIterator[ClientSession]:
    command = StdioServerParameters(command=sys.executable, args=[str(SERVER)])
    async with stdio_client(command) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


@pytest.fixture(scope="module")
def requests() -> list[dict[str, Any]]:
    """What an agent sent that was to call each tool once: the question, then the results."""

    async def run(server: LocalEndpoints) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", base_url=server.base_url, api_key=server.api_key)
        async with session() as opened:
            tools = await McpToolSpec(opened).to_tool_list_async()
            agent = FunctionAgent(tools=tools, llm=llm, allow_parallel_tool_calls=True)
            assert str(await agent.run("Call them all")) == "Sunny"

    with LocalEndpoints() as server:
        server.reply(tool_calls=CALLS)
        server.reply("Sunny")
        asyncio.run(run(server))
        return [one.json for one in server.requests]


@pytest.fixture(scope="module")
def results(requests: list[dict[str, Any]]) -> dict[str, str]:
    """What the model was sent of each tool's result."""
    contents = [message["content"] for message in requests[-1]["messages"] if message["role"] == "tool"]
    return {name: content for (name, _), content in zip(CALLS, contents, strict=True)}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("text", "text='21 F in Paris, France'"),
        ("texts", "text='Sunny'"),
        ("texts", "text='and warm'"),
        ("image", "text='As seen at noon'"),
        ("resource", "text='Sunny in the file'"),
        ("link", "uri='file:///weather.txt'"),
        ("error", "Error executing tool error: No thermometer"),
        ("error", "is_error=True"),
        ("structured", "structured_content={'city': 'Paris', 'degrees': 21}"),
    ],
)
def test_result_reaches_the_model_as_it_prints(results: dict[str, str], name: str, part: str) -> None:
    assert part in results[name]


def test_image_in_a_result_reaches_the_model_as_letters_only(results: dict[str, str]) -> None:
    assert isinstance(results["image"], str)
    assert f"data='{PICTURE}'" in results["image"]


def test_tools_are_offered_with_the_schemas_of_the_server(requests: list[dict[str, Any]]) -> None:
    offered = {tool["function"]["name"]: tool["function"] for tool in requests[0]["tools"]}

    schema = offered["text"]["parameters"]
    assert list(offered) == [name for name, _ in CALLS]
    assert offered["texts"]["description"] == "The weather as several texts."
    assert offered["texts"]["parameters"]["properties"] == {}
    assert schema["required"] == ["place"]
    assert schema["properties"]["unit"]["enum"] == ["C", "F"]
    assert schema["properties"]["place"]["required"] == ["city"]


def test_arguments_reach_the_server_as_the_model_gave_them(requests: list[dict[str, Any]]) -> None:
    calls = requests[-1]["messages"][-len(CALLS) - 1]["tool_calls"]

    assert [call["function"]["name"] for call in calls] == [name for name, _ in CALLS]
    assert calls[0]["function"]["arguments"] == '{"place": {"city": "Paris"}, "unit": "F"}'


@pytest.mark.usefixtures("environ")
async def test_each_call_may_start_a_server_of_its_own(server: LocalEndpoints) -> None:
    client = BasicMCPClient(sys.executable, args=[str(SERVER)])
    tools = await aget_tools_from_mcp_url("", client=client, allowed_tools=["texts"])
    server.reply(tool_calls=[("texts", {})])
    server.reply("Sunny and warm")

    answer: AgentOutput = await FunctionAgent(tools=tools, llm=ChatOVHCloud(model="gpt-oss-120b")).run("Weather?")

    assert str(answer) == "Sunny and warm"
    assert [tool["function"]["name"] for tool in server.requests[0].json["tools"]] == ["texts"]
    assert "text='and warm'" in server.requests[-1].json["messages"][-1]["content"]
    await client.http_client.aclose()


@pytest.mark.usefixtures("environ")
async def test_image_reaches_a_model_that_sees_if_the_result_is_made_into_blocks(server: LocalEndpoints) -> None:
    def blocks(result: CallToolResult) -> ToolOutput:
        images = [one for one in result.content if isinstance(one, ImageContent)]
        texts = [one for one in result.content if not isinstance(one, ImageContent)]
        made = [
            *(TextBlock(text=one.text) for one in texts),
            *(ImageBlock(image=base64.b64decode(one.data), image_mimetype=one.mime_type) for one in images),
        ]
        return ToolOutput(blocks=made, tool_name="image", raw_input={}, raw_output=result, is_error=result.is_error)

    async with session() as opened:
        (tool,) = await McpToolSpec(opened, allowed_tools=["image"]).to_tool_list_async()
        seen = FunctionTool(async_fn=tool.async_fn, metadata=tool.metadata, callback=blocks)
        server.reply(tool_calls=[("image", {})])
        server.reply("A square")
        answer = await FunctionAgent(tools=[seen], llm=ChatOVHCloud(model="Qwen3.6-27B")).run("What is there?")

    sent = server.requests[-1].json["messages"]
    assert str(answer) == "A square"
    assert f"data:image/png;base64,{PICTURE}" in str(sent)
    assert PICTURE not in str([part for message in sent for part in texts_of(message)])


def texts_of(message: dict[str, Any]) -> list[str]:
    content = message.get("content") or ""
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
