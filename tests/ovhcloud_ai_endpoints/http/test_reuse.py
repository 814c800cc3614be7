"""What one call leaves behind on a connection that the next one uses."""

import asyncio
import gc
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpcore
import pytest
import trustme
from forwarding import Forwarder

from ovhcloud_ai_endpoints import Timeouts
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REQUEST = ChatRequest({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]})

Twice = Callable[[Settings], list[str]]


@pytest.fixture(params=["blocking", "httpx", "aiohttp"])
def twice(request: pytest.FixtureRequest) -> Twice:
    """The texts of two answers, the second of which could use the connection of the first."""

    def blocking(settings: Settings) -> list[str]:
        return [Client(settings).send(REQUEST).messages[0].text for _ in range(2)]

    async def awaited(settings: Settings) -> list[str]:
        settings = replace(settings, http_backend=request.param)
        return [(await AsyncClient(settings).send(REQUEST)).messages[0].text for _ in range(2)]

    return blocking if request.param == "blocking" else lambda settings: asyncio.run(awaited(settings))


def answer(text: str, *, is_chunked: bool = False) -> bytes:
    message = {"role": "assistant", "content": text}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if is_chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Overflowing(socketserver.ThreadingTCPServer):
    """Sends the answers to two requests at the first."""

    daemon_threads = True
    block_on_close = False
    way = "length"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := b"".join(iter(self.rfile.readline, b"\r\n")):
                sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self.rfile.read(int(sizes[0].partition(b":")[2]))
                way = getattr(self.server, "way", "")
                body, end, rest = answer("asked for", is_chunked=way != "length").rpartition(b"0\r\n\r\n")
                self.wfile.write(body)
                if way == "end of chunks later":
                    threading.Event().wait(0.05)  # as a `Pause` of the local server
                self.wfile.write(end + rest + answer("left over"))


@pytest.fixture(params=["length", "chunks", "end of chunks later"])
def overflowing(request: pytest.FixtureRequest) -> Iterator[int]:
    with Overflowing(("127.0.0.1", 0), Overflowing.Handler) as server:
        server.way = request.param
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def of(url: str, **options: Any) -> Settings:
    return Settings(base_url=url, api_key="key", retry=Retry(max_retries=0), trust_env=False, **options)


class TestSurplus:
    """Bytes behind an answer are not the answer to the next request."""

    def test_is_not_read(self, overflowing: int, twice: Twice) -> None:
        assert twice(of(f"http://127.0.0.1:{overflowing}/v1")) == ["asked for", "asked for"]

    def test_is_not_read_from_a_proxy(self, overflowing: int, twice: Twice) -> None:
        settings = of("http://elsewhere.invalid/v1", proxy=f"http://127.0.0.1:{overflowing}")

        assert twice(settings) == ["asked for", "asked for"]

    @pytest.mark.parametrize("is_proxied", [False, True])
    def test_is_not_read_through_tls(self, overflowing: int, twice: Twice, is_proxied: bool) -> None:
        authority, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(theirs)
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
        with Forwarder(overflowing, theirs) as secure, Forwarder(0, None) as proxy:
            url = f"http://127.0.0.1:{proxy.port}" if is_proxied else None
            settings = of(f"https://localhost:{secure.port}/v1", verify=ours, proxy=url)

            assert twice(settings) == ["asked for", "asked for"]


@pytest.mark.parametrize("way", ["blocking", "awaited"])
def test_idle_connection_keeps_neither_request_nor_key(server: LocalEndpoints, way: str) -> None:
    settings = Settings(base_url=server.base_url, api_key=server.api_key)

    def requests() -> int:
        gc.collect()
        return sum(isinstance(one, httpcore.Request) for one in gc.get_objects())

    async def awaited() -> int:
        before = requests()
        await AsyncClient(settings).send(REQUEST)
        return requests() - before

    before = requests()
    if way == "blocking":
        Client(settings).send(REQUEST)
        assert requests() == before
    else:
        assert asyncio.run(awaited()) == 0


def test_large_body_over_aiohttp_needs_no_thread_of_the_loop(server: LocalEndpoints) -> None:
    settings = Settings(
        base_url=server.base_url, api_key=server.api_key, http_backend="aiohttp", timeouts=Timeouts(first_event=20)
    )
    large = ChatRequest({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "x" * 400_000}]})
    release = threading.Event()

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, release.wait, 30)
        try:
            answered = await AsyncClient(settings).send(large)
            assert not busy.done()
        finally:
            release.set()
        await busy
        return answered.messages[0].text

    assert asyncio.run(main())
