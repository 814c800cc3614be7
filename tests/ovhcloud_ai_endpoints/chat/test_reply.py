import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import (
    InternalServerError,
    InvalidResponseError,
    OVHCloudError,
    RateLimitError,
    StreamInterruptedError,
)
from ovhcloud_ai_endpoints._chat.answer import read_answer
from ovhcloud_ai_endpoints._chat.reply import Reply
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._values import (
    Answer,
    Delta,
    Exchange,
    Message,
    ToolCall,
    ToolCallDelta,
    call_metadata,
    reasoning_tokens,
)

DONE = b"data: [DONE]\n\n"


def event(delta: dict[str, Any] | None = None, **rest: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": rest.pop("finish", None)}]
    return f"data: {json.dumps({'id': 'c1', 'model': 'm', 'choices': choices} | rest)}\n\n".encode()


def call(arguments: Any = None, *, id: str | None = None, name: str | None = None, index: int | None = 0) -> bytes:  # noqa: A002
    piece: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    piece |= {"id": id} if id is not None else {}
    piece |= {"index": index} if index is not None else {}
    return event({"tool_calls": [piece]})


def read(*events: bytes) -> tuple[Reply, Message]:
    reply = Reply(ChatRequest({"model": "m"}))
    for data in events:
        list(reply.feed(data))
    list(reply.end())
    return reply, reply.message


def calls(*events: bytes) -> list[tuple[str, str]]:
    _, message = read(*events, DONE)
    return [(call.name, call.arguments) for call in message.tool_calls]


def test_text_and_reasoning_add_up() -> None:
    _, message = read(
        event({"role": "assistant", "content": ""}),
        event({"reasoning": "hm"}),
        event({"reasoning": "m", "content": "He"}),
        event({"content": "llo"}, finish="stop"),
        event(usage={"prompt_tokens": 1, "completion_tokens": 2}),
        DONE,
    )

    assert message == Message(text="Hello", reasoning="hmm", finish_reason="stop")


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_by_both_names(name: str) -> None:
    assert read(event({name: "hm"}), DONE)[1].reasoning == "hm"


def test_reasoning_by_both_names_at_once_counts_once() -> None:
    assert read(event({"reasoning": "hm", "reasoning_content": "hm"}), DONE)[1].reasoning == "hm"


def test_running_totals_of_usage_are_not_added_up() -> None:
    reply, _ = read(
        event({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        event({"content": "b"}, usage={"prompt_tokens": 5, "completion_tokens": 2}),
        DONE,
    )

    assert reply.result(Exchange()).usage == {"prompt_tokens": 5, "completion_tokens": 2}


def test_other_choices_are_not_mixed_in() -> None:
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "other"}}]}\n\n'

    assert read(event({"content": "x"}), other, DONE)[1].text == "x"


@pytest.mark.parametrize("delta", [None, {}, {"content": None}, {"tool_calls": None}, {"tool_calls": []}])
def test_events_that_say_nothing_are_no_error(delta: dict[str, Any] | None) -> None:
    assert read(event(delta), event({"content": "x"}), DONE)[1].text == "x"


def test_null_delta_is_no_error() -> None:
    nothing = b'data: {"choices": [{"index": 0, "delta": null}]}\n\n'

    assert read(nothing, event({"content": "x"}), DONE)[1].text == "x"


class TestToolCalls:
    def test_arguments_add_up_by_index(self) -> None:
        events = [call("", id="a", name="f"), call('{"x"'), call(": 1}")]

        assert calls(*events) == [("f", '{"x": 1}')]

    def test_interleaved_calls_are_kept_apart(self) -> None:
        events = [
            call("{", id="a", name="f", index=0),
            call("{", id="b", name="g", index=1),
            call('"x": 1}', index=0),
            call('"y": 2}', index=1),
        ]

        assert calls(*events) == [("f", '{"x": 1}'), ("g", '{"y": 2}')]

    def test_two_calls_in_one_event_are_two(self) -> None:
        pieces = [{"index": at, "id": f"i{at}", "function": {"name": "f", "arguments": "{}"}} for at in (0, 1)]

        assert calls(event({"tool_calls": pieces})) == [("f", "{}"), ("f", "{}")]

    def test_parallel_calls_that_share_an_index_are_two(self) -> None:
        events = [call('{"x": 1}', id="a", name="f"), call('{"x": 2}', id="b", name="f")]

        assert calls(*events) == [("f", '{"x": 1}'), ("f", '{"x": 2}')]

    def test_calls_without_index_and_id_begin_with_their_names(self) -> None:
        events = [call("{", name="f", index=None), call("}", index=None), call("{}", name="g", index=None)]

        assert calls(*events) == [("f", "{}"), ("g", "{}")]

    def test_repeated_name_is_taken_once(self) -> None:
        assert calls(call("{", id="a", name="f"), call("}", id="a", name="f")) == [("f", "{}")]

    def test_new_id_in_each_event_is_one_call(self) -> None:
        assert calls(call("{", id="a", name="f"), call("}", id="b")) == [("f", "{}")]

    def test_missing_id_is_made_up(self) -> None:
        _, message = read(call("{}", name="f"), DONE)

        assert message.tool_calls[0].id.isalnum()
        assert len(message.tool_calls[0].id) == 9

    def test_arguments_that_are_objects_already_become_text(self) -> None:
        assert calls(call({"x": "é"}, id="a", name="f")) == [("f", '{"x": "é"}')]

    def test_id_and_name_come_once_in_the_deltas(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}))
        data = call("{", id="a", name="f") + call("}", id="a", name="f")

        pieces = [delta.tool_calls[0] for delta in reply.feed(data)]

        assert [(piece.id, piece.name) for piece in pieces] == [("a", "f"), (None, None)]


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", None),
        ('{"a": "cut', None),
        ("5", None),
    ],
)
def test_arguments_are_an_object_or_none(arguments: str, parsed: Any) -> None:
    assert ToolCall("i", "f", arguments).parsed() == parsed


