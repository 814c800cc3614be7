"""Models that are chosen by name: by a call's config, and through langchain's own functions."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import langchain.chat_models.base
import langchain.embeddings.base
import langchain_classic.chat_models.base
import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain.embeddings import init_embeddings
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import StructuredTool
from pydantic import BaseModel

import langchain_ovhcloud
from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
OTHER = "Qwen3.6-27B"
CONFIG: Any = {"configurable": {"model": OTHER}}
MODEL = ConfigurableField(id="model")


class City(BaseModel):
    """A city."""

    name: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


def asked(server: LocalEndpoints) -> list[str]:
    return [request.json["model"] for request in server.requests]


class TestFieldsOfAConfig:
    @pytest.fixture
    def configurable(self, model: ChatOVHCloud) -> Any:
        return model.configurable_fields(model=MODEL, temperature=ConfigurableField(id="t"))

    def test_choose_the_model_of_bound_tools(self, server: LocalEndpoints, configurable: Any) -> None:
        bound = configurable.bind_tools([get_weather], tool_choice="any")

        assert bound.invoke("Weather in Rome?", CONFIG).tool_calls
        assert asyncio.run(bound.ainvoke("Weather in Rome?", CONFIG)).tool_calls
        assert list(bound.stream("Weather in Rome?", CONFIG))
        assert bound.invoke("Weather in Rome?").tool_calls
        assert asked(server) == [OTHER] * 3 + ["gpt-oss-120b"]

    def test_choose_the_model_of_structured_output(self, server: LocalEndpoints, configurable: Any) -> None:
        asking = configurable.with_structured_output(City)

        assert asking.invoke("The name is Rome.", CONFIG) == City(name="Rome")
        assert asking.with_config(CONFIG).invoke("The name is Rome.") == City(name="Rome")
        assert configurable.with_config(CONFIG).with_structured_output(City).invoke("The name is Rome.") == City(
            name="Rome"
        )
        assert asking.with_retry().invoke("The name is Rome.", CONFIG) == City(name="Rome")
        assert asked(server) == [OTHER] * 4

    @pytest.mark.parametrize("config", [CONFIG, {"configurable": {"t": 0.5}}, {}])
    def test_stream(self, server: LocalEndpoints, configurable: Any, config: Any) -> None:
        list(configurable.bind_tools([get_weather]).stream("Hello", config))

        assert server.requests[0].json["stream"] is True

    @pytest.mark.parametrize("wrapped", ["bind_tools", "with_structured_output"])
    def test_keep_fallbacks(self, server: LocalEndpoints, configurable: Any, wrapped: str) -> None:
        both = configurable.with_fallbacks([ChatOVHCloud(model=OTHER)])
        asking = both.bind_tools([get_weather]) if wrapped == "bind_tools" else both.with_structured_output(City)
        server.reply(status=400, body={"message": "no"})

        asking.invoke("The name is Rome.")

        assert asked(server) == ["gpt-oss-120b", OTHER]

    def test_stay_with_a_second_config(self, server: LocalEndpoints, configurable: Any) -> None:
        configurable.with_config(CONFIG).with_config(tags=["t"]).invoke("Hello")

        assert asked(server) == [OTHER]

    def test_can_be_pickled_with_tools(self, server: LocalEndpoints, configurable: Any) -> None:
        bound = pickle.loads(pickle.dumps(configurable.bind_tools([StructuredTool.from_function(get_weather)])))

        bound.invoke("Hello", CONFIG)

        assert server.requests[0].json["tools"]

    def test_may_differ_in_a_batch(self, server: LocalEndpoints, configurable: Any) -> None:
        configs: Any = [CONFIG, {"configurable": {"t": 0.5}}]

        configurable.bind_tools([get_weather]).batch(["Hello", "Hello"], configs)

        assert sorted((request.json["model"], request.json.get("temperature")) for request in server.requests) == [
            (OTHER, None),
            ("gpt-oss-120b", 0.5),
        ]

    def test_choose_the_model_of_an_agent(self, server: LocalEndpoints, configurable: Any) -> None:
        agent = create_agent(configurable, tools=[get_weather])

        messages = agent.invoke({"messages": [HumanMessage("What is the weather in Rome?")]}, CONFIG)["messages"]

        assert messages[-1].text == "The tool says: Sunny in Rome"
        assert asked(server) == [OTHER] * 2

    def test_choose_the_profile_too(self, configurable: Any) -> None:
        chosen, _ = configurable.prepare(CONFIG)

        assert chosen.profile["name"] == OTHER

    def test_mistakes_are_errors_at_once(self, configurable: Any) -> None:
        with pytest.raises(ValueError, match="tool_choice names 'f'"):
            configurable.bind_tools([get_weather], tool_choice="f")
        with pytest.raises(ValueError, match="method must be one of"):
            configurable.with_structured_output(City, method="x")
        with pytest.raises(AttributeError):
            configurable.with_structured_output(City).bind_tools([get_weather])

    def test_may_be_named_by_an_alias(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        configurable = model.configurable_fields(model_name=MODEL)

        configurable.invoke("Hello", CONFIG)

        assert asked(server) == [OTHER]

    def test_may_be_added(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        bound: Any = model.configurable_fields(model=MODEL).bind_tools([get_weather])  # type: ignore[attr-defined]
        more = bound.configurable_fields(temperature=ConfigurableField(id="t"))

        more.invoke("Hello", {"configurable": {"model": OTHER, "t": 0.5}})

        sent = server.requests[0].json
        assert (sent["model"], sent["temperature"]) == (OTHER, 0.5)
        assert sent["tools"]

    def test_are_not_serialised_as_what_does_not_exist(self, configurable: Any) -> None:
        assert dumpd(configurable)["type"] == "not_implemented"


class TestAlternativesOfAConfig:
    @pytest.fixture
    def alternatives(self, model: ChatOVHCloud) -> Any:
        return model.configurable_alternatives(
            ConfigurableField(id="which"), default_key="fast", strong=ChatOVHCloud(model=OTHER)
        )

    def test_choose_the_model_of_bound_tools(self, server: LocalEndpoints, alternatives: Any) -> None:
        bound = alternatives.bind_tools([get_weather], tool_choice="any")

        assert bound.invoke("Weather in Rome?", {"configurable": {"which": "strong"}}).tool_calls
        assert bound.invoke("Weather in Rome?").tool_calls
        assert asked(server) == [OTHER, "gpt-oss-120b"]

    def test_may_have_fields(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        fields: Any = model.configurable_fields(temperature=ConfigurableField(id="t"))
        bound = fields.configurable_alternatives(
            ConfigurableField(id="which"), strong=ChatOVHCloud(model=OTHER)
        ).bind_tools([get_weather])

        bound.invoke("Hello", {"configurable": {"t": 0.5}})
        bound.invoke("Hello", {"configurable": {"which": "strong", "t": 0.5}})

        assert asked(server) == ["gpt-oss-120b", OTHER]
        assert [request.json.get("temperature") for request in server.requests] == [0.5, None]
        assert all(request.json["tools"] for request in server.requests)


class TestNamesInLangchain:
    @pytest.fixture
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for module in (langchain.chat_models.base, langchain.embeddings.base):
            monkeypatch.setattr(module, "_BUILTIN_PROVIDERS", dict(module._BUILTIN_PROVIDERS))
        classic = langchain_classic.chat_models.base
        monkeypatch.setattr(classic, "_SUPPORTED_PROVIDERS", set(classic._SUPPORTED_PROVIDERS))
        monkeypatch.setattr(classic, "_init_chat_model_helper", classic._init_chat_model_helper)
        langchain_ovhcloud.register()
        langchain_ovhcloud.register()
        yield
        langchain.chat_models.base._get_chat_model_creator.cache_clear()
        langchain.embeddings.base._get_embeddings_class_creator.cache_clear()

    @pytest.mark.usefixtures("registered")
    def test_are_those_of_our_classes(self, server: LocalEndpoints) -> None:
        model = init_chat_model("ovhcloud:gpt-oss-120b", temperature=0.5)
        embeddings = init_embeddings("ovhcloud:bge-m3", batch_size=3)

        assert isinstance(model, ChatOVHCloud)
        assert isinstance(embeddings, OVHCloudEmbeddings)
        assert (model.model, model.temperature) == ("gpt-oss-120b", 0.5)
        assert (embeddings.model, embeddings.batch_size) == ("bge-m3", 3)
        assert isinstance(init_chat_model("gpt-oss-120b", model_provider="ovhcloud"), ChatOVHCloud)

    @pytest.mark.usefixtures("registered")
    def test_may_be_chosen_by_a_config(self, server: LocalEndpoints) -> None:
        bound: Any = init_chat_model(configurable_fields=("model",)).bind_tools([get_weather])

        bound.invoke("Hello", {"configurable": {"model": f"ovhcloud:{OTHER}"}})

        assert asked(server) == [OTHER]

    @pytest.mark.usefixtures("registered")
    def test_make_agents(self, server: LocalEndpoints) -> None:
        agent = create_agent("ovhcloud:gpt-oss-120b", tools=[get_weather])

        messages = agent.invoke({"messages": [HumanMessage("What is the weather in Rome?")]})["messages"]

        assert messages[-1].text == "The tool says: Sunny in Rome"

    @pytest.mark.usefixtures("registered")
    @pytest.mark.filterwarnings("ignore:The function `init_chat_model` was deprecated")
    def test_are_known_to_langchain_classic(self) -> None:
        classic = langchain_classic.chat_models.base

        assert isinstance(classic.init_chat_model("ovhcloud:gpt-oss-120b"), ChatOVHCloud)
        assert isinstance(classic.init_chat_model("gpt-oss-120b", model_provider="ovhcloud"), ChatOVHCloud)
        with pytest.raises(ValueError, match="Unable to infer model provider"):
            classic.init_chat_model("of-nobody")

    @pytest.mark.parametrize("table", [None, {}, [], {"x": "module"}, {"x": ("module", "Class")}])
    def test_are_refused_where_tables_have_another_shape(self, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
        monkeypatch.setattr(langchain.embeddings.base, "_BUILTIN_PROVIDERS", table)
        before = dict(langchain.chat_models.base._BUILTIN_PROVIDERS)

        with pytest.raises(RuntimeError, match=r"^langchain 1\.\d+\.\d+ keeps its providers .* use ChatOVHCloud"):
            langchain_ovhcloud.register()
        assert before == langchain.chat_models.base._BUILTIN_PROVIDERS

    def test_need_langchain(self) -> None:
        script = """
import sys
sys.modules["langchain"] = None
import langchain_ovhcloud
langchain_ovhcloud.register()
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

        assert done.stderr.splitlines()[-1] == 'ImportError: register() needs langchain: pip install "langchain>=1"'


@pytest.mark.parametrize("stream", [True, False])
class TestStreamAsAnArgument:
    def test_of_a_call(self, server: LocalEndpoints, model: ChatOVHCloud, stream: bool) -> None:
        assert model.invoke("Hello", stream=stream).text
        assert asyncio.run(model.ainvoke("Hello", stream=stream)).text
        assert [bool(request.json.get("stream")) for request in server.requests] == [stream] * 2

    def test_of_a_bound_model(self, server: LocalEndpoints, model: ChatOVHCloud, stream: bool) -> None:
        assert model.bind(stream=stream).invoke("Hello").text
        assert "".join(chunk.text for chunk in model.bind(stream=stream).stream("Hello"))
        assert bool(server.requests[0].json.get("stream")) is stream
