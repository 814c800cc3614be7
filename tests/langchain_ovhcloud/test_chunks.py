"""How chunks add up: what core's merging makes of what a server may send."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_ovhcloud import ChatOVHCloud
from langchain_ovhcloud._results import KNOWS_REFUSALS, chunk, last_chunks
from ovhcloud_ai_endpoints import InvalidResponseError
from ovhcloud_ai_endpoints._chat.reply import Reply
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._values import Exchange
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
]
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
FINISH = {"id": "c", "model": "served", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def event(delta: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": rest.pop("finish", None)}]
    return {"id": "c", "model": "served", "choices": choices, **rest}


def piece(arguments: Any, *, index: int | None = 0, **rest: Any) -> dict[str, Any]:
    name = {"name": rest.pop("name")} if "name" in rest else {}
    place = {} if index is None else {"index": index}
    return event({"tool_calls": [{**place, **rest, "function": {**name, "arguments": arguments}}]})


@pytest.fixture(params=["v0", "v1"])
def model(request: pytest.FixtureRequest) -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b", output_version=request.param)


def chunks(server: LocalEndpoints, model: ChatOVHCloud, *events: Any) -> list[AIMessageChunk]:
    server.reply(events=[*events, "[DONE]"])
    return list(model.stream("Hello"))


def streamed(arguments: str) -> AIMessageChunk:
    """The message of a stream with one tool call."""
    reply = Reply(ChatRequest({}))
    data = f"data: {json.dumps(piece(arguments, id='a', name='f'))}\n\ndata: [DONE]\n\n".encode()
    pieces = [chunk(delta) for delta in [*reply.feed(data), *reply.end()]]
    return add_ai_message_chunks(*[part.message for part in [*pieces, *last_chunks(reply.result(Exchange()))]])


def whole(server: LocalEndpoints, model: ChatOVHCloud, *events: Any) -> AIMessageChunk:
    return add_ai_message_chunks(*chunks(server, model, *events))


class TestMetadata:
    def test_names_that_are_repeated_stand_once(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(
            server,
            model,
            event({"content": "a"}, finish="stop", system_fingerprint="f"),
            event({"content": ""}, finish="stop", system_fingerprint="f"),
        )

        metadata = message.response_metadata
        assert (metadata["model_name"], metadata["finish_reason"], metadata["system_fingerprint"]) == (
            "served",
            "stop",
            "f",
        )
        assert metadata["model_provider"] == "ovhcloud"

    @pytest.mark.parametrize(
        "events",
        [
            [event({"content": "a"}), FINISH, event(usage=USAGE)],
            [event({"content": "a"}, usage={**USAGE, "completion_tokens": 1}), {**FINISH, "usage": USAGE}],
            [event({"content": "a"}, finish="stop", usage=USAGE)],
        ],
        ids=["at the end", "as running totals", "with the text"],
    )
    def test_usage_is_the_last_that_was_said(self, server: LocalEndpoints, model: ChatOVHCloud, events: Any) -> None:
        found = chunks(server, model, *events)

        assert [chunk.usage_metadata for chunk in found if chunk.usage_metadata] == [
            {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
        ]

    @pytest.mark.parametrize(
        "details", [{"completion_tokens_details": None}, {"prompt_tokens_details": {"cached_tokens": None}}]
    )
    def test_details_that_are_null_are_left_out(
        self, server: LocalEndpoints, model: ChatOVHCloud, details: Any
    ) -> None:
        message = whole(server, model, event({"content": "a"}), {**FINISH, "usage": {**USAGE, **details}})

        assert message.usage_metadata == {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}

    def test_no_usage_is_none(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        assert whole(server, model, event({"content": "a"}), FINISH).usage_metadata is None

    def test_only_the_very_last_chunk_is_the_last(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        found = chunks(server, model, event({"content": "a"}), FINISH, event(usage=USAGE))

        assert [chunk.chunk_position for chunk in found] == [None] * (len(found) - 1) + ["last"]

    def test_id_is_the_first(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        found = chunks(server, model, event({"content": "a"}), {**FINISH, "id": "other"})

        assert {chunk.id for chunk in found} == {"c"}

    def test_id_that_is_missing_is_made_up(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(server, model, {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})

        assert message.id
        assert message.id.startswith("lc_run-")

    def test_stream_of_nothing_is_a_typed_error(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        with pytest.raises(InvalidResponseError):
            chunks(server, model)

    def test_stream_without_text_has_a_last_chunk(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        assert [chunk.chunk_position for chunk in chunks(server, model, FINISH)] == ["last"]


class TestToolCalls:
    @pytest.mark.parametrize("later", [{}, {"id": None}, {"id": ""}, {"id": "a"}, {"id": "b"}])
    def test_pieces_become_one_call_whatever_their_ids(
        self, server: LocalEndpoints, model: ChatOVHCloud, later: dict[str, Any]
    ) -> None:
        message = whole(server, model, piece("{", id="a", name="f"), piece('"x": 1}', **later), FINISH)

        assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [("a", "f", {"x": 1})]

    def test_names_that_are_repeated_are_not_doubled(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(server, model, piece("{", id="a", name="f"), piece("}", id="a", name="f"), FINISH)

        assert [call["name"] for call in message.tool_calls] == ["f"]

    def test_pieces_without_index_become_one_call(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(server, model, piece("{", id="a", name="f", index=None), piece("}", index=None), FINISH)

        assert [call["args"] for call in message.tool_calls] == [{}]

    @pytest.mark.parametrize("arguments", [None, "", " ", "null", "{}"])
    def test_no_arguments_are_an_empty_object(
        self, server: LocalEndpoints, model: ChatOVHCloud, arguments: str | None
    ) -> None:
        streamed = whole(server, model, piece(arguments, id="a", name="f"), FINISH)
        server.reply(tool_calls=[("f", arguments or "", "a")])
        invoked = model.invoke("Hello")

        assert [call["args"] for call in streamed.tool_calls] == [call["args"] for call in invoked.tool_calls] == [{}]
        assert streamed.invalid_tool_calls == invoked.invalid_tool_calls == []

    @pytest.mark.parametrize("arguments", ['{"text": "one\ntwo\tthree"}', '{"x": "\\ud83d"}'])
    def test_strings_that_are_not_quite_json_are_read(
        self, server: LocalEndpoints, model: ChatOVHCloud, arguments: str
    ) -> None:
        streamed_message = whole(server, model, piece(arguments, id="a", name="f"), FINISH)
        server.reply(tool_calls=[("f", arguments, "a")])
        invoked = model.invoke("Hello")
        model.invoke([HumanMessage("Hello"), invoked, ToolMessage("1", tool_call_id="a")])

        wanted = json.loads(arguments.replace("d83d", "fffd"), strict=False)
        assert streamed_message.tool_calls[0]["args"] == invoked.tool_calls[0]["args"] == wanted
        sent = server.requests[-1].json["messages"][1]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(sent) == wanted

    @pytest.mark.parametrize("arguments", ["[1]", "5", "nul", '"{}"', '{"x": ', "nonsense"])
    def test_arguments_that_are_no_object_are_invalid_in_events_of_version_3(
        self, server: LocalEndpoints, arguments: str
    ) -> None:
        server.reply(events=[piece(arguments, id="a", name="f"), FINISH, "[DONE]"])

        output = ChatOVHCloud(model="gpt-oss-120b").stream_events("Hello", version="v3").output

        assert output.tool_calls == []
        assert output.invalid_tool_calls[0]["args"].startswith(arguments)

    @pytest.mark.parametrize("arguments", ["[1]", "5", "nul", '{"x": ', "nonsense"])
    def test_arguments_that_are_no_object_are_invalid_everywhere(
        self, server: LocalEndpoints, model: ChatOVHCloud, arguments: str
    ) -> None:
        streamed = whole(
            server,
            model,
            piece(arguments, id="a", name="f"),
            {**FINISH, "choices": [{"delta": {}, "finish_reason": "length"}]},
        )
        server.reply(tool_calls=[("f", arguments, "a")])
        invoked = model.invoke("Hello")

        assert streamed.tool_calls == invoked.tool_calls == []
        assert streamed.invalid_tool_calls[0]["args"].startswith(arguments)
        assert [call["args"] for call in invoked.invalid_tool_calls] == [arguments]

    @given(
        st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.integers() | st.lists(st.text(max_size=3))),
        st.data(),
    )
    def test_any_part_of_arguments_is_invalid_and_the_whole_is_not(
        self, arguments: dict[str, Any], data: st.DataObject
    ) -> None:
        text = json.dumps(arguments, ensure_ascii=data.draw(st.booleans()))
        cut = text[: data.draw(st.integers(1, len(text) - 1))]

        assert streamed(cut).tool_calls == []
        assert streamed(cut).invalid_tool_calls[0]["args"].startswith(cut)
        assert streamed(text).tool_calls[0]["args"] == arguments

    def test_parallel_calls_are_kept_apart(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(
            server,
            model,
            piece("{", id="a", name="f", index=0),
            piece("{", id="b", name="g", index=1),
            piece("}", index=0),
            piece("}", index=1),
            FINISH,
        )

        assert [(call["id"], call["name"]) for call in message.tool_calls] == [("a", "f"), ("b", "g")]

    def test_missing_id_is_made_up(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(server, model, piece("{}", name="f"), FINISH)

        assert message.tool_calls[0]["id"]


class TestContent:
    def test_null_is_empty(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        assert whole(server, model, event({"content": None}), FINISH).text == ""

    def test_list_of_parts_is_text(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(
            server, model, event({"content": [{"type": "text", "text": "a"}]}), event({"content": "b"}), FINISH
        )

        assert message.text == "ab"

    @pytest.mark.parametrize(
        ("events", "kinds"),
        [
            ([event({"reasoning": "hm", "content": "a"})], ["reasoning", "text"]),
            ([event({"reasoning": "hm"}), piece("{}", id="a", name="f")], ["reasoning", "tool_call"]),
            ([event({"content": "a"}), event({"reasoning": "hm"}), event({"content": "b"})], ["reasoning", "text"]),
            ([event({"reasoning": "hm"})], ["reasoning"]),
            ([event({"content": "a"}), piece("{}", id="a", name="f")], ["text", "tool_call"]),
        ],
    )
    def test_parts_of_each_kind_are_one_block(
        self, server: LocalEndpoints, model: ChatOVHCloud, events: Any, kinds: list[str]
    ) -> None:
        message = whole(server, model, *events, FINISH)

        assert sorted(block["type"] for block in message.content_blocks) == sorted(kinds)
        if "tool_call" in kinds:
            assert [call["name"] for call in message.tool_calls] == ["f"]

    def test_refusal_is_kept(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        message = whole(server, model, event({"refusal": "I "}), event({"refusal": "won't"}), FINISH)

        if KNOWS_REFUSALS:
            assert {"type": "refusal", "refusal": "I won't"} in [
                {key: block[key] for key in block if key != "index"} for block in message.content_blocks
            ]
        elif model.output_version != "v1":
            assert message.additional_kwargs["refusal"] == "I won't"


class TestEventsOfVersion3:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_keep_reasoning_text_and_calls_apart(self, server: LocalEndpoints, is_async: bool) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b")
        server.reply("Hello you", reasoning="They greet", tool_calls=[("f", {"x": 1}, "a"), ("g", {}, "b")], times=2)

        async def read() -> tuple[list[Any], AIMessage]:
            stream = await model.astream_events("Hello", version="v3")
            return [event async for event in stream], await stream.output

        if is_async:
            events, output = asyncio.run(read())
        else:
            stream = model.stream_events("Hello", version="v3")
            events, output = list(stream), stream.output

        assert_valid_event_stream(events)
        assert [block["type"] for block in output.content_blocks] == ["reasoning", "text", "tool_call", "tool_call"]
        assert output.text == "Hello you"
        assert [call["args"] for call in output.tool_calls] == [{"x": 1}, {}]
