import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.prompts.default_prompt_selectors import DEFAULT_TEXT_QA_PROMPT_SEL
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

import ovhcloud_ai_endpoints as service
from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "completion_tokens_details": {"reasoning_tokens": 3},
}
MODES: dict[str, Callable[[ChatOVHCloud, list[ChatMessage]], ChatResponse]] = {}


def mode(function: Callable[[Any, Any], ChatResponse]) -> Callable[[Any, Any], ChatResponse]:
    MODES[function.__name__] = function
    return function


@mode
def chat(llm: ChatOVHCloud, messages: Any, **kwargs: Any) -> ChatResponse:
    return llm.chat(messages, **kwargs)


@mode
def achat(llm: ChatOVHCloud, messages: Any, **kwargs: Any) -> ChatResponse:
    return asyncio.run(llm.achat(messages, **kwargs))


@mode
def stream_chat(llm: ChatOVHCloud, messages: Any, **kwargs: Any) -> ChatResponse:
    return checked(list(llm.stream_chat(messages, **kwargs)))


@mode
def astream_chat(llm: ChatOVHCloud, messages: Any, **kwargs: Any) -> ChatResponse:
    async def main() -> list[ChatResponse]:
        return [response async for response in await llm.astream_chat(messages, **kwargs)]

    return checked(asyncio.run(main()))


def checked(responses: list[ChatResponse]) -> ChatResponse:
    """The last response, in which all before it is contained."""
    last = responses[-1]
    text = last.message.content or ""
    thinking = "".join(response.additional_kwargs.get("thinking_delta", "") for response in responses)
    assert "".join(response.delta or "" for response in responses) == text
    assert all(text.startswith(response.message.content or "") for response in responses)
    assert thinking == "".join(block.content for block in last.message.blocks if isinstance(block, ThinkingBlock))
    return last


@pytest.fixture(params=MODES)
def call(request: pytest.FixtureRequest) -> Callable[..., ChatResponse]:
    return MODES[request.param]


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


HELLO = [ChatMessage("Hello")]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int


