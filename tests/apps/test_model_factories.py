"""Apps that build their models from strings and configs, as LangGraph's templates and open_deep_research do.

What is here of them is written anew: the ways in which they ask for a model, on the smallest graph that shows each.
"""

import asyncio
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import langchain.chat_models.base
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import LLMToolSelectorMiddleware, ModelFallbackMiddleware, wrap_model_call
from langchain.chat_models import init_chat_model
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import BaseModel

import langchain_ovhcloud
from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import AuthenticationError, NotFoundError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # LangGraph says so of what many templates still build their agent from.
    pytest.mark.filterwarnings("ignore:create_react_agent has been moved"),
]
MODEL, OTHER = "gpt-oss-120b", "Qwen3.6-27B"
ASKED: dict[str, Any] = {"messages": [HumanMessage("What is the weather in Paris?")]}


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


class Clarification(BaseModel):
    """Whether to ask the user."""

    need_clarification: bool
    question: str


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an app does once, where it starts."""
    table = dict(langchain.chat_models.base._BUILTIN_PROVIDERS)
    monkeypatch.setattr(langchain.chat_models.base, "_BUILTIN_PROVIDERS", table)
    langchain_ovhcloud.register()
    yield
    langchain.chat_models.base._get_chat_model_creator.cache_clear()


@pytest.fixture(params=["blocking", "awaited"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def run(runnable: Any, *args: Any, **kwargs: Any) -> Any:
        is_blocking = request.param == "blocking"
        return runnable.invoke(*args, **kwargs) if is_blocking else asyncio.run(runnable.ainvoke(*args, **kwargs))

    return run


def asked(server: LocalEndpoints) -> list[str]:
    return [request.json["model"] for request in server.requests]


def script(server: LocalEndpoints) -> None:
    """One tool call, and an answer."""
    server.reply(reasoning="I need it.", tool_calls=[("get_weather", {"city": "Paris"}, "call-1")])
    server.reply("It is sunny.")


def load_chat_model(fully_specified_name: str) -> BaseChatModel:
    """By "provider/model", as the templates do."""
    provider, _, model = fully_specified_name.partition("/")
    return init_chat_model(model, model_provider=provider)


@dataclass
class Context:
    model: str = f"ovhcloud/{MODEL}"
    system_prompt: str = "You are helpful."


async def call_model(state: MessagesState, runtime: Runtime[Context]) -> dict[str, Any]:
    model = load_chat_model(runtime.context.model).bind_tools([get_weather])
    system = {"role": "system", "content": runtime.context.system_prompt}
    return {"messages": [await model.ainvoke([system, *state["messages"]])]}


def template() -> Any:
    """A loop of reasoning and acting whose model is named by the context."""
    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node(call_model)
    builder.add_node("tools", ToolNode([get_weather]))
    builder.add_edge(START, "call_model")
    builder.add_conditional_edges("call_model", tools_condition)
    builder.add_edge("tools", "call_model")
    return builder.compile()


@pytest.mark.usefixtures("registered")
class TestTheTemplate:
    async def test_runs_on_the_model_of_its_context(self, server: LocalEndpoints) -> None:
        script(server)

        done = await template().ainvoke(ASKED, context=Context(model=f"ovhcloud/{OTHER}"))

        assert done["messages"][-1].text == "It is sunny."
        assert asked(server) == [OTHER] * 2
        system, _, call, result = server.requests[-1].json["messages"]
        assert system == {"role": "system", "content": "You are helpful."}
        assert call["reasoning"] == "I need it."
        assert result["content"] == "Sunny in Paris"

    async def test_streams_tokens(self, server: LocalEndpoints) -> None:
        script(server)

        parts = [chunk.text async for chunk, _ in template().astream(ASKED, context=Context(), stream_mode="messages")]

        assert [part for part in parts if part][-3:] == ["It", " is", " sunny."]
        assert all(request.json["stream"] for request in server.requests)

    async def test_says_which_models_there_are(self, server: LocalEndpoints) -> None:
        with pytest.raises(NotFoundError, match=MODEL):
            await template().ainvoke(ASKED, context=Context(model="ovhcloud/gpt-oss-12b"))


class TestWithoutRegistering:
    def test_says_that_the_provider_is_unknown(self) -> None:
        with pytest.raises(ValueError, match="Unsupported provider='ovhcloud'"):
            load_chat_model(f"ovhcloud/{MODEL}")

    def test_an_app_that_takes_models_takes_ours(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        script(server)

        done = run(create_agent(ChatOVHCloud(model=MODEL), tools=[get_weather]), ASKED)

        assert done["messages"][-1].text == "It is sunny."


class ResearchState(MessagesState):
    notes: Annotated[list[str], operator.add]


class DeepResearch:
    """Asks back, researches with tools, and writes, each with the model and limits that the config names."""

    def __init__(self, model: Any) -> None:
        self.model = model
        builder = StateGraph(ResearchState)
        builder.add_node("clarify", self.clarify, destinations=("research", "__end__"))
        builder.add_node("research", self.research)
        builder.add_node("write", self.write)
        builder.add_edge(START, "clarify")
        builder.add_edge("research", "write")
        self.graph = builder.compile()

    @staticmethod
    def settings(config: RunnableConfig, role: str) -> dict[str, Any]:
        """As open_deep_research gives them, beside tags (its own was renamed by LangGraph 1); the key may be None."""
        chosen = config["configurable"]
        return {
            "model": chosen[f"{role}_model"],
            "max_tokens": chosen[f"{role}_max_tokens"],
            "api_key": chosen.get("key"),
            "tags": ["nostream"],
        }

    async def clarify(self, state: ResearchState, config: RunnableConfig) -> Command[Any]:
        asking = (
            self.model.with_structured_output(Clarification)
            .with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
            .with_config(self.settings(config, "research"))
        )
        answer = await asking.ainvoke([HumanMessage(f"Is this clear? {state['messages'][-1].text}")])
        if answer.need_clarification:
            return Command(goto="__end__", update={"messages": [AIMessage(answer.question)]})
        return Command(goto="research")

    async def research(self, state: ResearchState, config: RunnableConfig) -> dict[str, Any]:
        searching = (
            self.model.bind_tools([get_weather])
            .with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
            .with_config(self.settings(config, "research"))
        )
        found = await searching.ainvoke(state["messages"])
        return {"notes": [await get_weather.ainvoke(call["args"]) for call in found.tool_calls]}

    async def write(self, state: ResearchState, config: RunnableConfig) -> dict[str, Any]:
        writing = self.model.with_config(self.settings(config, "writer"))
        return {"messages": [await writing.ainvoke([HumanMessage(f"Write of: {state['notes']}")])]}


RESEARCH = {
    "research_model": f"ovhcloud:{MODEL}",
    "research_max_tokens": 1000,
    "writer_model": f"ovhcloud:{OTHER}",
    "writer_max_tokens": 2000,
}
CLEAR = '{"need_clarification": false, "question": ""}'


class TestDeepResearch:
    @pytest.fixture(params=["init_chat_model", "configurable_fields"])
    def app(self, request: pytest.FixtureRequest, registered: None) -> DeepResearch:
        if request.param == "init_chat_model":
            return DeepResearch(init_chat_model(configurable_fields=("model", "max_tokens", "api_key")))
        fields: Any = {name: ConfigurableField(id=name) for name in ("model", "max_tokens", "api_key")}
        return DeepResearch(ChatOVHCloud(model=MODEL).configurable_fields(**fields))

    @pytest.fixture
    def config(self, app: DeepResearch) -> dict[str, Any]:
        """With plain names for our own class, and prefixed ones for langchain's."""
        if isinstance(getattr(app.model, "default", None), ChatOVHCloud):
            plain = {name: str(value).removeprefix("ovhcloud:") for name, value in RESEARCH.items() if "model" in name}
            return {"configurable": {**RESEARCH, **plain}}
        return {"configurable": {**RESEARCH}}

    @pytest.fixture
    def found(self, server: LocalEndpoints) -> None:
        server.reply(CLEAR)
        server.reply(tool_calls=[("get_weather", {"city": "Paris"})])
        server.reply("The report.")

    async def test_sends_what_each_step_is_configured_for(
        self, server: LocalEndpoints, app: DeepResearch, config: Any, found: None
    ) -> None:
        done = await app.graph.ainvoke(ASKED, config)

        assert done["messages"][-1].text == "The report."
        sent = [request.json for request in server.requests]
        assert [(one["model"], one["max_tokens"]) for one in sent] == [(MODEL, 1000), (MODEL, 1000), (OTHER, 2000)]
        assert sent[0]["response_format"]["json_schema"]["name"] == "Clarification"
        assert sent[1]["tools"][0]["function"]["name"] == "get_weather"
        assert sent[2]["messages"] == [{"role": "user", "content": "Write of: ['Sunny in Paris']"}]
        assert {request.api_key for request in server.requests} == {server.api_key}

    async def test_may_name_the_key(
        self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch, app: DeepResearch, config: Any, found: None
    ) -> None:
        monkeypatch.setenv("OVHCLOUD_API_KEY", "of-somebody-else")
        config["configurable"]["key"] = server.api_key

        done = await app.graph.ainvoke(ASKED, config)

        assert done["messages"][-1].text == "The report."
        assert {request.api_key for request in server.requests} == {server.api_key}

    async def test_asks_back(self, server: LocalEndpoints, app: DeepResearch, config: Any) -> None:
        server.reply('{"need_clarification": true, "question": "Which Paris?"}')

        done = await app.graph.ainvoke(ASKED, config)

        assert done["messages"][-1].text == "Which Paris?"
        assert len(server.requests) == 1

    async def test_asks_again_for_an_object(self, server: LocalEndpoints, app: DeepResearch, config: Any) -> None:
        server.reply("I'd rather talk.")
        server.reply('{"question": "half of it"}')
        server.reply('{"need_clarification": true, "question": "Which Paris?"}')

        done = await app.graph.ainvoke(ASKED, config)

        assert done["messages"][-1].text == "Which Paris?"
        assert len(server.requests) == 3

    async def test_gives_up_after_its_attempts(self, server: LocalEndpoints, app: DeepResearch, config: Any) -> None:
        server.reply("I'd rather talk.", times=3)

        with pytest.raises(OutputParserException, match="I'd rather talk"):
            await app.graph.ainvoke(ASKED, config)
        assert len(server.requests) == 3

    async def test_streams_no_tokens_of_steps_that_are_tagged_so(
        self, server: LocalEndpoints, app: DeepResearch, config: Any, found: None
    ) -> None:
        parts = [chunk.text async for chunk, _ in app.graph.astream(ASKED, config, stream_mode="messages")]

        assert [part for part in parts if part] == ["The report."]  # whole, since it is in the state
        assert len(server.requests) == 3

    async def test_says_that_a_key_is_wrong(self, server: LocalEndpoints, app: DeepResearch, config: Any) -> None:
        config["configurable"]["key"] = "wrong"

        with pytest.raises(AuthenticationError, match="403"):
            await app.graph.ainvoke(ASKED, config)


