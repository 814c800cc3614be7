"""Objects of pydantic classes, in each program mode and in each way."""

import asyncio
from typing import Any, Generic, TypeVar

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard.ways import STRUCTURED, Suite, Way, listening


class Address(BaseModel):
    """Where somebody lives."""

    city: str
    street: str | None = None


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0)
    addresses: list[Address] = Field(default_factory=list)


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    """Holds one thing."""

    content: T


TEXT = '{"name": "Ada", "age": 36, "addresses": [{"city": "London"}, {"city": "Paris", "street": "Rue 1"}]}'
ADA = Person(name="Ada", age=36, addresses=[Address(city="London"), Address(city="Paris", street="Rue 1")])
PROMPT = PromptTemplate("Who is {name}?")
MODES = [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM]


def script(
    server: LocalEndpoints, mode: PydanticProgramMode, text: str = TEXT, name: str = "Person", **rest: Any
) -> None:
    """Has the server answer where the mode looks; by default in both places, since a class may ask in either way."""
    text_too = {} if mode == PydanticProgramMode.FUNCTION else {"text": text}
    call_too = {} if mode == PydanticProgramMode.LLM else {"tool_calls": [(name, text)]}
    server.reply(**text_too, **call_too, **rest)


class StructuredOutputTests(Suite):
    @pytest.fixture(params=STRUCTURED)
    def predict(self, request: pytest.FixtureRequest) -> Way:
        return Way(request.param, STRUCTURED[request.param])

    @pytest.fixture(params=MODES, ids=lambda mode: mode.value)
    def mode(self, request: pytest.FixtureRequest) -> PydanticProgramMode:
        return request.param

    def test_object_is_found(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode)

        assert predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")[-1] == ADA

    def test_object_is_found_by_default_without_a_script(self, llm: Any, predict: Way) -> None:
        prompt = PromptTemplate("The name is {name}. The age is 36.")

        found = predict(llm, Person, prompt, name="Ada")[-1]

        assert isinstance(found, Person)
        assert (found.name, found.age) == ("Ada", 36)

    def test_system_prompt_is_sent(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode)

        predict(self.make(server, pydantic_program_mode=mode, system_prompt="Be exact"), Person, PROMPT, name="Ada")

        sent = server.requests[-1].json["messages"]
        assert sent[0]["role"] == "system"
        assert "Be exact" in str(sent[0]["content"])
        assert str(sent).count("Be exact") == 1

    def test_model_may_think_first(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode, reasoning="Ada Lovelace, {probably}")

        found = predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")

        assert found[-1] == ADA
        assert len(found) < 40  # and there are no blank objects while it thinks

    def test_tool_is_forced(self, server: LocalEndpoints, predict: Way) -> None:
        script(server, PydanticProgramMode.FUNCTION)

        predict(self.make(server, pydantic_program_mode=PydanticProgramMode.FUNCTION), Person, PROMPT, name="Ada")

        sent = server.requests[-1].json
        choice = sent["tool_choice"]
        assert choice == "required" or choice["function"]["name"] == sent["tools"][0]["function"]["name"] == "Person"

    @pytest.mark.parametrize("way", ["stream_structured_predict", "astream_structured_predict"])
    def test_stream_grows_and_ends_in_the_class(
        self, server: LocalEndpoints, way: str, mode: PydanticProgramMode
    ) -> None:
        script(server, mode)

        found = STRUCTURED[way](self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")

        cities = [len(part.addresses or []) for part in found if part.name == "Ada"]
        assert type(found[-1]) is Person
        assert cities == sorted(cities)
        assert {1, 2} <= set(cities)

    def test_answer_that_was_cut_raises(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode, text=TEXT[:40], finish_reason="length")

        with pytest.raises(Exception):  # noqa: B017, PT011 - core and providers have errors of their own
            predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")
        assert server.unplayed == 0

    def test_error_of_a_cut_answer_says_so(
        self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode
    ) -> None:
        script(server, mode, text=TEXT[:40], finish_reason="length")

        with pytest.raises(Exception, match="max_tokens"):
            predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")

    def test_prose_raises_with_the_text(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        server.reply("I would rather not say")

        with pytest.raises(Exception, match="rather not say"):
            predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")

    def test_object_that_breaks_a_rule_raises(
        self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode
    ) -> None:
        script(server, mode, text='{"name": "Ada", "age": -1}')

        with pytest.raises(Exception, match=r"\bage\b"):
            predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")
        assert server.unplayed == 0

    def test_generic_class_is_found(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode, text='{"content": 7}', name="Box_int_")

        found = predict(self.make(server, pydantic_program_mode=mode), Box[int], PROMPT, name="Ada")

        assert found[-1] == Box[int](content=7)

    def test_arguments_of_the_caller_stay(
        self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode
    ) -> None:
        script(server, mode)
        given = {"temperature": 0.5, "tool_choice": "auto"}

        predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, llm_kwargs=given, name="Ada")

        assert given == {"temperature": 0.5, "tool_choice": "auto"}
        assert server.requests[-1].json["temperature"] == 0.5

    def test_prompt_of_the_caller_stays(self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode) -> None:
        script(server, mode)
        prompt = PromptTemplate("Who is {name}?")

        predict(self.make(server, pydantic_program_mode=mode), Person, prompt, name="Ada")

        assert prompt.output_parser is None
        assert prompt.format(name="Eve") == "Who is Eve?"

    def test_events_tell_of_start_and_end(
        self, server: LocalEndpoints, predict: Way, mode: PydanticProgramMode
    ) -> None:
        script(server, mode)

        with listening() as events:
            predict(self.make(server, pydantic_program_mode=mode), Person, PROMPT, name="Ada")

        structured = [name for name in events.named("Event") if name.startswith("LLMStructuredPredict")]
        assert structured[0] == "LLMStructuredPredictStartEvent"
        assert structured[-1] == "LLMStructuredPredictEndEvent"

    @pytest.mark.filterwarnings("ignore:The `json` method is deprecated")
    @pytest.mark.parametrize("way", ["chat", "achat", "stream_chat"])
    def test_structured_llm_gives_the_object(self, server: LocalEndpoints, llm: Any, way: str) -> None:
        script(server, PydanticProgramMode.DEFAULT)
        structured = llm.as_structured_llm(Person)
        messages = [ChatMessage("Who is {this}?")]

        match way:
            case "chat":
                response = structured.chat(messages)
            case "achat":
                response = asyncio.run(structured.achat(messages))
            case _:
                response = list(structured.stream_chat(messages))[-1]

        assert response.raw == ADA
        assert server.requests[-1].json["messages"][-1]["content"] == "Who is {this}?"
