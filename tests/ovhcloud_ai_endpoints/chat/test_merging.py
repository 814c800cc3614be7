"""Events of a stream that arrive together."""

import asyncio
import json
from typing import Any, Literal

import pytest

from langchain_ovhcloud import ChatOVHCloud
from llama_index_ovhcloud import ChatOVHCloud as LlamaChatOVHCloud
from ovhcloud_ai_endpoints import OVHCloudError
from ovhcloud_ai_endpoints._chat.reply import LONGEST_DELTA, Reply
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._values import Delta, ToolCallDelta
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

DONE = b"data: [DONE]\n\n"


def event(delta: dict[str, Any], **rest: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **rest}
    return f"data: {json.dumps({'id': 'c', 'model': 'm', 'choices': [choice]})}\n\n".encode()


def text(said: str) -> bytes:
    return event({"content": said})


BEGIN = event({"role": "assistant", "content": ""})
END = event({}, finish_reason="stop") + DONE


def deltas(data: bytes, *, merge_deltas: bool = True) -> list[Delta]:
    reply = Reply(ChatRequest({"model": "m"}, merge_deltas=merge_deltas))
    return [delta for piece in (BEGIN, data) for delta in reply.feed(piece) if delta]


class TestReply:
    def test_texts_are_one_delta(self) -> None:
        assert deltas(text("a") + text("b") + text("c")) == [Delta("abc")]

    def test_texts_are_a_delta_each_without_merging(self) -> None:
        assert deltas(text("a") + text("b"), merge_deltas=False) == [Delta("a"), Delta("b")]

    def test_first_event_stands_alone(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}, merge_deltas=True))

        assert list(reply.feed(text("a") + text("b") + text("c"))) == [Delta("a"), Delta("bc")]

    def test_kinds_are_kept_apart(self) -> None:
        thought = event({"reasoning": "r"})

        assert deltas(thought + thought + text("a") + thought + text("b")) == [
            Delta(reasoning="rr"),
            Delta("a"),
            Delta(reasoning="r"),
            Delta("b"),
        ]

    @pytest.mark.parametrize("merges", [True, False])
    def test_reasoning_in_the_text_is_kept_apart_from_it(self, merges: bool) -> None:
        pieces = ["<think>a", "b</think>", "Hello"] if merges else ["<think>ab</think>Hello"]
        data = b"".join(map(text, pieces))

        assert deltas(data, merge_deltas=merges) == [Delta(reasoning="ab"), Delta("Hello")]

    def test_pieces_of_arguments_are_one_delta_for_each_call(self) -> None:
        def piece(index: int, arguments: str, **more: Any) -> bytes:
            return event({"tool_calls": [{"index": index, "function": {"arguments": arguments, **more}}]})

        data = piece(0, "", name="f") + piece(0, '{"x"') + piece(0, ": 1}") + piece(1, "", name="g") + piece(1, "{}")

        pieces = [delta.tool_calls for delta in deltas(data)]

        assert [(piece.index, piece.name, piece.arguments) for (piece,) in pieces] == [
            (0, "f", ""),
            (0, None, '{"x": 1}'),
            (1, "g", ""),
            (1, None, "{}"),
        ]
        assert isinstance(pieces[0][0], ToolCallDelta)

    def test_log_probabilities_are_not_merged(self) -> None:
        odds = {"content": [{"token": "a", "logprob": -1.0}]}
        data = event({"content": "a"}, logprobs=odds) * 2 + text("b") + text("c")

        assert [(delta.text, bool(delta.logprobs)) for delta in deltas(data)] == [
            ("a", True),
            ("a", True),
            ("bc", False),
        ]

    @pytest.mark.parametrize(
        ("other", "found"), [({"usage": {"prompt_tokens": 1}}, ["a", "b", "c"]), ({"choices": []}, ["a", "c"])]
    )
    def test_what_says_more_than_text_is_kept_apart(self, other: dict[str, Any], found: list[str]) -> None:
        value = {"choices": [{"index": 0, "delta": {"content": "b"}}], **other}
        data = text("a") + f"data: {json.dumps(value)}\n\n".encode() + text("c")

        assert [delta.text for delta in deltas(data)] == found

    def test_comment_keeps_events_apart(self) -> None:
        assert deltas(text("a") + b": ping\n\n" + text("b") + text("c")) == [Delta("a"), Delta("bc")]

    def test_delta_is_bounded(self) -> None:
        found = deltas(text("x" * 1000) * 10)

        assert max(len(delta.text) for delta in found) == LONGEST_DELTA // 1000 * 1000
        assert sum(len(delta.text) for delta in found) == 10_000

    def test_text_before_an_error_is_not_lost(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}, merge_deltas=True))
        list(reply.feed(BEGIN))
        found = []

        with pytest.raises(OVHCloudError, match="broken"):
            found.extend(reply.feed(text("a") + text("b") + b'data: {"error": {"message": "broken"}}\n\n'))

        assert reply.message.text == "ab"

    @pytest.mark.parametrize("choices", [[None], ["x"], [[]], None, {}, [{"delta": []}], [{"delta": {"content": 5}}]])
    def test_other_shapes_are_read_as_without_merging(self, choices: Any) -> None:
        data = text("a") + f"data: {json.dumps({'choices': choices})}\n\n".encode() + text("b")
        outcomes = []
        for merge_deltas in (True, False):
            try:
                outcomes.append("".join(delta.text for delta in deltas(data, merge_deltas=merge_deltas)))
            except OVHCloudError as error:
                outcomes.append(type(error).__name__)

        assert outcomes[0] == outcomes[1]

    def test_all_events_are_counted(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}, merge_deltas=True))
        list(reply.feed(BEGIN + text("a") * 5 + END))

        assert reply.events == 7


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=["httpx", "aiohttp"])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.usefixtures("environ")
class TestOnTheWire:
    def test_events_of_one_packet_are_one_chunk_even_in_http_chunks_of_their_own(self, server: LocalEndpoints) -> None:
        answer = HEAD + chunked(BEGIN, *[text("abc ")] * 50, END) + b"0\r\n\r\n"
        server.reply(raw=[answer], times=2)

        chunks = [chunk.text for chunk in ChatOVHCloud(model="gpt-oss-120b").stream("Hello")]
        responses = [response.delta for response in LlamaChatOVHCloud(model="gpt-oss-120b").stream_complete("Hello")]

        assert "".join(chunks) == "".join(map(str, responses)) == "abc " * 50
        assert max(map(len, chunks)) == max(map(len, map(str, responses))) == 200

    async def test_awaited_events_too(self, server: LocalEndpoints, backend: Literal["httpx", "aiohttp"]) -> None:
        server.reply(raw=[HEAD + chunked(BEGIN, *[text("abc ")] * 50, END) + b"0\r\n\r\n"])
        model = ChatOVHCloud(model="gpt-oss-120b", http_backend=backend)

        chunks = [chunk.text async for chunk in model.astream("Hello")]

        assert "".join(chunks) == "abc " * 50
        assert max(map(len, chunks)) == 200

    @pytest.mark.parametrize(
        "begun", [b"\r\n", b"1", b"5\r", b"5\r\n", b"0", b"0\r\n", b"a;x=y\r\n", b"zz\r\nx"], ids=repr
    )
    def test_no_event_waits_for_a_chunk_that_has_only_begun(self, server: LocalEndpoints, begun: bytes) -> None:
        server.reply(raw=[HEAD + chunked(BEGIN, text("a"), text("b")) + begun, Pause(5)])
        found: list[str] = []
        stream = ChatOVHCloud(model="gpt-oss-120b", timeout=0.2).stream("Hello")

        with pytest.raises(OVHCloudError):
            found.extend(chunk.text for chunk in stream)

        assert "".join(found) == "ab"

    async def test_local_endpoints_keeps_the_events_of_a_script_apart(
        self, server: LocalEndpoints, backend: Literal["httpx", "aiohttp"]
    ) -> None:
        server.reply("one two three four", times=2)
        model = ChatOVHCloud(model="gpt-oss-120b", http_backend=backend)

        slow = []
        async for chunk in model.astream("Hello"):
            await asyncio.sleep(0.01)  # all that follows has arrived meanwhile
            slow.append(chunk.text)

        assert [piece for piece in slow if piece] == ["one", " two", " three", " four"]
        assert [chunk.text for chunk in model.stream("Hello") if chunk.text] == ["one", " two", " three", " four"]