class TestEnds:
    def test_finish_reason_is_an_end_without_done(self) -> None:
        assert read(event({"content": "x"}, finish="stop"))[1].text == "x"

    def test_done_is_an_end_without_finish_reason(self) -> None:
        assert read(event({"content": "x"}), DONE)[1].text == "x"

    def test_neither_is_an_interruption_with_what_had_arrived(self) -> None:
        with pytest.raises(StreamInterruptedError) as caught:
            read(event({"content": "half an ans"}))

        assert caught.value.partial.text == "half an ans"

    def test_nothing_at_all_is_an_error(self) -> None:
        with pytest.raises(InvalidResponseError, match="system message"):
            read(DONE)

    def test_empty_answer_that_is_finished_is_an_answer(self) -> None:
        assert read(event({"content": ""}, finish="stop"), DONE)[1].text == ""

    def test_last_event_without_its_empty_line_counts(self) -> None:
        assert read(event({"content": "x"}), event({"content": "y"}, finish="stop").rstrip())[1].text == "xy"


class TestErrorsInTheStream:
    def test_error_is_what_its_status_would_be(self) -> None:
        with pytest.raises(RateLimitError, match="slow down"):
            read(b'data: {"error": {"message": "slow down", "code": 429}}\n\n')

    def test_error_that_is_only_a_text_is_one(self) -> None:
        with pytest.raises(InternalServerError, match="bad status code"):
            read(b'data: {"error": "bad status code"}\n\n')

    @pytest.mark.parametrize("code", ["null", '"server_error"', "7"])
    def test_error_without_status_is_the_services(self, code: str) -> None:
        with pytest.raises(InternalServerError, match="boom"):
            read(b'data: {"error": {"message": "boom", "code": %s}}\n\n' % code.encode())

    def test_error_in_the_gateways_shape_is_one(self) -> None:
        with pytest.raises(InternalServerError, match="upstream"):
            read(b'data: {"message": "upstream is gone"}\n\n')

    def test_values_before_the_error_are_not_lost(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}))
        deltas = reply.feed(event({"content": "first"}) + b'data: {"error": {"message": "boom"}}\n\n')

        assert next(deltas).text == "first"
        with pytest.raises(InternalServerError):
            next(deltas)

    @pytest.mark.parametrize(
        "event",
        [
            b'{"choices": 5}',
            b'{"choices": [5]}',
            b'{"choices": [{"delta": {"content": 5}}]}',
            b'{"choices":[{"delta":7}]}',
        ],
    )
    def test_unknown_shape_is_an_error_with_its_bytes(self, event: bytes) -> None:
        with pytest.raises(InvalidResponseError, match="choices"):
            read(b"data: " + event + b"\n\n")


class TestWholeAnswers:
    def read(self, body: Any) -> Any:
        return read_answer(body, json.dumps(body).encode(), Exchange(), ChatRequest({}))

    def test_message_without_content_is_empty(self) -> None:
        message = {"role": "assistant", "reasoning": "hm", "tool_calls": []}
        found = self.read({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "length"}]})

        assert found.messages == (Message(reasoning="hm", finish_reason="length"),)

    def test_error_with_status_200_is_an_error(self) -> None:
        with pytest.raises(InternalServerError, match="boom"):
            self.read({"error": {"message": "boom"}})

    @pytest.mark.parametrize("logprobs", [{"content": [{}]}, {"content": [{"token": "a", "logprob": "x"}]}, 5, [5]])
    def test_log_probabilities_that_are_none_are_an_error(self, logprobs: Any) -> None:
        choice = {"message": {"content": "x"}, "logprobs": logprobs}

        with pytest.raises(InvalidResponseError):
            self.read({"choices": [choice]})
        with pytest.raises(InvalidResponseError):
            read(
                b"data: "
                + json.dumps({"choices": [{"delta": {"content": "x"}, "logprobs": logprobs}]}).encode()
                + b"\n\n"
            )

    def test_answer_that_says_nothing_and_did_not_finish_is_an_error(self) -> None:
        with pytest.raises(InvalidResponseError, match="empty"):
            self.read({"choices": [{"message": {}}]})

    @pytest.mark.parametrize("usage", [5, "x", {"prompt_tokens": "3"}, {"prompt_tokens_details": 5}])
    def test_usage_that_can_not_be_counted_is_an_error(self, usage: Any) -> None:
        with pytest.raises(InvalidResponseError):
            self.read({"choices": [{"message": {"content": "x"}}], "usage": usage})

    @pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, {"choices": "x"}, {"choices": [None]}])
    def test_answer_without_message_is_an_error(self, body: Any) -> None:
        with pytest.raises(InvalidResponseError):
            self.read(body)