class TestAnswers:
    def test_hold_text_reasoning_usage_and_where_they_come_from(
        self, server: LocalEndpoints, llm: ChatOVHCloud, call: Any
    ) -> None:
        server.reply("Hello you", reasoning="They greet", usage=USAGE, headers={"x-request-id": "r-1"})

        response = call(llm, HELLO)

        assert response.message.blocks == [
            ThinkingBlock(content="They greet", num_tokens=3),
            TextBlock(text="Hello you"),
        ]
        assert response.raw["usage"] == USAGE
        assert response.raw["choices"][0]["finish_reason"] == "stop"
        assert response.raw["model"] == "gpt-oss-120b"
        assert response.additional_kwargs["completion_tokens"] == 7
        assert response.additional_kwargs["request_id"] == "r-1"
        assert response.additional_kwargs["attempts"] == 1

    def test_hold_tool_calls_in_both_places(self, server: LocalEndpoints, llm: ChatOVHCloud, call: Any) -> None:
        server.reply(tool_calls=[("f", {"x": 1}, "id1"), ("g", "", "id2")])

        message = call(llm, HELLO).message

        assert [
            (block.tool_name, block.tool_kwargs) for block in message.blocks if isinstance(block, ToolCallBlock)
        ] == [
            ("f", {"x": 1}),
            ("g", {}),
        ]
        assert [(call["id"], call["function"]["arguments"]) for call in message.additional_kwargs["tool_calls"]] == [
            ("id1", '{"x": 1}'),
            ("id2", "{}"),
        ]

    def test_hold_what_was_said_and_that_it_was_refused(
        self, server: LocalEndpoints, llm: ChatOVHCloud, call: Any
    ) -> None:
        message = {"role": "assistant", "content": "Sorry. ", "refusal": "I won't."}
        choice = {"index": 0, "message": message, "delta": message, "finish_reason": "stop"}
        said = {"id": "c", "model": "m", "choices": [choice]}
        if "stream" in call.__name__:
            server.reply(events=[said, "[DONE]"])
        else:
            server.reply(body=said)

        assert call(llm, HELLO).message.content == "Sorry. I won't."

    def test_are_counted_exactly_and_once(self, server: LocalEndpoints, call: Any) -> None:
        counter = TokenCountingHandler()
        server.reply("Hi", usage=USAGE)

        call(ChatOVHCloud(model="gpt-oss-120b", callback_manager=CallbackManager([counter])), HELLO)

        assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (10, 7)
        assert len(counter.llm_token_counts) == 1

    def test_have_logprobs(self, llm: ChatOVHCloud, call: Any) -> None:
        response = call(llm, HELLO, logprobs=True, reasoning_effort="low")

        assert response.logprobs
        assert "".join(choices[0].token for choices in response.logprobs) == response.message.content

    def test_to_a_prompt_are_texts(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("Hi", times=4)

        async def last() -> str:
            return [part async for part in await llm.astream_complete("Hello")][-1].text

        assert llm.complete("Hello").text == "Hi"
        assert asyncio.run(llm.acomplete("Hello")).text == "Hi"
        assert list(llm.stream_complete("Hello"))[-1].text == "Hi"
        assert asyncio.run(last()) == "Hi"
        assert {str(request.json["messages"]) for request in server.requests} == {
            str([{"role": "user", "content": "Hello"}])
        }

    def test_to_a_prompt_are_counted_once(self, server: LocalEndpoints) -> None:
        counter = TokenCountingHandler()
        server.reply("Hi", usage=USAGE)

        ChatOVHCloud(model="gpt-oss-120b", callback_manager=CallbackManager([counter])).complete("Hello")

        assert counter.total_llm_token_count == 17


class TestTools:
    TOOL = FunctionTool.from_defaults(get_weather)

    def test_are_called_and_the_history_is_left_alone(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        history = [ChatMessage("Be brief", role="system")]

        response = llm.chat_with_tools([self.TOOL], "What is the weather in Paris?", chat_history=history)

        selection = llm.get_tool_calls_from_response(response)[0]
        assert (selection.tool_name, selection.tool_kwargs) == ("get_weather", {"city": "Paris"})
        assert len(history) == 1
        assert [message["role"] for message in server.requests[-1].json["messages"]] == ["system", "user"]

    @pytest.mark.parametrize(
        ("arguments", "sent"),
        [
            ({}, None),
            ({"tool_required": True}, "required"),
            ({"tool_choice": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
            ({"tool_choice": "none"}, "none"),
        ],
    )
    def test_may_be_required(self, server: LocalEndpoints, llm: ChatOVHCloud, arguments: Any, sent: Any) -> None:
        llm.chat_with_tools([self.TOOL], ChatMessage("Hello"), **arguments)

        assert server.requests[-1].json.get("tool_choice") == sent

    def test_several_calls_become_one_unless_wanted(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", {}), ("get_weather", {})], times=2)

        one = llm.chat_with_tools([self.TOOL], "Hello")
        both = llm.chat_with_tools([self.TOOL], "Hello", allow_parallel_tool_calls=True)

        assert len(llm.get_tool_calls_from_response(one)) == len(one.message.additional_kwargs["tool_calls"]) == 1
        assert len(llm.get_tool_calls_from_response(both)) == 2

    @pytest.mark.parametrize("allowed", [False, True])
    def test_agent_runs_several_calls_only_if_allowed(
        self, server: LocalEndpoints, llm: ChatOVHCloud, allowed: bool
    ) -> None:
        ran = []

        def note(text: str) -> str:
            """Note a text."""
            ran.append(text)
            return "noted"

        server.reply(tool_calls=[("note", {"text": "a"}), ("note", {"text": "b"})])

        async def main() -> None:
            await FunctionAgent(tools=[note], llm=llm, allow_parallel_tool_calls=allowed).run("Note it.")

        asyncio.run(main())

        assert sorted(ran) == (["a", "b"] if allowed else ["a"])

    def test_agent_survives_a_call_that_was_cut(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", '{"city": "Par')], finish_reason="length")
        server.reply("Sorry")

        async def main() -> str:
            return str(await FunctionAgent(tools=[get_weather], llm=llm).run("What is the weather in Paris?"))

        assert asyncio.run(main()) == "Sorry"
        history = server.requests[-1].json["messages"]
        assert "missing" in history[-1]["content"]
        assert json.loads(history[-2]["tool_calls"][0]["function"]["arguments"]) == {
            "invalid_arguments": '{"city": "Par'
        }

    def test_answer_without_a_call_is_an_error_unless_allowed(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("I know it")
        response = llm.chat_with_tools([self.TOOL], "Hello")

        with pytest.raises(ValueError, match=r"at least one tool call.*I know it"):
            llm.get_tool_calls_from_response(response)
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    def test_arguments_can_be_read_while_they_come(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "San Francisco of the West"})])

        seen = [
            llm.get_tool_calls_from_response(response)[0].tool_kwargs
            for response in llm.stream_chat_with_tools([self.TOOL], "Hello")
            if llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        ]

        assert {} in seen
        assert {"city": "San Francisco"} in seen
        assert seen[-1] == {"city": "San Francisco of the West"}

    def test_agent_thinks_calls_and_goes_on(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        async def main() -> tuple[str, str]:
            run = FunctionAgent(tools=[get_weather], llm=llm).run("What is the weather in Paris?")
            thoughts = [
                event.thinking_delta or "" async for event in run.stream_events() if isinstance(event, AgentStream)
            ]
            return str(await run), "".join(thoughts)

        answer, thoughts = asyncio.run(main())

        assert answer == "The tool says: Sunny in Paris"
        assert "get_weather" in thoughts
        assert len(server.requests) == 2
        assert server.requests[-1].json["messages"][-2]["reasoning"]


class TestStructuredOutput:
    PROMPT = PromptTemplate("{note}")
    NOTE = "The subject is streams. The priority is 2."

    def test_is_asked_for_as_a_schema(self, server: LocalEndpoints) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", system_prompt="Be exact")
        wanted = Ticket(subject="streams", priority=2)

        assert llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE) == wanted
        assert asyncio.run(llm.astructured_predict(Ticket, self.PROMPT, note=self.NOTE)) == wanted
        for request in server.requests:
            assert request.json["response_format"]["json_schema"]["name"] == "Ticket"
            assert request.json["messages"][0] == {"role": "system", "content": "Be exact"}

    def test_prompt_is_the_one_for_chat_models(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        llm.structured_predict(Ticket, DEFAULT_TEXT_QA_PROMPT_SEL, context_str=self.NOTE, query_str="Which?")

        assert [message["role"] for message in server.requests[-1].json["messages"]] == ["system", "user"]

    def test_is_asked_for_as_a_tool_when_wanted(self, server: LocalEndpoints) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=PydanticProgramMode.FUNCTION)

        assert llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE) == Ticket(subject="streams", priority=2)
        assert "response_format" not in server.requests[-1].json
        assert server.requests[-1].json["tools"][0]["function"]["name"] == "Ticket"

    def test_streams_in_parts_that_end_in_the_class(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        async def parts() -> list[Any]:
            return [part async for part in await llm.astream_structured_predict(Ticket, self.PROMPT, note=self.NOTE)]

        for found in (list(llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE)), asyncio.run(parts())):
            assert found[-1] == Ticket(subject="streams", priority=2)
            assert found[0].priority is None
        assert all("response_format" in request.json for request in server.requests)

    def test_stream_that_fails_raises(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply('{"subject": "str', finish_reason="length")

        with pytest.raises(ValueError, match="cut at max_tokens"):
            list(llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE))

    def test_that_fails_raises_with_the_text(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("I would rather not")

        with pytest.raises(ValueError, match=r"(?s)no Ticket.*I would rather not"):
            llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(403, service.PermissionDeniedError), (404, service.NotFoundError), (429, service.RateLimitError)],
    )
    def test_are_the_services(self, server: LocalEndpoints, call: Any, status: int, kind: Any) -> None:
        server.reply(status=status)

        with pytest.raises(kind):
            call(ChatOVHCloud(model="gpt-oss-120b", max_retries=0), HELLO)

        assert len(server.requests) == 1

    @pytest.mark.parametrize("streamed", [stream_chat, astream_chat])
    def test_stream_that_is_cut_raises(self, server: LocalEndpoints, llm: ChatOVHCloud, streamed: Any) -> None:
        server.reply(events=[{"choices": [{"delta": {"content": "half an"}}]}, CUT])

        with pytest.raises(service.StreamInterruptedError) as caught:
            streamed(llm, HELLO)

        assert caught.value.partial.text == "half an"


class TestTheObject:
    def test_knows_its_model(self) -> None:
        metadata = ChatOVHCloud(model="GPT-OSS-120b", max_tokens=500).metadata

        assert (metadata.context_window, metadata.num_output) == (131_072, 500)
        assert metadata.is_function_calling_model
        assert metadata.is_chat_model

    def test_is_careful_with_unknown_models_unless_told(self) -> None:
        careful = ChatOVHCloud(model="new").metadata
        told = ChatOVHCloud(model="new", context_window=9_000, is_function_calling_model=True).metadata

        assert (careful.context_window, careful.is_function_calling_model) == (3_900, False)
        assert (told.context_window, told.is_function_calling_model) == (9_000, True)

    def test_is_saved_and_loaded(self) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, timeout=service.Timeouts(idle=5), max_retries=5)

        assert ChatOVHCloud.from_dict(llm.to_dict()).to_dict() == llm.to_dict()
        assert ChatOVHCloud(**llm.model_dump()).to_dict() == llm.to_dict()

    def test_shows_its_key_nowhere(self, server: LocalEndpoints) -> None:
        secret = "sk-hidden-7"
        llm = ChatOVHCloud(model="gpt-oss-120b", api_key=secret, default_headers={"X-Key": secret})
        with pytest.raises(service.AuthenticationError) as caught:
            llm.complete("Hello")

        shown = [repr(llm), str(llm), llm.to_json(), str(llm.to_dict()), str(llm.to_payload()), str(caught.value)]
        assert server.requests[-1].api_key == secret
        assert not [text for text in shown if secret in text]

    def test_misspelt_argument_names_the_nearest(self) -> None:
        with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
            ChatOVHCloud(model="m", temprature=1)

    def test_works_again_in_each_loop(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        for _ in range(3):
            asyncio.run(llm.achat(HELLO))

        assert len(server.requests) == 3


def test_index_is_asked(server: LocalEndpoints, llm: ChatOVHCloud) -> None:
    nodes = [TextNode(text="The cat sat on the mat."), TextNode(text="A stream that is cut raises an error.")]
    index = VectorStoreIndex(nodes, embed_model=OVHCloudEmbeddings())

    answer = index.as_query_engine(llm=llm, similarity_top_k=1).query("What does a stream raise that is cut?")

    assert str(answer) == "A stream that is cut raises an error."
