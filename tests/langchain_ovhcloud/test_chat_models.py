import asyncio
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.load import dumps, load
from langchain_core.load.dump import dumpd
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel

import ovhcloud_ai_endpoints as service
from langchain_ovhcloud import ChatOVHCloud
from langchain_ovhcloud._errors import TWINS
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
MODES: dict[str, Callable[[ChatOVHCloud, Any], AIMessage]] = {}


def mode(function: Callable[[Any, Any], AIMessage]) -> Callable[[Any, Any], AIMessage]:
    MODES[function.__name__] = function
    return function


@mode
def invoke(model: Any, asked: Any) -> AIMessage:
    return model.invoke(asked)


@mode
def ainvoke(model: Any, asked: Any) -> AIMessage:
    return asyncio.run(model.ainvoke(asked))


@mode
def stream(model: Any, asked: Any) -> AIMessage:
    return add_ai_message_chunks(*model.stream(asked))


@mode
def astream(model: Any, asked: Any) -> AIMessage:
    async def main() -> AIMessage:
        return add_ai_message_chunks(*[chunk async for chunk in model.astream(asked)])

    return asyncio.run(main())


@pytest.fixture(params=MODES)
def call(request: pytest.FixtureRequest) -> Callable[[Any, Any], AIMessage]:
    return MODES[request.param]


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int