@given(
    st.lists(st.tuples(st.sampled_from(["content", "reasoning"]), st.text(max_size=8)), max_size=8),
    st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=3), st.dictionaries(st.text(max_size=3), st.integers())),
        max_size=3,
    ),
    st.data(),
)
def test_any_cutting_of_a_stream_gives_the_whole(
    texts: list[tuple[str, str]], wanted: list[tuple[str, dict[str, int]]], data: st.DataObject
) -> None:
    events = [event({kind: text}) for kind, text in texts]
    for index, (name, arguments) in enumerate(wanted):
        text = json.dumps(arguments)
        cut = data.draw(st.integers(0, len(text)))
        events += [call(text[:cut], id=f"i{index}", name=name, index=index), call(text[cut:], index=index)]
    body = b"".join([*events, event({}, finish="stop"), DONE])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    edges = [0, *cuts, len(body)]

    _, message = read(*(body[start:stop] for start, stop in pairwise(edges)))

    assert message.text == "".join(text for kind, text in texts if kind == "content")
    assert message.reasoning == "".join(text for kind, text in texts if kind == "reasoning")
    assert [(call.name, call.parsed()) for call in message.tool_calls] == wanted


SCHEMAS = {"f": {"type": "object", "properties": {"place": {"type": "object"}, "tags": {"type": "array"}}}}
REQUEST = ChatRequest({"model": "m"}, tool_schemas=SCHEMAS)


def cut(text: str, places: list[int]) -> list[str]:
    """A text in pieces."""
    at = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(at)]