@pytest.mark.usefixtures("registered")
class TestConfigurableModels:
    def test_may_take_any_field_under_a_prefix(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        model = init_chat_model(f"ovhcloud:{MODEL}", configurable_fields="any", config_prefix="first", temperature=0)
        chosen = {"first_model": f"ovhcloud:{OTHER}", "first_temperature": 0.5, "second_model": "ovhcloud:nobody"}

        run(model, "Hello", {"configurable": chosen})
        run(model.with_config(configurable=chosen), "Hello")
        run(model, "Hello")

        sent = [(request.json["model"], request.json["temperature"]) for request in server.requests]
        assert sent == [(OTHER, 0.5), (OTHER, 0.5), (MODEL, 0)]

    def test_keep_tools_when_a_config_follows(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        model: Any = init_chat_model(configurable_fields=("model", "model_provider"))
        bound = model.bind_tools([get_weather], tool_choice="any").with_config(
            configurable={"model": OTHER, "model_provider": "ovhcloud"}, run_name="bound"
        )

        assert run(bound, "The weather in Rome?").tool_calls[0]["name"] == "get_weather"
        assert server.requests[0].json["tool_choice"] == "required"
        assert asked(server) == [OTHER]

    def test_stand_behind_a_prompt_with_fallbacks(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        prompt = ChatPromptTemplate.from_messages([("system", "Be {mood}."), ("placeholder", "{messages}")])
        model = init_chat_model(f"ovhcloud:{MODEL}").with_fallbacks([init_chat_model(f"ovhcloud:{OTHER}")])
        server.reply(status=404)
        server.reply("Hi.")

        answer = run(prompt | model, {"mood": "brief", "messages": ["Hello"]})

        assert answer.text == "Hi."
        assert asked(server) == [MODEL, OTHER]
        assert server.requests[1].json["messages"][0] == {"role": "system", "content": "Be brief."}

    def test_have_the_profile_of_the_catalogue(self) -> None:
        model: Any = init_chat_model(f"ovhcloud:{OTHER}")

        assert model.profile["max_input_tokens"] == 262_144


@pytest.mark.usefixtures("registered")
class TestNamesInAgents:
    def test_of_langgraph(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        script(server)

        done = run(create_react_agent(f"ovhcloud:{MODEL}", tools=[get_weather]), ASKED)

        assert done["messages"][-1].text == "It is sunny."

    def test_chosen_at_each_step_by_a_function(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        def choose(state: Any, runtime: Any) -> Any:
            name = MODEL if len(state["messages"]) == 1 else OTHER
            return init_chat_model(f"ovhcloud:{name}").bind_tools([get_weather])

        script(server)

        run(create_react_agent(choose, tools=[get_weather]), ASKED)

        assert asked(server) == [MODEL, OTHER]

    async def test_chosen_at_each_step_by_middleware(self, server: LocalEndpoints) -> None:
        @wrap_model_call
        async def choose(request: Any, handler: Any) -> Any:
            if len(request.messages) > 1:
                request = request.override(model=init_chat_model(f"ovhcloud:{OTHER}"))
            return await handler(request)

        script(server)

        await create_agent(f"ovhcloud:{MODEL}", tools=[get_weather], middleware=[choose]).ainvoke(ASKED)

        assert asked(server) == [MODEL, OTHER]

    def test_of_fallbacks(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        server.reply(status=404)
        server.reply("It is sunny.")
        fallback = ModelFallbackMiddleware(f"ovhcloud:{OTHER}")

        done = run(create_agent(f"ovhcloud:{MODEL}", tools=[get_weather], middleware=[fallback]), ASKED)

        assert done["messages"][-1].text == "It is sunny."
        assert asked(server) == [MODEL, OTHER]

    def test_of_the_one_who_selects_tools(self, server: LocalEndpoints, run: Callable[..., Any]) -> None:
        @tool
        def get_time(city: str) -> str:
            """The time in a city."""
            return f"Noon in {city}"

        selector = LLMToolSelectorMiddleware(model=f"ovhcloud:{OTHER}", max_tools=1)
        server.reply('{"tools": ["get_weather"]}')
        server.reply("It is sunny.")

        run(create_agent(f"ovhcloud:{MODEL}", tools=[get_weather, get_time], middleware=[selector]), ASKED)

        assert asked(server) == [OTHER, MODEL]
        assert [tool["function"]["name"] for tool in server.requests[1].json["tools"]] == ["get_weather"]
