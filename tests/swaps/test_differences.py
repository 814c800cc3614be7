"""What people's code does after constructing: where ours differs from the other package, and what a user sees."""

from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints import AuthenticationError, StreamInterruptedError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(120)  # the other packages take seconds to import

OPENAI = """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="gpt-oss-120b", base_url={url!r}, api_key={key!r}, max_retries=0)
"""
LIKE = """
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
llm = OpenAILike(model="gpt-oss-120b", api_base={url!r}, api_key={key!r}, max_retries=0, is_chat_model=True)
"""


@pytest.fixture
def model(server: LocalEndpoints) -> lc.ChatOVHCloud:
    return lc.ChatOVHCloud(model="gpt-oss-120b", base_url=server.base_url, api_key=server.api_key, max_retries=0)


@pytest.fixture
def llm(server: LocalEndpoints) -> li.ChatOVHCloud:
    return li.ChatOVHCloud(model="gpt-oss-120b", api_base=server.base_url, api_key=server.api_key, max_retries=0)


def of_peer(run: Any, server: LocalEndpoints, head: str, code: str) -> str:
    """The last line that the other package's code prints."""
    ran = run(head.format(url=server.base_url, key=server.api_key) + code)
    assert ran.code == 0, ran.errors
    return str(ran.lines[-1])


class TestBetter:
    def test_reasoning_is_kept(self, server: LocalEndpoints, run: Any, model: lc.ChatOVHCloud) -> None:
        server.reply("Rome.", reasoning="It is in Italy.", times=2)

        kept = [block["type"] for block in model.invoke("Where?").content_blocks]
        peers = of_peer(run, server, OPENAI, "print([b['type'] for b in llm.invoke('Where?').content_blocks])")

        assert (kept, peers) == (["reasoning", "text"], "['text']")

    def test_unfinished_stream_is_an_error(self, server: LocalEndpoints, run: Any, model: lc.ChatOVHCloud) -> None:
        server.fail("stream-unfinished", times=2)

        with pytest.raises(StreamInterruptedError):
            [*model.stream("Where?")]
        peers = of_peer(run, server, OPENAI, "print(''.join(chunk.content for chunk in llm.stream('Where?')))")

        assert peers == "Half of it"

    def test_wrong_key_is_an_authentication_error(self, server: LocalEndpoints) -> None:
        with pytest.raises(AuthenticationError):
            lc.ChatOVHCloud(model="gpt-oss-120b", base_url=server.base_url, api_key="x").invoke("Hello")


class TestDifferent:
    """Needs another line in the user's code."""

    @pytest.mark.parametrize(
        "name",
        ["openai_api_key", "openai_api_base", "request_timeout", "root_client", "client", "api_base", "endpoint"],
    )
    def test_attributes_of_other_chat_models_are_missing(self, model: lc.ChatOVHCloud, name: str) -> None:
        with pytest.raises(AttributeError, match=f"'ChatOVHCloud' object has no attribute '{name}'"):
            getattr(model, name)

    @pytest.mark.parametrize("name", ["api_base", "additional_kwargs", "is_chat_model", "available_models"])
    def test_attributes_of_other_llms_are_missing(self, llm: li.ChatOVHCloud, name: str) -> None:
        with pytest.raises(AttributeError, match=f"'ChatOVHCloud' object has no attribute '{name}'"):
            getattr(llm, name)

    def test_raw_answer_is_a_dict_and_no_object_of_openai(
        self, server: LocalEndpoints, run: Any, llm: li.ChatOVHCloud
    ) -> None:
        server.reply("Rome.", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, times=2)

        raw = llm.chat([ChatMessage("Where?")]).raw
        peers = of_peer(run, server, LIKE, "print(llm.chat([ChatMessage('Where?')]).raw.usage.total_tokens)")

        assert (raw["usage"]["total_tokens"], peers) == (3, "3")
        with pytest.raises(AttributeError, match="'dict' object has no attribute 'usage'"):
            raw.usage  # noqa: B018 - as people write it

    def test_raw_tool_calls_are_dicts(self, llm: li.ChatOVHCloud) -> None:
        def get_weather(city: str) -> str:
            return city

        response = llm.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg="Weather in Paris?")

        (call,) = response.message.additional_kwargs["tool_calls"]
        assert call["function"]["name"] == "get_weather"

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"timeout": 3}, "Set 'timeout' when creating ChatOVHCloud; a call can't change it"),
            ({"extra_headers": {"a": "b"}}, "Pass headers as default_headers= when creating the model"),
            ({"functions": []}, "The service does not accept 'functions'"),
        ],
    )
    def test_arguments_of_a_call_are_refused_with_a_reason(
        self, server: LocalEndpoints, model: lc.ChatOVHCloud, arguments: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(TypeError, match=says):
            model.invoke("Hello", **arguments)

        assert server.requests == []

    def test_no_temperature_is_sent_that_was_not_set(
        self, server: LocalEndpoints, run: Any, llm: li.ChatOVHCloud
    ) -> None:
        llm.complete("Hello")
        assert of_peer(run, server, LIKE, "print(llm.complete('Hello').text != '')") == "True"

        ours, peers = (request.json for request in server.requests)
        assert ("temperature" in ours, peers["temperature"]) == (False, 0.1)


class TestTheSame:
    """As with ChatOpenAI, or OpenAILike."""

    def test_reasoning_is_kept_as_blocks(self, server: LocalEndpoints, run: Any, llm: li.ChatOVHCloud) -> None:
        server.reply("Rome.", reasoning="It is in Italy.", times=2)
        code = "print([b.block_type for b in llm.chat([ChatMessage('Where?')]).message.blocks])"

        blocks = [block.block_type for block in llm.chat([ChatMessage("Where?")]).message.blocks]

        assert of_peer(run, server, LIKE, code) == str(blocks) == "['thinking', 'text']"

    def test_json_mode_needs_no_schema(self, model: lc.ChatOVHCloud) -> None:
        structured = model.with_structured_output(None, method="json_mode")

        assert structured.invoke("Answer in JSON with the key 'city'. The city is Rome.") == {"city": "Rome"}

    def test_stream_options_of_a_call_ask_for_the_usage(self, model: lc.ChatOVHCloud) -> None:
        chunks = [*model.stream("Hello", stream_options={"include_usage": True})]

        assert chunks[-1].usage_metadata is not None

    def test_tool_choice_may_be_in_openais_form(self, model: lc.ChatOVHCloud) -> None:
        def get_weather(city: str) -> str:
            """The weather in a city."""
            return city

        choice = {"type": "function", "function": {"name": "get_weather"}}

        answer = model.bind_tools([get_weather], tool_choice=choice).invoke("The city is Rome")
        assert answer.tool_calls[0]["args"] == {"city": "Rome"}

    def test_call_may_name_user_and_model(self, server: LocalEndpoints, model: lc.ChatOVHCloud) -> None:
        with pytest.warns(UserWarning, match="ignores 'user'"):
            answer = model.invoke("Hello", user="me", model="gpt-oss-20b", max_completion_tokens=99)

        assert answer.response_metadata["model_name"] == "gpt-oss-20b"
        assert server.requests[-1].json["max_tokens"] == 99