class TestRepairs:
    """What open models get wrong, whole and in any pieces."""

    @given(
        reasoning=st.text(max_size=20),
        content=st.text(alphabet="<think>/ ab\n", max_size=30),
        arguments=st.lists(
            st.sampled_from(
                [
                    "",
                    "null",
                    "{}",
                    '{"x": 1}',
                    '{"place": "{\\"a\\": 1}"}',
                    '{"tags": "[1]", "x": "[1]"}',
                    '{"x": "cut',
                    "7",
                ]
            ),
            max_size=3,
        ),
        places=st.lists(st.integers(0, 99), max_size=8),
    )
    def test_any_cutting_gives_the_message_of_the_whole(
        self, reasoning: str, content: str, arguments: list[str], places: list[int]
    ) -> None:
        calls = [
            {"id": f"id{at}", "type": "function", "function": {"name": "f", "arguments": text}}
            for at, text in enumerate(arguments)
        ]
        said = {"role": "assistant", "content": content, "reasoning": reasoning, "tool_calls": calls}
        whole = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
        events = [event({"reasoning": part}) for part in cut(reasoning, places)]
        events += [event({"content": part}) for part in cut(content, places)]
        for at, text in enumerate(arguments):
            head = {"index": at, "id": f"id{at}", "function": {"name": "f", "arguments": ""}}
            events.append(event({"tool_calls": [head]}))
            events += [
                event({"tool_calls": [{"index": at, "function": {"arguments": part}}]}) for part in cut(text, places)
            ]
        reply, deltas = Reply(REQUEST), []
        for data in [*events, event({}, finish="stop"), DONE]:
            deltas += list(reply.feed(data))
        deltas += list(reply.end())

        try:
            expected = read_answer(whole, b"", Exchange(), REQUEST).messages[0]
        except InvalidResponseError:
            expected = Message(finish_reason="stop")

        assert reply.message == expected
        assert "".join(delta.text for delta in deltas) == expected.text
        assert "".join(delta.reasoning for delta in deltas) == expected.reasoning

    @given(
        st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.none() | st.integers(-2, 3),
                    "id": st.none() | st.sampled_from(["", "a", "b"]),
                    "type": st.just("function"),
                    "function": st.none()
                    | st.fixed_dictionaries(
                        {},
                        optional={
                            "name": st.none() | st.sampled_from(["", "f", "g"]),
                            "arguments": st.none() | st.text(alphabet='{}":1,', max_size=5) | st.just({"x": 1}),
                        },
                    ),
                },
            ),
            max_size=8,
        )
    )
    def test_accumulating_never_raises(self, pieces: list[dict[str, Any]]) -> None:
        reply, deltas = Reply(REQUEST), []
        for piece in pieces:
            deltas += list(reply.feed(event({"tool_calls": [piece]})))
        deltas += list(reply.feed(event({"content": "x"}, finish="tool_calls") + DONE)) + list(reply.end())

        calls = reply.message.tool_calls
        assert len({call.id for call in calls}) == len(calls)
        assert all(call.id for call in calls)
        for at, call in enumerate(calls):
            sent = "".join(piece.arguments for delta in deltas for piece in delta.tool_calls if piece.index == at)
            assert call.arguments.endswith(sent) or sent == call.arguments

    def test_equal_ids_of_a_whole_answer_become_different_ones(self) -> None:
        calls = [{"id": "same", "function": {"name": "f", "arguments": "{}"}}] * 2
        body = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}

        ids = [call.id for call in read_answer(body, b"", Exchange(), REQUEST).messages[0].tool_calls]

        assert ids[0] == "same"
        assert len(set(ids)) == 2

    def test_what_is_held_back_is_in_an_interrupted_stream(self) -> None:
        reply = Reply(REQUEST)
        list(reply.feed(call('{"place": "{\\"ci', id="a", name="f")))

        assert reply.interrupted("Lost").partial.tool_calls[0].arguments == '{"place": "{\\"ci'

    def test_equal_ids_of_a_stream_become_different_ones(self) -> None:
        events = [call('{"x": 1}', id="same", name="f", index=0), call('{"x": 2}', id="same", name="g", index=1)]

        _, message = read(*events, DONE)

        assert [(one.name, one.arguments) for one in message.tool_calls] == [("f", '{"x": 1}'), ("g", '{"x": 2}')]
        assert len({one.id for one in message.tool_calls}) == 2

    @pytest.mark.parametrize("index", [0, None])
    def test_two_calls_without_arguments_are_two(self, index: int | None) -> None:
        _, message = read(call("", id="x", name="now", index=index), call("", id="y", name="now", index=index), DONE)

        assert [(one.id, one.name) for one in message.tool_calls] == [("x", "now"), ("y", "now")]

    def test_name_that_comes_late_changes_nothing_of_what_came_before(self) -> None:
        reply = Reply(ChatRequest({}, tool_schemas={"f": {"properties": {"text": {"type": "string"}}}}))
        for data in (call('{"text": ', id="a"), call('"{}"}', name="f"), DONE):
            list(reply.feed(data))

        assert reply.message.tool_calls[0].arguments == '{"text": "{}"}'


TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1, "bytes": None}]}


