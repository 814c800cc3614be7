"""Each chat model of the catalogue with each feature in each way: it works, or it is refused in words that help.

Run for a sample of the models by `make test`, for all by `make matrix`.
"""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import BadRequestError, Model
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.ModelDeprecationWarning"),
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAASUVORK5CYII="
IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int | None = None


def get_weather(city: str, days: list[int] | None = None) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture(params=["invoke", "stream", "async", "astream"])
def ask(request: pytest.FixtureRequest) -> Any:
    async def streamed(model: Any, asked: Any) -> Any:
        whole: Any = None
        async for piece in model.astream(asked):
            whole = piece if whole is None or not isinstance(piece, AIMessageChunk) else whole + piece
        return whole

    def ask(model: Any, asked: Any) -> Any:
        match request.param:
            case "invoke":
                return model.invoke(asked)
            case "async":
                return asyncio.run(model.ainvoke(asked))
            case "astream":
                return asyncio.run(streamed(model, asked))
        pieces = list(model.stream(asked))
        return sum(pieces[1:], pieces[0]) if isinstance(pieces[0], AIMessageChunk) else pieces[-1]

    return ask


def test_plain(server: LocalEndpoints, each_model: Model, ask: Any) -> None:
    message = ask(ChatOVHCloud(model=each_model.id), "Paris is in France. Where is Paris?")

    assert message.text == "Paris is in France."
    assert bool(message.additional_kwargs.get("reasoning_content")) is each_model.reasoning
    assert message.usage_metadata["total_tokens"] > 0
    assert server.refusals == []


def test_tool(server: LocalEndpoints, each_model: Model, ask: Any) -> None:
    model = ChatOVHCloud(model=each_model.id).bind_tools([get_weather], parallel_tool_calls=False)

    if not each_model.tool_calling:
        with pytest.raises(BadRequestError, match="Models that call tools: "):
            ask(model, "What is the weather in Paris?")
        return

    call = ask(model, "What is the weather in Paris?").tool_calls[0]
    assert (call["name"], call["args"]["city"]) == ("get_weather", "Paris")
    assert server.refusals == []


def test_structured(server: LocalEndpoints, each_model: Model, ask: Any) -> None:
    if not (each_model.structured_output or each_model.tool_calling):
        with pytest.raises(ValueError, match="Models that give objects: "):
            ChatOVHCloud(model=each_model.id).with_structured_output(Ticket)
        return

    model = ChatOVHCloud(model=each_model.id).with_structured_output(Ticket)

    assert ask(model, "The subject is streams. The priority is 2.") == Ticket(subject="streams", priority=2)
    assert server.refusals == []


def test_image(server: LocalEndpoints, each_model: Model, ask: Any) -> None:
    asked = [HumanMessage(content=[{"type": "text", "text": "What is this?"}, IMAGE])]

    if not each_model.image_inputs:
        with pytest.raises(BadRequestError, match="Models that see images: "):
            ask(ChatOVHCloud(model=each_model.id), asked)
        return

    assert "1 image" in ask(ChatOVHCloud(model=each_model.id), asked).text
    assert server.refusals == []


def test_history_of_another_model(server: LocalEndpoints, each_model: Model, ask: Any) -> None:
    calls = [{"name": "get weather", "args": {"city": city}, "id": f"toolu_{city}"} for city in ("Paris", "Rome")]
    history = [
        HumanMessage("Hello"),
        AIMessage("", tool_calls=calls, additional_kwargs={"reasoning_content": "hm"}),
        *(ToolMessage("Sunny", tool_call_id=call["id"]) for call in calls),
        SystemMessage("Be brief."),
        AIMessage("Sunny."),
        SystemMessage("Be polite."),
        HumanMessage("Paris is in France. Where is Paris?"),
    ]

    assert ask(ChatOVHCloud(model=each_model.id), history).text == "Paris is in France."
    assert server.refusals == []


def test_agent_that_summarizes(server: LocalEndpoints, each_model: Model) -> None:
    model = ChatOVHCloud(model=each_model.id)
    assert model.profile is not None
    assert model.profile["max_input_tokens"] == each_model.context_length
    agent = create_agent(
        model, tools=[get_weather], middleware=[SummarizationMiddleware(model, trigger=("fraction", 0.8))]
    )
    asked = {"messages": [HumanMessage("What is the weather in Paris?")]}

    if not each_model.tool_calling:
        with pytest.raises(BadRequestError, match="Models that call tools: "):
            agent.invoke(asked)
        return

    assert agent.invoke(asked)["messages"][-1].text == "The tool says: Sunny in Paris"
    assert server.refusals == []


def test_each_effort(server: LocalEndpoints, each_model: Model) -> None:
    for effort in each_model.reasoning_efforts:
        message = ChatOVHCloud(model=each_model.id, reasoning_effort=effort).invoke("Hello")
        assert ("reasoning_content" in message.additional_kwargs) is (effort != "none")
    assert server.refusals == []

    with pytest.raises(BadRequestError, match=r"takes reasoning_effort|expected one of"):
        ChatOVHCloud(model=each_model.id, reasoning_effort="xhigh").invoke("Hello")
