"""Each test once, for the client that blocks and for the one that is awaited."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio.from_thread
import httpx
import pytest
import trio
from pydantic import SecretStr
from waiting import eventually

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    RateLimitError,
    StreamInterruptedError,
    Timeouts,
)
from ovhcloud_ai_endpoints._chat.request import ChatRequest, chat_request
from ovhcloud_ai_endpoints._embeddings import EmbeddingOptions, EmbeddingRun, aembed
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import BASE_URL, Settings
from ovhcloud_ai_endpoints._values import Answer, Delta, Exchange
from ovhcloud_ai_endpoints.testing import CUT, RESET, LocalEndpoints, Pause

PATH = "/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**BODY, "stream": True}
QUICK = Retry(backoff=0.001)

TEXT = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
MORE = {"id": "c", "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]}


class Elsewhere(ChatRequest):
    path = "/rerank"


class Blocking:
    """Either client, as calls that block."""

    def __init__(self, settings: Settings, portal: anyio.from_thread.BlockingPortal | None) -> None:
        self.settings = settings
        self._portal = portal

    def using(self, **settings: Any) -> "Blocking":
        return Blocking(replace(self.settings, **settings), self._portal)

    def post(self, body: dict[str, Any] = BODY, path: str = PATH) -> tuple[dict[str, Any], Exchange]:
        answer = self.send(ChatRequest(body) if path == PATH else Elsewhere(body))
        return answer.body, answer.exchange

    def send(self, request: Any) -> Any:
        if self._portal is None:
            return Client(self.settings).send(request)
        return self._portal.call(AsyncClient(self.settings).send, request)

    def stream(self, take: int | None = None, between: Any = lambda _: None) -> tuple[list[Delta], Answer | None]:
        """The deltas of a stream, or the first few; `between` is called with each."""
        if self._portal is not None:
            return self._portal.call(self._astream, take, between)
        seen = []
        with Client(self.settings).stream(ChatRequest(STREAM)) as deltas:
            for delta in deltas:
                seen.append(delta)
                between(delta)
                if len(seen) == take:
                    return seen, None
            return seen, deltas.result()

    async def _astream(self, take: int | None, between: Any) -> tuple[list[Delta], Answer | None]:
        seen = []
        async with AsyncClient(self.settings).stream(ChatRequest(STREAM)) as deltas:
            async for delta in deltas:
                seen.append(delta)
                between(delta)
                if len(seen) == take:
                    return seen, None
            return seen, deltas.result()


@pytest.fixture(params=["blocking", "httpx", "aiohttp"])
def client(request: pytest.FixtureRequest, server: LocalEndpoints) -> Iterator[Blocking]:
    settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url, retry=QUICK)
    if request.param == "blocking":
        yield Blocking(settings, None)
    else:
        with anyio.from_thread.start_blocking_portal() as portal:
            yield Blocking(replace(settings, http_backend=request.param), portal)


@pytest.fixture(params=["post", "stream"])
def ask(request: pytest.FixtureRequest, client: Blocking) -> Any:
    """A call that asks for a whole answer or for a stream."""
    return lambda **settings: getattr(client.using(**settings), request.param)()


@pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.ModelDeprecationWarning")
def test_answer_comes_with_what_is_known_of_the_call(server: LocalEndpoints, client: Blocking) -> None:
    server.reply("Hi", headers={"x-request-id": "r-1", "x-warning": "This model is deprecated"})

    body, exchange = client.post()

    assert body["choices"][0]["message"]["content"] == "Hi"
    assert (exchange.request_id, exchange.attempts, exchange.waited) == ("r-1", 1, 0.0)
    assert exchange.warning == "This model is deprecated"
    assert exchange.first_event_after is not None


def test_stream_gives_deltas_and_then_the_answer(server: LocalEndpoints, client: Blocking) -> None:
    server.reply("Hello you", reasoning="They greet", headers={"x-request-id": "r-2"})

    deltas, answer = client.stream()

    assert "".join(delta.text for delta in deltas) == "Hello you"
    assert "".join(delta.reasoning for delta in deltas) == "They greet"
    assert answer is not None
    assert answer.messages[0].text == "Hello you"
    assert answer.exchange.request_id == "r-2"


def test_request_is_what_was_asked_and_no_more(server: LocalEndpoints, client: Blocking) -> None:
    client.using(default_headers={"X-Team": "blue"}).post()

    request = server.requests[-1]
    assert request.json == BODY
    assert request.api_key == server.api_key
    assert request.headers["x-team"] == "blue"
    assert request.headers["user-agent"].startswith("ovhcloud-ai-endpoints/")
    assert "cookie" not in request.headers


def test_host_may_be_another_than_the_url_has(server: LocalEndpoints, client: Blocking) -> None:
    client.using(default_headers={"host": "gateway.example"}).post()

    assert server.requests[-1].headers["host"] == "gateway.example"


def test_no_key_is_no_authorization_header(server: LocalEndpoints, client: Blocking) -> None:
    client.using(api_key=None).post()

    assert "authorization" not in server.requests[-1].headers


def test_connection_is_kept_after_answers_and_streams(server: LocalEndpoints, client: Blocking) -> None:
    for _ in range(3):
        client.post()
        client.stream()

    assert {request.connection for request in server.requests} == {1}


def test_cookies_are_not_kept(server: LocalEndpoints, client: Blocking) -> None:
    server.reply("Hi", headers={"Set-Cookie": "session=1"})
    client.post()
    client.post()

    assert "cookie" not in server.requests[-1].headers


class TestRetries:
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
    def test_passing_failures_are_tried_again(self, server: LocalEndpoints, ask: Any, status: int) -> None:
        server.reply(status=status, headers={"Retry-After": "0"}, times=2)

        ask()

        assert len(server.requests) == 3

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
    def test_lasting_failures_are_not(self, server: LocalEndpoints, ask: Any, status: int) -> None:
        server.reply(status=status)

        with pytest.raises(OVHCloudError) as caught:
            ask()

        assert caught.value.status == status
        assert len(server.requests) == 1

    def test_connection_lost_before_the_answer_is_tried_again(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(raw=[RESET])
        server.reply(raw=[CUT])

        ask()

        assert len(server.requests) == 3

    def test_no_retries_is_one_request(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=503)

        with pytest.raises(InternalServerError) as caught:
            ask(retry=Retry(max_retries=0))

        assert caught.value.attempts == 1
        assert len(server.requests) == 1

    def test_error_says_how_often_was_tried(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=503, headers={"Retry-After": "0.01"}, times=3)

        with pytest.raises(InternalServerError, match="3 attempts") as caught:
            ask()

        assert caught.value.attempts == 3
        assert caught.value.waited >= 0.02

    def test_wait_beyond_the_limit_is_not_begun_and_told(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=429, headers={"Retry-After": "3600"})

        with pytest.raises(RateLimitError, match="asks to wait 3600 s"):
            ask()

        assert len(server.requests) == 1

    def test_read_that_timed_out_is_not_tried_again(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(raw=[Pause(5)])

        with pytest.raises(APITimeoutError, match=r"No answer began within 0\.1 s"):
            ask(timeouts=Timeouts(first_event=0.1))

        assert len(server.requests) == 1

    def test_retries_share_one_deadline(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=429, headers={"Retry-After": "1"}, times=3)

        with pytest.raises(RateLimitError):
            ask(timeouts=Timeouts(first_event=0.5))

        assert len(server.requests) == 1

    def test_refused_connection_is_tried_again_and_told(self, client: Blocking) -> None:
        with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1:9/v1") as caught:
            client.using(base_url="http://127.0.0.1:9/v1").post()

        assert caught.value.attempts == 3


class TestErrors:
    def test_wrong_key(self, client: Blocking) -> None:
        with pytest.raises(AuthenticationError, match="OVHCLOUD_API_KEY"):
            client.using(api_key=SecretStr("wrong")).post()

    def test_unknown_model(self, client: Blocking) -> None:
        with pytest.raises(NotFoundError, match="gpt-oss-120b"):
            client.post({**BODY, "model": "gpt-oss-12b"})

    def test_unknown_path(self, client: Blocking) -> None:
        with pytest.raises(NotFoundError):
            client.post(path="/rerank")

    def test_refusal_as_plain_text(self, client: Blocking) -> None:
        with pytest.raises(BadRequestError, match="unknown variant `xhigh`") as caught:
            client.post({**BODY, "reasoning_effort": "xhigh"})

        assert caught.value.status == 422

    def test_too_large(self, client: Blocking) -> None:
        with pytest.raises(PayloadTooLargeError, match=r"2\.00 MB were sent"):
            client.post({**BODY, "messages": [{"role": "user", "content": "x" * 2_100_000}]})

    def test_too_large_is_not_sent_to_ovhcloud(self, server: LocalEndpoints, client: Blocking) -> None:
        message: Any = {"role": "user", "content": "x" * 2_100_000}

        with pytest.raises(PayloadTooLargeError, match=r"has 2,100,\d+ bytes; the service takes 2,097,152\."):
            client.send(chat_request([message], {}, model="gpt-oss-120b", base_url=BASE_URL))
        assert server.requests == []

    def test_page_of_a_proxy(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(
            status=403, body="<html><title>Blocked by policy</title></html>", headers={"Content-Type": "text/html"}
        )

        with pytest.raises(OVHCloudError, match="HTML page, not the API: Blocked by policy"):
            ask()

    @pytest.mark.parametrize("body", [b"", b'{"choices": [', b"<html>hello", b"[]", b"\xff\xff"])
    def test_unreadable_answer_shows_its_first_bytes(
        self, server: LocalEndpoints, client: Blocking, body: bytes
    ) -> None:
        server.reply(body=body)

        with pytest.raises(InvalidResponseError, match=r"It begins with|It is empty"):
            client.post()

    def test_answer_that_is_no_stream_is_an_error(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(body={"error": {"message": "no room", "code": 503}})
        server.reply(body={"choices": []})

        with pytest.raises(InternalServerError, match="no room"):
            client.stream()
        with pytest.raises(InvalidResponseError, match="not a stream"):
            client.stream()

    def test_server_that_speaks_no_http(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(raw=[b"SSH-2.0-OpenSSH\r\n\r\n"])

        with pytest.raises(InvalidResponseError, match="HTTP server"):
            ask()

    def test_redirect_is_not_followed(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=307, headers={"Location": "http://127.0.0.1:9/v1?secret=1"})

        with pytest.raises(InvalidResponseError, match=r"redirects to http://127\.0\.0\.1:9/v1, where no key is sent"):
            ask()

        assert len(server.requests) == 1

    def test_answer_cut_in_the_middle(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(raw=[b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", CUT])

        with pytest.raises(APIConnectionError, match="lost before the answer ended"):
            client.post()

        assert len(server.requests) == 1

    @pytest.mark.parametrize("end", [CUT, RESET, Pause(5)])
    def test_error_whose_body_is_cut_is_still_that_error(self, server: LocalEndpoints, ask: Any, end: Any) -> None:
        server.reply(raw=[b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{", end], times=3)

        with pytest.raises(InternalServerError) as caught:
            ask(timeouts=Timeouts(first_event=0.5))

        assert caught.value.status == 503

    def test_redirect_is_not_followed_by_a_given_client_either(self, server: LocalEndpoints) -> None:
        server.reply(status=307, headers={"Location": "http://127.0.0.1:9/v1"})
        with httpx.Client(follow_redirects=True) as given:
            settings = Settings(base_url=server.base_url, http_client=given)
            with pytest.raises(InvalidResponseError, match="redirects"):
                Client(settings).send(ChatRequest(BODY))

    def test_half_of_a_surrogate_pair_is_replaced(self, server: LocalEndpoints, client: Blocking) -> None:
        client.post({**BODY, "messages": [{"role": "user", "content": "a\ud800"}]})

        assert server.requests[0].json["messages"][0]["content"] == "a\ufffd"

    def test_key_that_a_server_repeats_is_not_shown(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(status=401, body={"message": f"bad key {server.api_key}"}, headers={"X-Echo": server.api_key})

        with pytest.raises(AuthenticationError) as caught:
            ask()

        error = caught.value
        assert server.api_key not in f"{error}{error!r}{error.body}{error.headers}{error.args}"

    def test_header_that_a_server_repeats_is_not_shown(self, server: LocalEndpoints, ask: Any) -> None:
        token = "token-of-a-gateway"
        server.reply(status=400, body={"message": f"bad header {token}"}, headers={"X-Echo": token})

        with pytest.raises(BadRequestError) as caught:
            ask(default_headers={"X-Gateway-Token": token, "X-Proxy": f"Basic {token}"})

        error = caught.value
        assert token not in f"{error}{error!r}{error.body}{error.headers}{error.args}"

    def test_what_moves_a_terminals_cursor_is_shown_as_text(self, server: LocalEndpoints, ask: Any) -> None:
        said = {"message": "\x1b[31mred\x1b]0;title\x07\r\n\u202egnp.exe \x9b2J"}
        server.reply(status=400, body=said, headers={"x-request-id": "id\x1b[2J"})

        with pytest.raises(BadRequestError) as caught:
            ask()

        assert str(caught.value).isprintable()
        assert "\\x1b[31mred" in str(caught.value)
        assert "\\u202e" in str(caught.value)

    def test_error_in_a_good_answer_tells_of_the_call_and_not_the_key(
        self, server: LocalEndpoints, client: Blocking
    ) -> None:
        server.reply(status=429, headers={"Retry-After": "0"})
        server.reply(body={"error": {"message": f"bad {server.api_key}"}}, headers={"x-request-id": "r-1"})

        with pytest.raises(InternalServerError) as caught:
            client.post()

        assert server.api_key not in str(caught.value)
        assert (caught.value.attempts, caught.value.request_id) == (2, "r-1")

    @pytest.mark.parametrize("clock", [600, None])
    def test_time_out_of_the_system_is_a_lost_connection(self, clock: float | None) -> None:
        """Which keepalive causes when the peer is dead."""

        def dead(_: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("[Errno 110] Connection timed out")

        with httpx.Client(transport=httpx.MockTransport(dead)) as given:
            settings = Settings(http_client=given, timeouts=Timeouts(first_event=clock), retry=QUICK)
            with pytest.raises(APIConnectionError, match="Connection timed out"):
                Client(settings).send(ChatRequest(BODY))

    def test_proxy_of_the_environment_needs_no_scheme(
        self, server: LocalEndpoints, client: Blocking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", server.base_url.removeprefix("http://").removesuffix("/v1"))

        with pytest.raises(NotFoundError, match="not found"):
            client.using(base_url="http://elsewhere.invalid/v1").post()

        assert server.requests[-1].path == "http://elsewhere.invalid/v1/chat/completions"

    def test_answer_that_is_encoded_several_times_is_refused(self, server: LocalEndpoints, ask: Any) -> None:
        server.reply(body=b"x", headers={"Content-Encoding": "gzip, gzip"})

        with pytest.raises(InvalidResponseError, match="encoded as gzip, gzip"):
            ask()

    def test_whole_answer_has_one_deadline(self, server: LocalEndpoints, client: Blocking) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
        server.reply(raw=[head, *[Pause(0.2), b"x"] * 25])  # inside a chunk's header, so that no read of ours ends
        started = time.monotonic()

        with pytest.raises(APITimeoutError):
            client.using(timeouts=Timeouts(first_event=0.3)).post()

        assert time.monotonic() - started < 2

    def test_error_of_ours_is_not_taken_for_the_services(self, client: Blocking) -> None:
        """Only what httpx raises is translated; a bug stays what it is."""

        def key() -> str:
            raise KeyError("vault")

        with pytest.raises(KeyError):
            client.using(api_key=key).post()


class TestStreams:
    @pytest.mark.parametrize("end", [RESET, CUT])
    def test_stream_that_is_cut_raises_with_what_had_arrived(
        self, server: LocalEndpoints, client: Blocking, end: Any
    ) -> None:
        server.reply(events=[TEXT, end])

        with pytest.raises(StreamInterruptedError) as caught:
            client.stream()

        assert caught.value.partial.text == "Hel"
        assert len(server.requests) == 1

    def test_stream_that_just_ends_raises(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT])

        with pytest.raises(StreamInterruptedError, match="partial"):
            client.stream()

    @pytest.mark.parametrize("end", [[], [RESET], [CUT], ["[DONE]"], ["[DONE]", CUT], ["[DONE]", b"\xffrubbish\n\n"]])
    def test_stream_that_has_finished_is_complete(
        self, server: LocalEndpoints, client: Blocking, end: list[Any]
    ) -> None:
        server.reply(events=[TEXT, MORE, *end])

        _, answer = client.stream()

        assert answer is not None
        assert answer.messages[0].text == "Hello"

    def test_stream_that_is_not_closed_after_its_end_is_complete(
        self, server: LocalEndpoints, client: Blocking
    ) -> None:
        server.reply(events=[TEXT, MORE, "[DONE]", Pause(5)])

        _, answer = client.stream()

        assert answer is not None

    def test_stream_that_is_not_closed_needs_no_clock(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, MORE, "[DONE]", Pause(5)])

        _, answer = client.using(timeouts=Timeouts(first_event=None, idle=None)).stream()

        assert answer is not None

    def test_silence_is_an_error(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, Pause(5)])

        with pytest.raises(APITimeoutError, match=r"silent for 0\.2 s"):
            client.using(timeouts=Timeouts(idle=0.2)).stream()

    def test_pings_do_not_break_the_silence(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, *[b": ping\n\n", Pause(0.05)] * 40])

        with pytest.raises(APITimeoutError, match=r"silent for 0\.2 s"):
            client.using(timeouts=Timeouts(idle=0.2)).stream()

    def test_flood_of_pings_does_not_break_the_silence(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, *[b": p\n\n" * 2000] * 4000])

        with pytest.raises(APITimeoutError):
            client.using(timeouts=Timeouts(idle=0.2)).stream()

    def test_pings_are_no_first_event(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[b": ping\n\n", Pause(0.1), b": ping\n\n", Pause(5)])

        with pytest.raises(APITimeoutError, match=r"No answer began within 0\.2 s"):
            client.using(timeouts=Timeouts(first_event=0.2)).stream()

    def test_stream_that_flows_is_never_cut(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[*[TEXT, Pause(0.1)] * 5, MORE, "[DONE]"])

        _, answer = client.using(timeouts=Timeouts.of(0.3)).stream()

        assert answer is not None

    def test_total_bounds_a_stream_that_flows(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, Pause(0.05)] * 40)

        with pytest.raises(APITimeoutError, match=r"not complete within 0\.3 s"):
            client.using(timeouts=Timeouts(total=0.3)).stream()

    def test_silence_may_be_longer_than_the_wait_for_the_first_event(
        self, server: LocalEndpoints, client: Blocking
    ) -> None:
        server.reply(events=[TEXT, Pause(0.3), MORE, "[DONE]"])

        _, answer = client.using(timeouts=Timeouts(first_event=0.15, idle=5)).stream()

        assert answer is not None

    def test_bytes_without_end_after_the_end_are_not_waited_for(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, MORE, "[DONE]", *[b": ping\n\n", Pause(0.05)] * 60])

        _, answer = client.stream()

        assert answer is not None
        client.post()
        assert eventually(lambda: server.hung_up == 1)

    def test_slow_reader_is_not_silence(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, Pause(0.05), MORE, "[DONE]"])
        busy = threading.Event()

        _, answer = client.using(timeouts=Timeouts(idle=0.2)).stream(between=lambda _: busy.wait(0.3))

        assert answer is not None

    def test_slow_reader_of_several_events_in_one_packet_is_not_silence(
        self, server: LocalEndpoints, client: Blocking
    ) -> None:
        packet = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in (TEXT, TEXT, TEXT))
        server.reply(events=[packet, Pause(0.05), MORE, "[DONE]"])
        busy = threading.Event()

        _, answer = client.using(timeouts=Timeouts(idle=0.2)).stream(between=lambda _: busy.wait(0.15))

        assert answer is not None

    def test_error_in_the_stream_is_what_its_status_would_be(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, {"error": {"message": "overloaded", "code": 503}}])

        with pytest.raises(InternalServerError, match="overloaded"):
            client.stream()

        assert len(server.requests) == 1

    def test_reader_who_leaves_closes_the_connection(self, server: LocalEndpoints, client: Blocking) -> None:
        server.reply(events=[TEXT, Pause(5)])

        client.stream(take=1)
        client.post()

        assert server.requests[-1].connection == 2
        assert eventually(lambda: server.hung_up == 1)

    def test_slots_are_waited_for_and_given_back(self, server: LocalEndpoints, client: Blocking) -> None:
        one = client.using(max_concurrency=1, timeouts=Timeouts(first_event=0.5))
        server.reply(status=400)

        with pytest.raises(BadRequestError):
            one.post()
        for _ in range(3):
            one.post()
            one.stream(take=1)


def test_slots_bound_what_runs_at_once(server: LocalEndpoints) -> None:
    settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url, max_concurrency=2)
    server.reply("late", pause=0.05, times=6)

    async def main() -> None:
        await asyncio.gather(*(AsyncClient(settings).send(ChatRequest(BODY)) for _ in range(6)))

    asyncio.run(main())

    assert {request.connection for request in server.requests} == {1, 2}


def test_waiting_for_a_slot_counts_against_no_clock(server: LocalEndpoints) -> None:
    settings = Settings(
        api_key=SecretStr(server.api_key),
        base_url=server.base_url,
        max_concurrency=1,
        timeouts=Timeouts(first_event=0.3, total=0.3),
    )
    server.reply("late", pause=0.2, times=3)

    async def main() -> None:
        await asyncio.gather(*(AsyncClient(settings).send(ChatRequest(BODY)) for _ in range(3)))

    asyncio.run(main())

    assert len(server.requests) == 3


def test_trio_is_told_that_embedding_needs_asyncio() -> None:
    options = EmbeddingOptions(base_url="http://127.0.0.1:9/v1")
    run = EmbeddingRun(["text"], model="bge-m3", base_url=options.base_url)

    with pytest.raises(RuntimeError, match="Under trio, make blocking calls"):
        trio.run(aembed, run, options)


def test_trio_is_told_that_asyncio_is_needed(server: LocalEndpoints) -> None:
    async def main() -> None:
        await AsyncClient(Settings(base_url=server.base_url)).send(ChatRequest(BODY))

    with pytest.raises(RuntimeError, match="asyncio"):
        trio.run(main)