class TestWhatIsKnown:
    """Of an answer, whole and streamed: everything that it says comes out as it is."""

    def test_stream_says_who_answered(self) -> None:
        reply, _ = read(
            event({"content": "a"}, system_fingerprint="fp"),
            event({}, finish="stop", id="c2", model="n", system_fingerprint=None),
            event(usage={"prompt_tokens": 1}, id=None, model=None),
            b": ping\n\n",
            DONE,
        )
        exchange = Exchange(request_id="r")

        assert reply.events == 3
        assert reply.result(exchange) == Answer(
            messages=(Message(text="a", finish_reason="stop"),),
            id="c1",
            model="n",
            system_fingerprint="fp",
            usage={"prompt_tokens": 1},
            exchange=exchange,
        )

    def test_nothing_is_known_before_the_first_event(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}))

        assert (reply.events, reply.result(Exchange())) == (0, Answer(messages=(Message(),), model="m"))

    def test_refusals_and_log_probabilities_add_up(self) -> None:
        said = [event({"content": "x", "refusal": "I "}), event({"refusal": "can't"}, finish="stop")]
        odds = b'data: {"choices": [{"index": "0", "delta": {}, "logprobs": {"content": [%s]}}]}\n\n'
        reply, deltas = Reply(ChatRequest({"model": "m"})), []
        for data in (*said, odds % json.dumps(TOKEN).encode(), odds % json.dumps(TOKEN).encode(), DONE):
            deltas += list(reply.feed(data))

        assert reply.message.refusal == "I can't"
        assert reply.message.logprobs == {"content": [TOKEN, TOKEN]}
        assert [delta.refusal for delta in deltas] == ["I ", "can't", "", ""]
        assert [delta.logprobs for delta in deltas] == [None, None, {"content": [TOKEN]}, {"content": [TOKEN]}]

    def test_message_in_place_of_a_delta_is_read(self) -> None:
        whole = b'data: {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}\n\n'

        assert read(whole, DONE)[1].text == "x"

    def test_event_with_choices_is_no_error_for_its_message(self) -> None:
        odd = b'data: {"choices": [{"delta": {"content": "x"}}], "message": "fine"}\n\n'

        assert read(odd, DONE)[1].text == "x"

    def test_event_without_choices_says_nothing(self) -> None:
        assert read(b'data: {"usage": {"prompt_tokens": 1}}\n\n', event({"content": "x"}), DONE)[1].text == "x"

    @pytest.mark.parametrize(
        "delta",
        [
            Delta(text="a"),
            Delta(reasoning="a"),
            Delta(refusal="a"),
            Delta(tool_calls=(ToolCallDelta(0, None, None, ""),)),
            Delta(logprobs={"content": []}),
        ],
    )
    def test_delta_is_true_if_it_says_anything(self, delta: Delta) -> None:
        assert delta
        assert not Delta()

    def test_what_was_held_back_comes_at_the_end(self) -> None:
        reply = Reply(REQUEST)
        list(reply.feed(call("{}", id="a", name="g", index=0)))
        list(reply.feed(call('{"place": "{', id="b", name="f", index=1)))
        list(reply.feed(event({"content": "<think>hm</th"}, finish="length")))

        assert list(reply.end())[-1] == Delta(reasoning="</th", tool_calls=(ToolCallDelta(1, None, None, '"{'),))

    def test_text_that_was_held_back_comes_at_the_end(self) -> None:
        reply = Reply(REQUEST)
        list(reply.feed(event({"content": "<th"}, finish="stop")))

        assert list(reply.end())[-1] == Delta(text="<th")

    def test_only_the_first_call_is_kept_where_one_was_asked_for(self) -> None:
        reply = Reply(ChatRequest({"model": "m"}, one_call=True))
        pieces = [{"index": at, "id": f"i{at}", "function": {"name": "f", "arguments": "{}"}} for at in (0, 1)]

        deltas = list(reply.feed(event({"tool_calls": pieces}, finish="tool_calls") + DONE))

        assert [piece.index for piece in deltas[0].tool_calls] == [0]
        assert [one.id for one in reply.message.tool_calls] == ["i0"]

    def test_null_for_no_arguments_is_not_given_out(self) -> None:
        reply, deltas = Reply(REQUEST), []
        for data in (call("nu", id="a", name="g"), call("ll"), DONE):
            deltas += list(reply.feed(data))

        assert [piece.arguments for delta in deltas for piece in delta.tool_calls] == ["", ""]
        assert reply.message.tool_calls[0].parsed() == {}

    @pytest.mark.parametrize(
        ("events", "said"),
        [
            (
                [event({"content": "half"})],
                (
                    "The stream ended before the answer did. 4 characters of text had arrived; they are in "
                    "this error's .partial. Ask again, or continue from there."
                ),
            ),
            (
                [DONE],
                "The stream held no answer. Some models send nothing when there is more than one system message.",
            ),
            (
                [b'data: {"choices": 5}\n\n'],
                "An event of the stream has an unknown shape. It begins with '{\"choices\": 5}'.",
            ),
            (
                [b'data: {"error": {"message": "the prompt is too long", "code": 400}}\n\n'],
                (
                    "the prompt is too long. gpt-oss-20b has a window of 131,072 tokens; shorten the messages or lower "
                    "max_tokens."
                ),
            ),
        ],
    )
    def test_failure_says_what_is_known_of_it(self, events: list[bytes], said: str) -> None:
        reply = Reply(ChatRequest({"model": "gpt-oss-20b"}))

        def go() -> None:
            for data in events:
                list(reply.feed(data))
            list(reply.end())

        with pytest.raises(OVHCloudError) as caught:
            go()
        assert caught.value.message == said

    def test_whole_answer_says_who_answered(self) -> None:
        choice = {
            "message": {"content": [{"text": "a"}, "b", {"refusal": "c"}], "refusal": "no"},
            "logprobs": {"content": [TOKEN]},
            "finish_reason": "stop",
        }
        body = {"id": "c", "model": "m", "system_fingerprint": "fp", "usage": {"total_tokens": 3}, "choices": [choice]}

        assert read_answer(body, b"", Exchange(attempts=2), ChatRequest({})) == Answer(
            messages=(Message(text="abc", refusal="no", finish_reason="stop", logprobs={"content": [TOKEN]}),),
            id="c",
            model="m",
            system_fingerprint="fp",
            usage={"total_tokens": 3},
            exchange=Exchange(attempts=2),
            body=body,
        )

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"choices": 5}, "The answer has an unknown shape. It begins with '{}'."),
            ({"choices": []}, "The answer is empty. It begins with '{}'."),
        ],
    )
    def test_answer_that_is_none_is_shown(self, body: Any, said: str) -> None:
        with pytest.raises(InvalidResponseError) as caught:
            read_answer(body, b"{}", Exchange(), ChatRequest({}))

        assert caught.value.message == said

    def test_first_call_of_a_whole_answer_is_kept_where_one_was_asked_for(self) -> None:
        calls = [{"id": f"i{at}", "function": {"name": "f x", "arguments": {"é": at}}} for at in (0, 1)]
        body = {"choices": [{"message": {"tool_calls": calls}}]}
        request = ChatRequest({}, one_call=True, tool_names={"f x": "f"})

        message = read_answer(body, b"", Exchange(), request).messages[0]

        assert message.tool_calls == (ToolCall("i0", "f", '{"é": 0}'),)

    def test_facts_are_what_is_known(self) -> None:
        exchange = Exchange(request_id="r", attempts=2, waited=1.5, first_event_after=0.5, warning="w")
        thought = Message(reasoning="hm")
        answer = Answer(messages=(thought,), system_fingerprint="fp", exchange=exchange)

        assert call_metadata(answer, thought) == {
            "system_fingerprint": "fp",
            "request_id": "r",
            "attempts": 2,
            "waited": 1.5,
            "time_to_first_event": 0.5,
            "warning": "w",
            "only_reasoning": True,
        }
        assert call_metadata(Answer(messages=(Message("a"),)), Message("a")) == {"attempts": 1}

    @pytest.mark.parametrize(
        ("usage", "tokens"),
        [
            (None, None),
            ({}, None),
            ({"completion_tokens_details": None}, None),
            ({"completion_tokens_details": {"reasoning_tokens": 7}}, 7),
        ],
    )
    def test_reasoning_is_counted_if_it_is_said(self, usage: Any, tokens: int | None) -> None:
        assert reasoning_tokens(usage) == tokens

    @pytest.mark.parametrize(
        ("arguments", "parsed"), [('{"a": "b\nc"}', {"a": "b\nc"}), ("l", None), ("{" * 100_000 + "}", None)]
    )
    def test_arguments_may_hold_line_ends(self, arguments: str, parsed: Any) -> None:
        assert ToolCall("i", "f", arguments).parsed() == parsed

    @pytest.mark.parametrize(
        ("events", "wanted"),
        [
            ([("", "a", "f", 0), ("{}", "a", None, 0), ("", "a", "f", 0)], [("f", "{}")]),
            ([("{}", None, "f", None), ("", None, "f", None)], [("f", "{}")]),
            ([("{}", None, "f", None), ("{}", None, "f", None)], [("f", "{}"), ("f", "{}")]),
            ([("{", "a", "f", None), ("}", "b", "f", None)], [("f", "{}")]),
            ([("", None, "f", None), ("{}", None, "f", None)], [("f", "{}")]),
            ([("{", "a", "f", 0), ("{", "b", "g", 1), ("}", "a", None, 1)], [("f", "{}"), ("g", "{")]),
            ([("{", "a", "f", 0), ("}", "a", "f", None)], [("f", "{}")]),
            ([("{", "s", "f", 0), ("{", "s", "g", 1), ("}", "s", "g", 1)], [("f", "{"), ("g", "{}")]),
        ],
    )
    def test_piece_belongs_to_the_call_that_it_goes_on_with(self, events: list[Any], wanted: Any) -> None:
        pieces = [call(text, id=id_, name=name, index=index) for text, id_, name, index in events]

        assert calls(*pieces) == wanted


