"""Each chat model of the catalogue with each feature in each way: it works, or it is refused in words that help.

Run for a sample of the models by `make test`, for all by `make matrix`.
"""

import asyncio
import base64
from typing import Any

import pytest
from llama_index.core import PromptTemplate, get_response_synthesizer
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from standard.ways import CHAT, STRUCTURED, TOOLS, Way

from llama_index_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import BadRequestError, Model
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.ModelDeprecationWarning"),
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAASUVORK5CYII="
)
WHERE = "Paris is in France. Where is Paris?"


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int | None = None


def get_weather(city: str, days: list[int] | None = None) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture(params=CHAT)
def ask(request: pytest.FixtureRequest) -> Way:
    return Way(request.param, CHAT[request.param])


def test_plain(server: LocalEndpoints, each_model: Model, ask: Way) -> None:
    message = ask(ChatOVHCloud(model=each_model.id), [ChatMessage(WHERE)])[-1].message

    assert message.content == "Paris is in France."
    assert any(isinstance(block, ThinkingBlock) for block in message.blocks) is each_model.reasoning
    assert server.refusals == []


@pytest.mark.parametrize("way", TOOLS)
def test_tool(server: LocalEndpoints, each_model: Model, way: str) -> None:
    llm, tools = ChatOVHCloud(model=each_model.id), [FunctionTool.from_defaults(get_weather)]

    if not each_model.tool_calling:
        with pytest.raises(BadRequestError, match="Models that call tools: "):
            TOOLS[way](llm, tools, "What is the weather in Paris?")
        return

    selection = llm.get_tool_calls_from_response(TOOLS[way](llm, tools, "What is the weather in Paris?")[-1])[0]
    assert (selection.tool_name, selection.tool_kwargs["city"]) == ("get_weather", "Paris")
    assert server.refusals == []


@pytest.mark.parametrize("way", STRUCTURED)
def test_structured(server: LocalEndpoints, each_model: Model, way: str) -> None:
    llm, prompt = ChatOVHCloud(model=each_model.id), PromptTemplate("The subject is streams. The priority is 2.")

    if not (each_model.structured_output or each_model.tool_calling):
        with pytest.raises(ValueError, match="Models that give objects: "):
            STRUCTURED[way](llm, Ticket, prompt)
        return

    assert STRUCTURED[way](llm, Ticket, prompt)[-1] == Ticket(subject="streams", priority=2)
    assert server.refusals == []


def test_image(server: LocalEndpoints, each_model: Model, ask: Way) -> None:
    asked = [ChatMessage(blocks=[TextBlock(text="What is this?"), ImageBlock(image=PNG)])]

    if not each_model.image_inputs:
        with pytest.raises(BadRequestError, match="Models that see images: "):
            ask(ChatOVHCloud(model=each_model.id), asked)
        return

    assert "1 image" in str(ask(ChatOVHCloud(model=each_model.id), asked)[-1].message.content)
    assert server.refusals == []


def test_history_of_another_model(server: LocalEndpoints, each_model: Model, ask: Way) -> None:
    calls = [
        ToolCallBlock(tool_call_id=f"toolu_{city}", tool_name="get weather", tool_kwargs={"city": city})
        for city in ("Paris", "Rome")
    ]
    history = [
        ChatMessage("Hello"),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), *calls]),
        *(ChatMessage("Sunny", role="tool", additional_kwargs={"tool_call_id": call.tool_call_id}) for call in calls),
        ChatMessage("Be brief.", role="system"),
        ChatMessage("Sunny.", role="assistant"),
        ChatMessage("Be polite.", role="developer"),
        ChatMessage(WHERE),
    ]

    assert ask(ChatOVHCloud(model=each_model.id), history)[-1].message.content == "Paris is in France."
    assert server.refusals == []


def test_agent(server: LocalEndpoints, each_model: Model) -> None:
    llm = ChatOVHCloud(model=each_model.id)

    async def main(agent: Any) -> str:
        return str(await agent.run("What is the weather in Paris?"))

    if not each_model.tool_calling:
        with pytest.raises(Exception, match=r"FunctionCallingLLM|tools"):
            asyncio.run(main(FunctionAgent(tools=[get_weather], llm=llm)))
        return

    workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=llm)
    assert asyncio.run(main(workflow)) == "The tool says: Sunny in Paris"
    assert server.refusals == []


def test_memory_and_synthesis(server: LocalEndpoints, each_model: Model) -> None:
    llm = ChatOVHCloud(model=each_model.id)
    nodes = [NodeWithScore(node=TextNode(text=f"{number} " + "word " * 1_000), score=1) for number in range(10)]

    get_response_synthesizer(llm=llm).synthesize("Where?", nodes)

    assert each_model.context_length is not None
    assert ChatMemoryBuffer.from_defaults(llm=llm).token_limit == each_model.context_length * 3 // 4
    assert len(server.requests) == 1
    assert server.refusals == []
