import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import InvalidResponseError
from ovhcloud_ai_endpoints._http.sse import MAX_EVENT_BYTES, Decoder

STREAM = (
    b"\xef\xbb\xbf: welcome\r\n\r\n"
    b'data: {"a": "\xe2\x80\xa8 \xc2\x85 \xf0\x9f\x8e\x89"}\r\n\r\n'
    b'data: {"b":\ndata: 1}\n\n'
    b": ping\n\n"
    b'data: {"d":\r\ndata: 4}\r\n\r\n'
    b'id: 7\nretry: 5\ndata:{"c":2}\r\r'
    b'event: error\ndata: {"message": "no"}\n\n'
    b"data: [DONE]\n\n"
    b'data: {"after": 1}\n\n'
)
PLAIN = STREAM.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # as most servers send it
VALUES = [{"a": "\u2028 \x85 🎉"}, {"b": 1}, {"d": 4}, {"c": 2}, {"error": {"message": "no"}}]


def decoded(*pieces: bytes) -> tuple[list[Any], bool]:
    decoder = Decoder()
    values = [value for piece in pieces for value in decoder.feed(piece) if value is not None]
    return [*values, *decoder.end()], decoder.done


def test_stream_is_read() -> None:
    assert decoded(STREAM) == (VALUES, True)


@pytest.mark.parametrize("stream", [STREAM, PLAIN], ids=["all line ends", "LF only"])
def test_stream_is_the_same_wherever_it_is_cut(stream: bytes) -> None:
    for at in range(len(stream)):
        assert decoded(stream[:at], stream[at:]) == (VALUES, True), stream[:at]


@pytest.mark.parametrize("size", [2, 3, 5, 7, 16, 50])
def test_stream_is_the_same_in_pieces_of_any_size(size: int) -> None:
    for stream in (STREAM, PLAIN):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert decoded(*pieces) == (VALUES, True)


def test_stream_is_the_same_byte_by_byte() -> None:
    assert decoded(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == (VALUES, True)


def test_empty_pieces_change_nothing() -> None:
    pieces = [piece for at in range(len(STREAM)) for piece in (STREAM[at : at + 1], b"")]

    assert decoded(*pieces) == (VALUES, True)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), max_size=3), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_any_cutting_of_any_values_gives_the_values(values: list[Any], end: bytes, data: st.DataObject) -> None:
    body = b"".join(b"data: " + json.dumps(value, ensure_ascii=False).encode() + end + end for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    edges = [0, *cuts, len(body)]

    assert decoded(*(body[start:stop] for start, stop in pairwise(edges))) == (values, False)


def test_last_event_needs_no_empty_line() -> None:
    assert decoded(b'data: {"a": 1}') == ([{"a": 1}], False)
    assert decoded(b'data: {"a"', b": 1}") == ([{"a": 1}], False)


def test_last_event_that_is_cut_is_nothing() -> None:
    assert decoded(b'data: {"a": 1}\n\ndata: {"b"') == ([{"a": 1}], False)


def test_byte_order_mark_is_none_but_at_the_beginning() -> None:
    assert decoded(b'\xef\xbb\xbfdata: {"a": 1}\n\n') == ([{"a": 1}], False)
    assert decoded(b'\n\xef\xbb\xbfdata: {"a": 1}\n\n') == ([], False)


def test_carriage_return_at_the_end_of_a_piece_ends_the_line() -> None:
    decoder = Decoder()

    assert list(decoder.feed(b'data: {"a": 1}\r\n\r')) == [{"a": 1}]
    assert list(decoder.feed(b"\n")) == []
    assert list(decoder.feed(b'data: {"b":\r')) == []
    assert list(decoder.feed(b"data:2}\r")) == []
    assert list(decoder.feed(b"\r")) == [{"b": 2}]


def test_only_one_space_after_the_colon_is_none() -> None:
    assert decoded(b'data:  {"a": 1}\n\nevent:  error\ndata:{"b": 2}\n\n') == ([{"a": 1}, {"b": 2}], False)


def test_name_is_that_of_its_event_alone() -> None:
    stream = b'event: error\ndata: {"error": "x"}\n\ndata: {"a": 1}\n\nevent: error\n\ndata: {"b": 2}\n\n'

    assert decoded(stream) == ([{"error": "x"}, {"a": 1}, {"b": 2}], False)
    assert decoded(b'event: error \ndata: {"a": 1}\n\nevent: errorX\ndata: {"b": 2}\n\n') == (
        [{"a": 1}, {"b": 2}],
        False,
    )


def test_end_may_lack_its_empty_line() -> None:
    assert decoded(b'data: {"a": 1}\n\ndata: [DONE]') == ([{"a": 1}], True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "An event of the stream can't be read as JSON: expected ident at line 1 column 2"),
        ("[1]", "An event of the stream is not a JSON object"),
        ("1", "An event of the stream is not a JSON object"),
    ],
)
def test_event_that_is_no_object_is_an_error_with_its_bytes(text: str, problem: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        decoded(f"data: {text}\n\n".encode())

    assert str(caught.value) == f"{problem}. It begins with '{text}'."


@pytest.mark.parametrize("line", [b"x", b"data: 1\n"])
def test_event_of_unbounded_size_is_an_error(line: bytes) -> None:
    decoder = Decoder()

    assert list(decoder.feed(line * (MAX_EVENT_BYTES // len(line)))) == []
    with pytest.raises(InvalidResponseError) as caught:
        list(decoder.feed(b"y"))

    assert str(caught.value) == "An event of the stream is larger than 16,777,216 bytes. It begins with 'y'."


def test_size_is_that_of_one_event() -> None:
    decoder = Decoder()
    event = b'data: {"a": "' + b"x" * (MAX_EVENT_BYTES // 2) + b'"}\n\n'

    for _ in range(3):
        assert len(list(decoder.feed(event))) == 1


def test_what_follows_the_end_is_not_read() -> None:
    decoder = Decoder()
    list(decoder.feed(b"data: [DONE]\n\n"))

    for _ in range(20):
        assert list(decoder.feed(b"x" * 1_000_000)) == []


def test_pings_without_end_are_no_large_event() -> None:
    decoder = Decoder()

    for _ in range(12):  # 19 MB in all
        assert set(decoder.feed(b": ping\n\n" * 200_000)) == {None}