OFFERED = ("query_dataset", "get_weather", "weather", "get", "edit_existing_file")


def called(*pieces: tuple[Any, ...]) -> list[tuple[str, str]]:
    """The calls that a model made of tools that were offered, from (name, arguments, id) of each delta."""
    reply = Reply(ChatRequest({}, tool_schemas={name: {} for name in OFFERED}))
    for name, arguments, *id_ in pieces:
        data = call(arguments, name=name, id=id_[0] if id_ else None)
        list(reply.feed(data))
    (*_, last) = [*reply.feed(DONE), *reply.end()]
    assert isinstance(last, Delta)
    return [(tool_call.name, tool_call.arguments) for tool_call in reply.message.tool_calls]


class TestNamesOfTools:
    @pytest.mark.parametrize(
        "name",
        [
            "query_dataset",
            "query_dataset<|channel|>commentary",
            "query_dataset<|channel|>commentary json",
            "query_dataset<|constrain|>json",
            "functions.query_dataset",
            "functions.query_dataset<|channel|>commentary",
            "commentary to=functions.query_dataset",
            "query_dataset<|cha",
        ],
    )
    def test_name_that_a_model_garbles_is_that_of_the_tool(self, name: str) -> None:
        assert called((name, "{}")) == [("query_dataset", "{}")]
        fields: dict[str, Any] = {"tool_calls": [{"id": "a", "function": {"name": name, "arguments": "{}"}}]}
        body = {"choices": [{"message": fields}]}
        answer = read_answer(body, b"", Exchange(), ChatRequest({}, tool_schemas={key: {} for key in OFFERED}))
        assert answer.messages[0].tool_calls[0].name == "query_dataset"

    @pytest.mark.parametrize("name", ["other", "do not get", "get weather", "functions.other", "query_dataset2", ""])
    def test_name_of_no_tool_is_passed_on(self, name: str) -> None:
        assert called((name, "{}")) == [(name, "{}")]

    @pytest.mark.parametrize(
        ("pieces", "name"),
        [
            (["edit_ex", "isting_file"], "edit_existing_file"),
            (["get_", "weather"], "get_weather"),
            (["get", "_weather"], "get_weather"),
            (["get"], "get"),
            (["get_", "we", "at", "her"], "get_weather"),
            (["functions", ".", "get"], "get"),
            (["query_dataset", "<|channel|>", "commentary"], "query_dataset"),
            (["query", "_dataset", "<|channel|>commentary"], "query_dataset"),
            (["get_weather"] * 3, "get_weather"),
        ],
    )
    @pytest.mark.parametrize("id_", [None, "a"])
    @pytest.mark.parametrize("end", [(None, '{"x": 1}'), ("", '{"x": 1}')])
    def test_name_in_pieces_is_that_of_one_call(self, pieces: list[str], name: str, id_: str | None, end: Any) -> None:
        assert called(*((piece, "", id_) for piece in pieces), (*end, id_)) == [(name, '{"x": 1}')]

    def test_name_is_in_one_delta_and_whole(self) -> None:
        reply = Reply(ChatRequest({}, tool_schemas={name: {} for name in OFFERED}))
        events = [
            call("", name="get", id="a"),
            call("", name="_weather"),
            call("{}"),
            call("", name="get", id="b", index=1),
        ]

        deltas = [delta for data in events for delta in reply.feed(data)] + list(reply.feed(DONE)) + list(reply.end())

        names = [(piece.index, piece.name) for delta in deltas for piece in delta.tool_calls if piece.name]
        assert names == [(0, "get_weather"), (1, "get")]

    def test_names_of_two_calls_stay_apart(self) -> None:
        assert called(("get", "{}", "a"), ("weather", "{}", "b")) == [("get", "{}"), ("weather", "{}")]
        assert called(("weather", "", "a"), ("get", "{}", "b")) == [("weather", ""), ("get", "{}")]

    def test_name_that_was_sent_under_another_is_found_in_pieces(self) -> None:
        reply = Reply(ChatRequest({}, tool_names={"m_t_o": "météo"}, tool_schemas={"météo": {}}))

        for data in (call("", name="m_t"), call("{}", name="_o"), DONE):
            list(reply.feed(data))

        assert reply.message.tool_calls[0].name == "météo"


