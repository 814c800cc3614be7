"""Our chat classes through LiteLLM's proxy: what comes back, and what reaches the service behind it."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ovhcloud_ai_endpoints import alist_models, list_models
from ovhcloud_ai_endpoints.testing import LocalEndpoints

PICTURE = base64.b64encode((Path(__file__).parents[1] / "data" / "square.png").read_bytes()).decode()
QUESTION = "Paris is in France. Rome is in Italy. Where is Rome?"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

pytestmark = pytest.mark.timeout(120)  # the first test waits for the proxy to start
each_route = pytest.mark.parametrize("model", ["my-model", "my-vllm", "my-openai"])
whole_or_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


class Ticket(BaseModel):
    """A support ticket."""

    subject: str
    priority: int


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def get_time(city: str) -> str:
    """The time in a city."""
    return f"Noon in {city}"


@each_route
@whole_or_streamed
class TestAnAnswer:
    def test_is_the_models(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        said = way.ask(QUESTION, model=model, streamed=streamed)

        assert (said.text, said.finish_reason) == ("Rome is in Italy.", "stop")
        assert server.requests[-1].api_key == server.api_key
        sent = server.requests[-1].json
        assert sent.pop("stream", False) is streamed
        assert sent.pop("stream_options", None) == ({"include_usage": True} if streamed else None)
        assert sent == {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": QUESTION}]}
        assert server.refusals == []

    def test_has_its_reasoning(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        server.reply("Rome.", reasoning="Italy has one capital. It is old.")

        said = way.ask(QUESTION, model=model, streamed=streamed)

        assert (said.reasoning, said.text) == ("Italy has one capital. It is old.", "Rome.")

    def test_that_was_cut_says_so(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        server.reply("It was long ago that", finish_reason="length")

        said = way.ask("Tell me a story", model=model, streamed=streamed)

        assert (said.text, said.finish_reason) == ("It was long ago that", "length")

    def test_takes_its_parameters_along(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        options = {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"], "max_tokens": 50}
        options |= {"presence_penalty": 0.1, "frequency_penalty": 0.2}
        server.reply("Rome. END and more")

        said = way.ask(QUESTION, model=model, streamed=streamed, **options)

        assert said.text == "Rome. "
        assert {name: server.requests[-1].json.get(name) for name in options} == options


class TestUsage:
    @each_route
    def test_is_the_services(self, server: LocalEndpoints, way: Any, model: str) -> None:
        server.reply("Rome.", usage=USAGE)

        assert way.ask(QUESTION, model=model).tokens == (11, 7)

    def test_of_a_stream_is_the_services_on_the_openai_route(self, server: LocalEndpoints, way: Any) -> None:
        server.reply("Rome.", usage=USAGE)

        assert way.ask(QUESTION, model="my-openai", streamed=True).tokens == (11, 7)

    @pytest.mark.parametrize("model", ["my-model", "my-vllm"])
    def test_of_a_stream_is_litellms_own_count_on_other_routes(
        self, server: LocalEndpoints, way: Any, model: str
    ) -> None:
        server.reply("Rome.", usage={**USAGE, "prompt_tokens": 9_999, "total_tokens": 10_006})

        tokens = way.ask(QUESTION, model=model, streamed=True).tokens

        assert 5 < tokens[0] < 50
        assert 0 < tokens[1] < 10


def test_a_stream_comes_in_pieces(server: LocalEndpoints, proxy: str, way: Any) -> None:
    server.reply("One two three")

    assert way.ask("Count", streamed=True, merge_deltas=False).pieces == ["One", " two", " three"]


@whole_or_streamed
def test_system_messages_become_one_at_the_beginning(server: LocalEndpoints, way: Any, streamed: bool) -> None:
    history = [way.system("Be brief."), way.user("Hello"), way.system("Be kind."), way.user(QUESTION)]

    assert way.ask(history, streamed=streamed, model="my-eyes").text == "Rome is in Italy."
    sent = [(message["role"], message["content"]) for message in server.requests[-1].json["messages"]]
    assert sent == [("system", "Be brief.\n\nBe kind."), ("user", "Hello"), ("user", QUESTION)]


@whole_or_streamed
class TestTools:
    @each_route
    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            (None, None),
            ("auto", "auto"),
            ("required", "required"),
            ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        ],
    )
    def test_are_called(
        self, server: LocalEndpoints, way: Any, model: str, streamed: bool, choice: str | None, sent: Any
    ) -> None:
        question = "What is the weather in Paris?"

        said = way.ask(question, model=model, streamed=streamed, tools=[get_weather, get_time], tool_choice=choice)

        assert said.calls == [("get_weather", {"city": "Paris"})]
        assert said.finish_reason == "tool_calls"
        received = server.requests[-1].json
        assert received.get("tool_choice") == sent
        assert [tool["function"]["name"] for tool in received["tools"]] == ["get_weather", "get_time"]

    @each_route
    def test_are_not_called_when_none_may_be(
        self, server: LocalEndpoints, way: Any, model: str, streamed: bool
    ) -> None:
        question = "What is the weather in Paris?"

        said = way.ask(question, model=model, streamed=streamed, tools=[get_weather], tool_choice="none")

        assert said.calls == []
        assert said.text.endswith(question)
        assert server.requests[-1].json["tool_choice"] == "none"

    @each_route
    def test_are_called_twice_at_once(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        calls = [("get_weather", {"city": "Saint-Étienne du Bois"}), ("get_time", {"city": "Rome"})]
        server.reply(tool_calls=calls)

        assert way.ask("Both", model=model, streamed=streamed, tools=[get_weather, get_time]).calls == calls

    @each_route
    def test_get_the_reasoning_back(self, server: LocalEndpoints, way: Any, model: str, streamed: bool) -> None:
        server.reply(reasoning="I need the weather.", tool_calls=[("get_weather", {"city": "Oslo"})])
        history = [way.user("What is the weather in Oslo?")]
        called = way.ask(history, model=model, streamed=streamed, tools=[get_weather])
        history += [called.message, way.result(called, "Rain in Oslo")]

        said = way.ask(history, model=model, streamed=streamed, tools=[get_weather])

        assert said.text == "The tool says: Rain in Oslo"
        _, answer, result = server.requests[-1].json["messages"]
        assert (answer.get("reasoning"), answer["tool_calls"][0]["function"]["name"]) == (
            "I need the weather.",
            "get_weather",
        )
        assert (result["role"], result["content"]) == ("tool", "Rain in Oslo")
        assert result["tool_call_id"] == answer["tool_calls"][0]["id"]
        assert server.refusals == []


@each_route
@pytest.mark.parametrize("by", ["json_schema", "function_calling"])
class TestAnObject:
    asked = "The subject is streams. The priority is 2."

    def test_is_one_of_the_class(self, server: LocalEndpoints, way: Any, model: str, by: str) -> None:
        assert way.object(Ticket, self.asked, by=by, model=model) == Ticket(subject="streams", priority=2)
        self.has_asked(server, by)

    def test_is_whole_at_the_end_of_a_stream(self, server: LocalEndpoints, way: Any, model: str, by: str) -> None:
        assert way.streamed_object(Ticket, self.asked, by=by, model=model) == Ticket(subject="streams", priority=2)
        self.has_asked(server, by)

    @staticmethod
    def has_asked(server: LocalEndpoints, by: str) -> None:
        sent = server.requests[-1].json
        if by == "json_schema":
            schema = sent["response_format"]["json_schema"]["schema"]
            assert "tools" not in sent
        else:
            schema = sent["tools"][0]["function"]["parameters"]
            assert sent["tool_choice"] == {"type": "function", "function": {"name": "Ticket"}}
        assert set(schema["properties"]) == {"subject", "priority"}


@whole_or_streamed
def test_an_image_arrives(server: LocalEndpoints, way: Any, streamed: bool) -> None:
    said = way.ask([way.image("What is this?", PICTURE)], model="my-eyes", streamed=streamed)

    assert "1 image(s) came with: What is this?" in said.text
    (message,) = server.requests[-1].json["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    ]


@pytest.mark.parametrize("model", ["my-vllm", "my-openai"])
def test_reasoning_effort_goes_through(server: LocalEndpoints, way: Any, model: str) -> None:
    assert way.ask(QUESTION, model=model, reasoning_effort="low").text == "Rome is in Italy."
    assert server.requests[-1].json["reasoning_effort"] == "low"


def test_reasoning_effort_goes_to_litellms_ovhcloud_with_its_own_permission(server: LocalEndpoints, way: Any) -> None:
    permission = {"allowed_openai_params": ["reasoning_effort"]}

    assert way.ask(QUESTION, reasoning_effort="low", extra_body=permission).text == "Rome is in Italy."
    assert server.requests[-1].json["reasoning_effort"] == "low"


@whole_or_streamed
def test_name_with_the_prefix_finds_the_model_that_the_proxy_lists_with_it(
    server: LocalEndpoints, way: Any, streamed: bool
) -> None:
    assert way.ask(QUESTION, model="ovhcloud/gpt-oss-20b", streamed=streamed).text == "Rome is in Italy."
    assert [request.json["model"] for request in server.requests] == ["gpt-oss-20b"]


class TestTheListOfModels:
    def test_is_the_proxys(self, proxy: str) -> None:
        names = [model.id for model in list_models(base_url=proxy, api_key="sk-1234")]

        assert {"my-model", "my-eyes", "my-embeddings", "ovhcloud/gpt-oss-20b"} <= set(names)

    async def test_is_the_same_when_awaited(self, proxy: str) -> None:
        awaited = await alist_models(base_url=proxy, api_key="sk-1234")

        assert awaited == list_models(base_url=proxy, api_key="sk-1234")
        assert "my-model" in {model.id for model in awaited}
