"""Servers that mean harm, beyond the table of faults: memory stays bounded, and an error comes soon."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import (
    APITimeoutError,
    InternalServerError,
    InvalidResponseError,
    OVHCloudError,
    StreamInterruptedError,
    Timeouts,
)
from ovhcloud_ai_endpoints._chat.answer import read_answer
from ovhcloud_ai_endpoints._chat.reply import Reply
from ovhcloud_ai_endpoints._chat.request import LARGEST_ANSWER, ChatRequest
from ovhcloud_ai_endpoints._embeddings.request import read_vectors
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.refusals import status_error
from ovhcloud_ai_endpoints._http.request import Whole
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._http.sse import MAX_EVENT_BYTES
from ovhcloud_ai_endpoints._values import Exchange
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
EXCHANGE = Exchange(request_id=None, attempts=1, waited=0.0, first_event_after=None, warning=None)
MB = 1_000_000

Ask = Callable[..., Any]


@pytest.fixture(params=["chat", "stream", "achat", "astream", "achat over aiohttp", "astream over aiohttp"])
def ask(request: pytest.FixtureRequest, server: LocalEndpoints) -> Ask:
    def run(**timeouts: float) -> Any:
        chosen = Settings(
            api_key=server.api_key,
            base_url=server.base_url,
            retry=Retry(max_retries=0),
            timeouts=Timeouts(**{"first_event": 10, **timeouts}),
            http_backend="aiohttp" if "aiohttp" in request.param else "httpx",
        )
        return {
            "chat": lambda: Client(chosen).send(ChatRequest(BODY)),
            "stream": lambda: read(chosen),
            "achat": lambda: asyncio.run(AsyncClient(chosen).send(ChatRequest(BODY))),
            "astream": lambda: asyncio.run(aread(chosen)),
        }[request.param.partition(" ")[0]]()

    return run


def read(chosen: Settings) -> list[Any]:
    with Client(chosen).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return list(deltas)


async def aread(chosen: Settings) -> list[Any]:
    async with AsyncClient(chosen).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return [delta async for delta in deltas]


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MB
    finally:
        tracemalloc.stop()


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(b" " * MB) + packer.flush(zlib.Z_FULL_FLUSH)) * megabytes


BOMB = bomb(2_000)
ONE_READ = 75  # megabytes: what the 64 KiB of one read become at most


@pytest.mark.parametrize("status", [200, 503])
def test_bomb_of_two_gigabytes_is_not_unpacked(server: LocalEndpoints, ask: Ask, status: int) -> None:
    server.reply(status=status, body=BOMB, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    with at_most(ONE_READ + LARGEST_ANSWER // MB), pytest.raises(OVHCloudError):
        ask()


@pytest.mark.parametrize("encoding", ["zstd", "br", "compress", "gzip, gzip"])
def test_encodings_that_were_not_asked_for_are_not_undone(server: LocalEndpoints, ask: Ask, encoding: str) -> None:
    server.reply(body=b"x", headers={"Content-Encoding": encoding})

    with pytest.raises(InvalidResponseError, match=f"encoded as {encoding}, which was not asked for"):
        ask()


@pytest.mark.parametrize("ask", ["chat", "achat", "achat over aiohttp"], indirect=True)
def test_whole_answers_may_be_compressed(server: LocalEndpoints, ask: Ask) -> None:
    ask()

    assert server.requests[-1].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("ask", ["stream", "astream", "astream over aiohttp"], indirect=True)
def test_streams_may_not_be_compressed(server: LocalEndpoints, ask: Ask) -> None:
    """58 KB of compressed blank lines are 60 MB, at which a loop would look for a minute."""
    server.reply(events=[BOMB], headers={"Content-Encoding": "gzip"})

    with at_most(20), pytest.raises(InvalidResponseError, match="encoded as gzip, which was not asked for"):
        ask()
    assert server.requests[-1].headers["accept-encoding"] == "identity"


def test_error_packed_twice_is_not_unpacked(server: LocalEndpoints, ask: Ask) -> None:
    body = gzip.compress(BOMB)
    server.reply(status=503, body=body, headers={"Content-Encoding": "gzip, gzip", "Content-Type": "application/json"})

    with at_most(20), pytest.raises(InternalServerError) as caught:
        ask()
    assert caught.value.status == 503


def test_date_that_no_calendar_has_is_no_date() -> None:
    assert Whole(200, {"date": f"Mon, 01 Jan {10**20} 00:00:00 GMT"}, b"", EXCHANGE).day is None


def test_status_line_that_is_not_ascii_is_an_error_of_ours(server: LocalEndpoints, ask: Ask) -> None:
    server.reply(raw=[b"HTTP/1.1 503 \xff\xfe\r\nContent-Length: 0\r\n\r\n"])

    with pytest.raises(OVHCloudError):
        ask()


@pytest.mark.parametrize("ask", ["stream", "astream"], indirect=True)
def test_surplus_behind_a_stream_with_a_length_is_no_chunk(server: LocalEndpoints, ask: Ask) -> None:
    event = json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}}]})
    for end in ("data: [DONE]\n\n", ""):
        server.reply(raw=[with_surplus("text/event-stream", f"data: {event}\n\n{end}")])

    assert "".join(delta.text for delta in ask()) == "Hel"
    with pytest.raises(StreamInterruptedError) as caught:
        ask()
    assert caught.value.partial.text == "Hel"


@pytest.mark.parametrize("ask", ["chat", "achat"], indirect=True)
def test_surplus_behind_a_whole_answer_is_no_chunk(server: LocalEndpoints, ask: Ask) -> None:
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hello"}}]})
    server.reply(raw=[with_surplus("application/json", answer)])

    assert ask().messages[0].text == "Hello"


def with_surplus(kind: str, body: str) -> bytes:
    """An answer behind which comes what looks like an HTTP chunk."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{body}\r\n5\r\nhello".encode()