class TestAnswers:
    def test_hold_text_reasoning_usage_and_where_they_come_from(
        self, server: LocalEndpoints, model: ChatOVHCloud, call: Any
    ) -> None:
        server.reply("Hello you", reasoning="They greet", usage=USAGE, headers={"x-request-id": "r-1"})

        message = call(model, "Hello")

        assert message.content == "Hello you"
        assert message.additional_kwargs["reasoning_content"] == "They greet"
        assert message.usage_metadata == {
            "input_tokens": 10,
            "output_tokens": 7,
            "total_tokens": 17,
            "input_token_details": {"cache_read": 4},
            "output_token_details": {"reasoning": 3},
        }
        metadata = message.response_metadata
        assert metadata["model_provider"] == "ovhcloud"
        assert metadata["model_name"] == "gpt-oss-120b"
        assert metadata["finish_reason"] == metadata["normalized_finish_reason"] == "stop"
        assert metadata["request_id"] == "r-1"
        assert metadata["attempts"] == 1
        assert metadata["time_to_first_event"] > 0

    def test_come_as_standard_blocks(self, server: LocalEndpoints, model: ChatOVHCloud, call: Any) -> None:
        server.reply("Hello", reasoning="hm", tool_calls=[("f", {"x": 1}, "id1")])

        blocks = call(model, "Hello").content_blocks

        assert [
            (block["type"], block.get("text") or block.get("reasoning") or block.get("args")) for block in blocks
        ] == [
            ("reasoning", "hm"),
            ("text", "Hello"),
            ("tool_call", {"x": 1}),
        ]

    def test_keep_their_kinds_apart_in_version_1(self, server: LocalEndpoints, call: Any) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", output_version="v1")
        server.reply("Hello", reasoning="hm", tool_calls=[("f", {"x": 1}), ("g", {"y": 2})])

        message = call(model, "Hello")

        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "tool_call", "tool_call"]
        assert [call["args"] for call in message.tool_calls] == [{"x": 1}, {"y": 2}]

    def test_without_usage_have_none(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        server.reply(body={"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

        assert model.invoke("Hello").usage_metadata is None

    def test_are_counted_once(self, model: ChatOVHCloud, call: Any) -> None:
        counter = UsageMetadataCallbackHandler()

        message = call(model.with_config(callbacks=[counter]), "Hello")

        assert counter.usage_metadata["gpt-oss-120b"] == message.usage_metadata

    def test_may_be_several(self, server: LocalEndpoints) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", n=2)

        result = model.generate([[HumanMessage("Hello")]])

        assert len(result.generations[0]) == 2
        assert server.requests[-1].json["n"] == 2
        assert [generation.message.usage_metadata is None for generation in result.generations[0]] == [False, True]

    def test_have_logprobs_once(self, model: ChatOVHCloud, call: Any) -> None:
        message = call(model.bind(logprobs=True, reasoning_effort="low"), "Hello")

        tokens = message.response_metadata["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == message.content


class TestToolCalls:
    def test_with_unreadable_arguments_are_invalid_and_keep_their_text(
        self, server: LocalEndpoints, model: ChatOVHCloud
    ) -> None:
        server.reply(tool_calls=[("f", '{"x": '), ("g", "[1]"), ("h", "")])

        message = model.invoke("Hello")

        assert [call["args"] for call in message.invalid_tool_calls] == ['{"x": ', "[1]"]
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("h", {})]

    def test_are_made_answered_and_gone_on_from(self, server: LocalEndpoints, model: ChatOVHCloud, call: Any) -> None:
        bound = model.bind_tools([get_weather])
        asked = HumanMessage("What is the weather in Paris?")
        first = call(bound, [asked])
        made = first.tool_calls[0]
        assert (made["name"], made["args"]) == ("get_weather", {"city": "Paris"})

        answer = call(bound, [asked, first, ToolMessage(get_weather.invoke(made["args"]), tool_call_id=made["id"])])

        assert answer.text == "The tool says: Sunny in Paris"
        assistant = server.requests[-1].json["messages"][1]
        assert assistant["reasoning"]
        assert assistant["tool_calls"][0]["id"] == made["id"]

    def test_choice_of_an_unknown_tool_is_an_error_at_once(self, model: ChatOVHCloud) -> None:
        with pytest.raises(ValueError, match="'get_time', but the tools are get_weather"):
            model.bind_tools([get_weather], tool_choice="get_time")

    def test_one_at_a_time_is_the_first(self, server: LocalEndpoints, model: ChatOVHCloud, call: Any) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "A"}), ("get_weather", {"city": "B"})])

        message = call(model.bind_tools([get_weather], parallel_tool_calls=False), "Hello")

        assert [made["args"] for made in message.tool_calls] == [{"city": "A"}]
        assert "parallel_tool_calls" not in server.requests[-1].json

    def test_that_are_no_functions_are_an_error(self, model: ChatOVHCloud) -> None:
        with pytest.raises(ValueError, match="must be functions"):
            model.bind_tools([{"type": "web_search"}])
        with pytest.raises(ValueError, match="must be functions"):
            model.invoke("Hello", tools=[get_weather])

    def test_no_tools_is_none_on_the_wire(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        model.bind_tools([], tool_choice="any", parallel_tool_calls=False).invoke("Hello")

        assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(server.requests[-1].json)


class TestStructuredOutput:
    NOTE = "The subject is streams. The priority is 2."

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    @pytest.mark.parametrize("strict", [None, True, False])
    def test_is_an_object_of_the_class(self, model: ChatOVHCloud, method: Any, strict: bool | None) -> None:
        found = model.with_structured_output(Ticket, method=method, strict=strict).invoke(self.NOTE)

        assert found == Ticket(subject="streams", priority=2)

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_is_a_dict_for_a_schema(self, model: ChatOVHCloud, method: Any) -> None:
        structured = model.with_structured_output(Ticket.model_json_schema(), method=method)

        assert structured.invoke(self.NOTE) == {"subject": "streams", "priority": 2}
        assert [*structured.stream(self.NOTE)][-1] == {"subject": "streams", "priority": 2}
        assert asyncio.run(structured.ainvoke(self.NOTE)) == {"subject": "streams", "priority": 2}

    @pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
    def test_that_fails_raises_with_the_text(self, server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
        server.reply("I would rather not")

        with pytest.raises(OutputParserException, match="I would rather not"):
            model.with_structured_output(Ticket, method=method).invoke(self.NOTE)

    @pytest.mark.parametrize("schema", [Ticket, Ticket.model_json_schema()])
    def test_that_is_cut_is_not_made_whole(self, server: LocalEndpoints, model: ChatOVHCloud, schema: Any) -> None:
        server.reply('{"subject": "streams", "priority": 2', finish_reason="length")

        with pytest.raises(OutputParserException, match="cut at max_tokens"):
            model.with_structured_output(schema).invoke(self.NOTE)

    @pytest.mark.parametrize("schema", [Ticket, Ticket.model_json_schema()])
    @pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
    @pytest.mark.parametrize("text", ["I would rather not", '{"subject": "str', "[1]"])
    def test_stream_that_fails_raises_at_its_end(
        self, server: LocalEndpoints, model: ChatOVHCloud, method: Any, schema: Any, text: str
    ) -> None:
        structured = model.with_structured_output(schema, method=method)

        async def read() -> None:
            async for _ in structured.astream(self.NOTE):
                pass

        server.reply(text, times=2)
        with pytest.raises(OutputParserException):
            list(structured.stream(self.NOTE))
        with pytest.raises(OutputParserException):
            asyncio.run(read())

    def test_stream_of_a_cut_call_raises_at_its_end(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("Ticket", '{"subject": "x", "priority": 1')], finish_reason="length")

        with pytest.raises(OutputParserException, match="cut at max_tokens"):
            list(model.with_structured_output(Ticket, method="function_calling").stream(self.NOTE))

    @pytest.mark.parametrize("text", ['{"subject": "x"}', "[1]", "null", ""])
    def test_that_is_no_object_of_the_schema_raises(
        self, server: LocalEndpoints, model: ChatOVHCloud, text: str
    ) -> None:
        server.reply(text)

        with pytest.raises(OutputParserException):
            model.with_structured_output(Ticket.model_json_schema()).invoke(self.NOTE)

    def test_in_a_fence_is_read(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        server.reply('```json\n{"subject": "x", "priority": 1}\n```')

        assert model.with_structured_output(Ticket).invoke(self.NOTE) == Ticket(subject="x", priority=1)

    def test_by_no_method_is_an_error(self, model: ChatOVHCloud) -> None:
        with pytest.raises(ValueError, match="json_schema, function_calling, json_mode; got 'json_scheme'"):
            model.with_structured_output(Ticket, method="json_scheme")

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_may_come_with_the_message(self, server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
        structured = model.with_structured_output(Ticket, method=method, include_raw=True)
        good = structured.invoke(self.NOTE)
        server.reply("no")
        bad = structured.invoke(self.NOTE)

        assert (good["parsed"], good["parsing_error"]) == (Ticket(subject="streams", priority=2), None)
        assert isinstance(good["raw"], AIMessage)
        assert (bad["parsed"], bad["raw"].content) == (None, "no")
        assert isinstance(bad["parsing_error"], OutputParserException)

    def test_asked_for_by_a_class_in_response_format(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        model.invoke(self.NOTE, response_format=Ticket)

        assert server.requests[-1].json["response_format"]["json_schema"]["name"] == "Ticket"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "ours", "cores"),
        [
            (400, service.BadRequestError, core.ModelInvalidRequestError),
            (409, service.BadRequestError, core.ModelInvalidRequestError),
            (403, service.PermissionDeniedError, core.ModelPermissionDeniedError),
            (404, service.NotFoundError, core.ModelNotFoundError),
            (413, service.PayloadTooLargeError, core.ModelInvalidRequestError),
            (429, service.RateLimitError, core.ModelRateLimitError),
            (500, service.InternalServerError, core.ModelAPIError),
        ],
    )
    def test_are_ours_and_cores(self, server: LocalEndpoints, call: Any, status: int, ours: Any, cores: Any) -> None:
        server.reply(status=status, headers={"x-request-id": "r-1"})

        with pytest.raises(ours) as caught:
            call(ChatOVHCloud(model="gpt-oss-120b", max_retries=0), "Hello")

        error = caught.value
        assert isinstance(error, cores)
        assert error.is_retryable == (status in {409, 429, 500})
        assert error.response.status_code == status
        assert error.response.json() == {"message": f"scripted status {status}"}
        assert error.request_id == "r-1"

    def test_context_overflow_is_cores(self, call: Any) -> None:
        with pytest.raises(core.ContextOverflowError) as caught:
            call(ChatOVHCloud(model="Qwen2.5-VL-72B-Instruct"), "x" * 140_000)

        assert isinstance(caught.value, service.ContextOverflowError)

    @pytest.mark.parametrize("streamed", [stream, astream])
    def test_stream_that_is_cut_raises_with_what_had_arrived(
        self, server: LocalEndpoints, model: ChatOVHCloud, streamed: Any
    ) -> None:
        server.reply(events=[{"choices": [{"delta": {"content": "half an"}}]}, CUT])

        with pytest.raises(service.StreamInterruptedError) as caught:
            streamed(model, "Hello")

        assert isinstance(caught.value, core.ModelConnectionError)
        assert caught.value.partial.text == "half an"

    def test_every_error_of_the_service_has_a_twin(self) -> None:
        errors = {value for name in service.__all__ if isinstance(value := getattr(service, name), type)}

        assert set(TWINS) == {error for error in errors if issubclass(error, service.OVHCloudError)}

    def test_errors_of_a_key_function_come_as_they_are(self) -> None:
        class ExpiredError(service.AuthenticationError):
            pass

        def key() -> str:
            raise ExpiredError("expired")

        with pytest.raises(core.ModelAuthenticationError, match="expired"):
            ChatOVHCloud(model="gpt-oss-120b", api_key=key).invoke("Hello")

    @pytest.mark.parametrize("kind", TWINS.values())
    def test_survive_pickling(self, kind: Any) -> None:
        error = kind("what happened")
        error.status = 503

        again = pickle.loads(pickle.dumps(error))

        assert type(again) is kind
        assert str(again) == str(error)

    def test_unknown_argument_of_a_call_is_told_before_a_request(
        self, server: LocalEndpoints, model: ChatOVHCloud, call: Any
    ) -> None:
        with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
            call(model.bind(temprature=1), "Hello")

        assert server.requests == []


class TestTheObject:
    def test_takes_key_from_the_environment_or_argument(self, server: LocalEndpoints) -> None:
        ChatOVHCloud(model="gpt-oss-120b").invoke("Hello")
        ChatOVHCloud(model="gpt-oss-120b", api_key="").invoke("Hello")

        assert [request.api_key for request in server.requests] == [server.api_key, None]

    def test_knows_its_model(self) -> None:
        profile = ChatOVHCloud(model="GPT-OSS-120b").profile

        assert profile is not None
        assert profile["max_input_tokens"] == 131_072
        assert profile["tool_calling"]
        assert not profile["image_inputs"]
        assert "structured_output" not in profile  # or create_agent would send it together with tools

    def test_knows_its_model_after_a_change(self) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b")
        copy = model.model_copy(update={"model": "Qwen3.6-27B"})
        configured = model.configurable_fields(model=ConfigurableField(id="model")).with_config(
            {"model": "Qwen3.6-27B"}
        )
        model.model = "Qwen3.6-27B"

        assert model.profile["max_input_tokens"] == copy.profile["max_input_tokens"] == 262_144
        assert configured.profile["max_input_tokens"] == 262_144

    def test_keeps_a_profile_that_was_given(self) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", profile={"max_input_tokens": 9})
        model.model = "Qwen3.6-27B"

        assert model.profile == {"max_input_tokens": 9}

    def test_allows_unknown_models(self) -> None:
        assert ChatOVHCloud(model="mistral@latest").profile is None

    def test_counts_tokens_without_a_tokenizer(self, model: ChatOVHCloud) -> None:
        assert model.get_num_tokens("four letters") == 3
        assert 0 < model.get_num_tokens_from_messages([HumanMessage("Hello")], tools=[get_weather]) < 200

    def test_shows_its_key_nowhere(self, server: LocalEndpoints) -> None:
        secret = "sk-hidden-7"
        model = ChatOVHCloud(model="gpt-oss-120b", api_key=secret, default_headers={"X-Key": secret})
        with pytest.raises(service.AuthenticationError) as caught:
            model.invoke("Hello")

        shown = [repr(model), str(model), dumps(model), str(model.model_dump()), str(caught.value), repr(caught.value)]
        assert server.requests[-1].api_key == secret
        assert not [text for text in shown if secret in text]

    def test_is_saved_and_loaded(self, server: LocalEndpoints) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, stop=["x"])

        again = load(
            json.loads(json.dumps(dumpd(model))),
            allowed_objects=[ChatOVHCloud],
            valid_namespaces=["langchain_ovhcloud"],
            secrets_map={"OVHCLOUD_API_KEY": server.api_key},
        )

        assert again == model

    def test_is_traced_as_what_it_is(self, model: ChatOVHCloud) -> None:
        params = model._get_ls_params(model="gpt-oss-20b", temperature=0.5)

        assert (params["ls_provider"], params["ls_model_name"]) == ("ovhcloud", "gpt-oss-20b")
        model = ChatOVHCloud(model="gpt-oss-120b", stop="X")

        assert model._get_ls_params()["ls_stop"] == ["X"]
        assert model._get_invocation_params()["stop"] == ["X"]
        assert model._get_invocation_params(stop=["Y"])["stop"] == ["Y"]

    def test_takes_stream_options_as_openais_class_does(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        list(model.stream("Hello", stream_options={"include_usage": True}))
        list(model.stream("Hello", stream_options={"include_usage": False}))

        assert [request.json.get("stream_options") for request in server.requests] == [{"include_usage": True}, None]

    def test_tells_handlers_each_token_once(self, server: LocalEndpoints) -> None:
        class Tokens(BaseCallbackHandler):
            def __init__(self) -> None:
                self.seen: list[str] = []

            def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
                self.seen.append(token)

        server.reply("one two three", times=2)
        for ask, arguments in ((invoke, {"streaming": True}), (stream, {})):
            handler = Tokens()
            message = ask(ChatOVHCloud(model="gpt-oss-120b", callbacks=[handler], **arguments), "Hello")
            assert "".join(handler.seen) == message.content

    def test_works_again_in_each_loop(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        for _ in range(3):
            asyncio.run(model.ainvoke("Hello"))

        assert len(server.requests) == 3