class TestArgumentsThatComeAgain:
    @pytest.mark.parametrize(
        "again", [['{"x": 1}'], ['{"x"', ": 1}"], [' {"x": 1}\n'], ['{"x": 1}', '{"x": 1}'], ["\n"]]
    )
    def test_whole_arguments_at_the_end_count_once(self, again: list[str]) -> None:
        assert calls(call('{"x"', id="a", name="f"), call(": 1}"), *map(call, again)) == [("f", '{"x": 1}')]

    def test_whole_arguments_with_name_and_index_count_once(self) -> None:
        assert calls(call('{"x": 1}', id="a", name="f"), call('{"x": 1}', name="f")) == [("f", '{"x": 1}')]

    def test_other_arguments_at_the_end_make_the_call_invalid(self) -> None:
        ((name, arguments),) = calls(call('{"x": 1}', id="a", name="f"), call('{"x": 2}'))

        assert (name, arguments) == ("f", '{"x": 1}{"x": 2}')
        assert ToolCall("a", name, arguments).parsed() is None

    def test_whole_answer_may_have_them_twice(self) -> None:
        fields = {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": 1}{"x": 1}'}}]}
        answer = read_answer({"choices": [{"message": fields}]}, b"", Exchange(), ChatRequest({}))

        assert answer.messages[0].tool_calls[0].arguments == '{"x": 1}'


@pytest.mark.parametrize("field", ["content", "reasoning", "refusal"])
def test_halves_of_a_pair_in_two_events_are_joined(field: str) -> None:
    def said(*pieces: str) -> str:
        events = [f'data: {{"choices": [{{"delta": {{"{field}": "{piece}"}}}}]}}\n\n'.encode() for piece in pieces]
        message = read(*events, DONE)[1]
        return message.text + message.reasoning + message.refusal

    assert said(r"a\ud83d", r"\ude00b") == "a😀b"
    assert said(r"a\ud83d", "b") == "a\ufffdb"
    assert said("a", r"\ud83d") == "a\ufffd"
    assert said(r"\ude00") == "\ufffd"


def test_half_of_a_pair_in_a_whole_answer_is_replaced() -> None:
    fields = {
        "content": "a\ud83d",
        "reasoning": "\ude00",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": r'{"x": "\ud83d", "y": "\ud83d\ude00"}'}}],
    }
    (message,) = read_answer({"choices": [{"message": fields}]}, b"", Exchange(), ChatRequest({})).messages

    assert (message.text, message.reasoning) == ("a\ufffd", "\ufffd")
    assert message.tool_calls[0].parsed() == {"x": "\ufffd", "y": "😀"}


def test_answer_without_a_model_is_of_the_one_that_was_asked() -> None:
    request = ChatRequest({"model": "asked"})
    reply = Reply(request)
    list(reply.feed(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'))
    whole = read_answer({"choices": [{"message": {"content": "x"}}]}, b"", Exchange(), request)

    assert reply.result(Exchange()).model == whole.model == "asked"


def test_halves_in_arguments_are_joined() -> None:
    ((_, arguments),) = calls(call(r'{"x": "\ud8', id="a", name="f"), call(r'3d\ude00", "y": "\ud83d"}'))

    assert json.loads(arguments) == {"x": "😀", "y": "\ufffd"}


@pytest.mark.parametrize("text", ["[" * 1200, '{"a":' * 1200, '{"x": ' + "[" * 1200 + "]" * 1200 + "}"])
def test_arguments_that_are_nested_too_deeply_are_invalid(text: str) -> None:
    ((name, arguments),) = calls(call(text[:500], id="a", name="f"), call(text[500:]))

    assert name == "f"
    assert ToolCall("a", "f", arguments).parsed() is None
    assert arguments.startswith(text[:100])
    assert len(arguments) < 600


def event_of(*pieces: dict[str, Any]) -> bytes:
    return event({"tool_calls": list(pieces)})


def piece_of(arguments: str = "", *, name: str | None = None, index: int | None = 0, **more: Any) -> dict[str, Any]:
    piece: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return piece | more | ({"index": index} if index is not None else {})


class TestPiecesThatEnginesMixUp:
    def test_two_pieces_of_a_call_in_one_event_are_one_delta(self) -> None:
        """As vLLM sends them with speculative decoding (openai-python issue 3201)."""
        reply = Reply(ChatRequest({}))

        (delta,) = reply.feed(event_of(piece_of(id="a", name="f"), piece_of('{"x": 1}')))

        assert delta.tool_calls == (ToolCallDelta(0, "a", "f", '{"x": 1}'),)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"id": "s", "name": "f", "index": 0}, {"id": "s", "name": "g", "index": 0}),
            ({"id": "s", "name": "f", "index": 0}, {"id": "s", "name": "f", "index": 0}),
            ({"id": "s", "name": "f", "index": None}, {"id": "s", "name": "g", "index": None}),
            ({"id": "s", "name": "f", "index": 0}, {"id": "s", "name": "f", "index": 1}),
        ],
    )
    def test_calls_that_share_an_id_stay_apart(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        """LibreChat-AI/agents issue 260."""
        found = calls(event_of(piece_of('{"x": 1}', **first)), event_of(piece_of('{"y": 2}', **second)))

        assert found == [(first["name"], '{"x": 1}'), (second["name"], '{"y": 2}')]

    def test_pieces_of_calls_that_share_an_id_go_by_index(self) -> None:
        events = [piece_of(id="s", name="f"), piece_of(id="s", name="g", index=1), piece_of("{}", id="s")]

        assert calls(*map(event_of, events)) == [("f", "{}"), ("g", "")]

    def test_arguments_under_a_new_index_go_on_with_the_call(self) -> None:
        """dirac-run/dirac issue 215."""
        assert calls(event_of(piece_of(id="a", name="f")), event_of(piece_of('{"x": 1}', index=1))) == [
            ("f", '{"x": 1}')
        ]

    def test_index_that_moves_on_is_of_the_same_call(self) -> None:
        """mudler/LocalAI issue 9722."""
        events = [piece_of(id="a", name="f"), piece_of('{"x": 1}', id="a", name="f", index=1)]

        assert calls(*map(event_of, events)) == [("f", '{"x": 1}')]


class TestEffort:
    """Steps that grow with the length, counted: what took quadratic time would take minutes here."""

    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param([("f", "{}")] + [(None, "{}")] * 50_000, id="repeated arguments"),
            pytest.param([("f", '{"x": "')] + [("f", "}}}")] * 20_000, id="name with each brace"),
            pytest.param([("f", "{" + " " * 1_000_000 + "}")] + [("f", "")] * 5_000, id="name after long arguments"),
            pytest.param([("f", "")] + [(None, " " * 10_000)] * 1_000, id="blanks"),
        ],
    )
    def test_of_odd_arguments_is_linear(self, pieces: list[tuple[str | None, str]]) -> None:
        reply = Reply(ChatRequest({}))
        for name, arguments in pieces:
            list(reply.feed(event_of(piece_of(arguments, name=name))))
        list(reply.feed(DONE))
        list(reply.end())

        assert [call.name for call in reply.message.tool_calls] == ["f"]

    def test_of_many_calls_in_a_whole_answer_is_linear(self) -> None:
        made = [{"id": f"{place}", "function": {"name": "f", "arguments": "{}"}} for place in range(50_000)]
        body = {"choices": [{"message": {"tool_calls": made}}]}

        assert len(read_answer(body, b"", Exchange(), ChatRequest({})).messages[0].tool_calls) == 50_000