@pytest.mark.parametrize("ask", ["stream", "astream"], indirect=True)
def test_line_of_a_hundred_megabytes_is_not_kept(server: LocalEndpoints, ask: Ask) -> None:
    server.fail("stream-huge")

    with at_most(5 * MAX_EVENT_BYTES // MB), pytest.raises(InvalidResponseError, match="larger than"):
        ask()


@pytest.mark.parametrize("ask", ["chat", "achat"], indirect=True)
def test_answer_without_end_is_not_kept(server: LocalEndpoints, ask: Ask) -> None:
    server.reply(
        raw=[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", *[b" " * MB] * 500]
    )

    with at_most(3 * LARGEST_ANSWER // MB), pytest.raises(InvalidResponseError, match="larger than"):
        ask()


@pytest.mark.parametrize(
    "head",
    [
        [one for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " for one in (bytes([byte]), Pause(0.1))],
        [b"HTTP/1.1 100 Continue\r\n\r\n", Pause(0.1)] * 100,
    ],
    ids=["byte by byte", "to be continued"],
)
def test_head_that_drips_is_given_up(server: LocalEndpoints, ask: Ask, head: list[Any]) -> None:
    server.reply(raw=head)

    with pytest.raises(APITimeoutError):
        ask(first_event=0.6)


@pytest.mark.parametrize("piece", [b"[[[]]],", b"{},", b'{"a":[]},'])
def test_small_body_that_becomes_a_hundred_million_brackets_is_not_read(
    server: LocalEndpoints, ask: Ask, piece: bytes
) -> None:
    """117 KB that become 120 MB, and those 4 GB; a loop must not be held while they are looked at."""
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(b"[" + piece * (120 * MB // len(piece))) + packer.flush()
    server.reply(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    with at_most(500), pytest.raises(InvalidResponseError):
        ask()


def test_body_of_as_many_brackets_as_an_answer_may_have_bytes_is_not_read() -> None:
    body = b"[" + b"[[[]]]," * (LARGEST_ANSWER // 7 - 1) + b"[]]"

    with at_most(50), pytest.raises(InvalidResponseError, match="more than 1,000,000 objects and arrays"):
        Whole(200, {}, body, EXCHANGE).json()


NAMES = ["arguments", "choices", "code", "content", "data", "delta", "embedding", "error", "finish_reason", "function"]
NAMES += ["id", "index", "logprobs", "message", "name", "reasoning", "text", "tool_calls", "type", "usage"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["choices", "error", "message", "data", "usage", "id", "model"]), JSON)


class TestAnyJSON:
    """Whatever comes is an answer or a typed error, and never another exception."""

    @given(OBJECTS)
    @settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
    def test_as_a_whole_answer(self, body: dict[str, Any]) -> None:
        with suppressed():
            read_answer(body, b"{}", EXCHANGE, ChatRequest(BODY))

    @given(st.lists(OBJECTS, max_size=4))
    @settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
    def test_as_events(self, events: list[dict[str, Any]]) -> None:

        reply = Reply(ChatRequest(BODY))
        with suppressed():
            for event in events:
                list(reply.feed(b"data: " + json.dumps(event).encode() + b"\n\n"))
            list(reply.end())

    @given(OBJECTS, st.integers(1, 3))
    @settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
    def test_as_vectors(self, body: dict[str, Any], count: int) -> None:
        with suppressed():
            found = read_vectors(body, b"{}", count=count).vectors
            assert len(found) == count

    @given(st.binary(max_size=200), st.integers(100, 999), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
    def test_as_the_body_of_an_error(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        error = status_error(status, headers, body, model="gpt-oss-120b", url="https://h/v1/chat/completions")

        assert str(error)
        assert error.retry_after is None or error.retry_after >= 0


@contextmanager
def suppressed() -> Iterator[None]:
    try:
        yield
    except OVHCloudError as error:
        assert str(error)  # noqa: PT017 - it need not come
