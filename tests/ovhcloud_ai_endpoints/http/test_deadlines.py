"""What makes a call late in every way that there is: plain, by TLS, through a proxy; blocking and awaited.

Each of these answers ends well, a few seconds after the time is up; so a call that does not notice has an answer, and
no test looks at a clock.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from forwarding import Forwarder
from late import EVENT, LATE, answered

from ovhcloud_ai_endpoints import APITimeoutError, Timeouts
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["plain", "TLS", "TLS through a proxy"])
def settings(
    request: pytest.FixtureRequest, server: LocalEndpoints, authority: trustme.CA, tmp_path: Path
) -> Iterator[Settings]:
    plain = Settings(
        base_url=server.base_url,
        api_key=server.api_key,
        retry=Retry(max_retries=0),
        timeouts=Timeouts(connect=5, first_event=0.35, idle=0.35),
    )
    if request.param == "plain":
        yield plain
        return
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Forwarder(httpx.URL(server.base_url).port or 0, context) as tls, Forwarder(0, None) as proxy:
        through = f"http://127.0.0.1:{proxy.port}" if "proxy" in request.param else None
        yield replace(
            plain, base_url=f"https://localhost:{tls.port}/v1", verify=str(tmp_path / "ca.pem"), proxy=through
        )


WHOLE = ChatRequest(BODY)


def whole(settings: Settings, request: ChatRequest = WHOLE) -> Any:
    return Client(settings).send(request)


def streamed(settings: Settings) -> Any:
    with Client(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return list(deltas)


async def astreamed(settings: Settings) -> Any:
    async with AsyncClient(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return [delta async for delta in deltas]


@pytest.fixture(params=["blocking", "httpx", "aiohttp"])
def ask(request: pytest.FixtureRequest) -> dict[str, Ask]:
    """How a whole answer and a stream are asked for."""
    if request.param == "blocking":
        return {"whole": whole, "stream": streamed}

    def over(settings: Settings) -> Settings:
        return replace(settings, http_backend=request.param)

    return {
        "whole": lambda settings, request=WHOLE: asyncio.run(AsyncClient(over(settings)).send(request)),
        "stream": lambda settings: asyncio.run(astreamed(over(settings))),
    }


@pytest.mark.parametrize("kind", ["whole", "stream"])
@pytest.mark.parametrize("late", LATE)
def test_answer_that_is_late_is_given_up(
    server: LocalEndpoints, settings: Settings, ask: dict[str, Ask], kind: str, late: str
) -> None:
    server.reply(raw=LATE[late](*answered(kind)))

    with pytest.raises(APITimeoutError):
        ask[kind](settings)


def test_pings_are_no_answer(server: LocalEndpoints, settings: Settings, ask: dict[str, Ask]) -> None:
    server.reply(events=[*[b": ping\n\n", Pause(0.1)] * 30, EVENT])

    with pytest.raises(APITimeoutError):
        ask["stream"](settings)


class TestSlowPeers:
    """What is no answer of HTTP yet."""

    @pytest.fixture
    def peer(self) -> Iterator[socket.socket]:
        """Accepts connections, and does no more by itself."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            yield listening

    def settings_for(self, peer: socket.socket, scheme: str) -> Settings:
        return Settings(
            base_url=f"{scheme}://127.0.0.1:{peer.getsockname()[1]}/v1",
            retry=Retry(max_retries=0),
            timeouts=Timeouts(connect=0.35, first_event=0.35),
            verify=False,
        )

    def test_handshake_that_drips(self, peer: socket.socket, ask: dict[str, Ask]) -> None:
        ended = threading.Event()

        def drip() -> None:
            connected, _ = peer.accept()
            with connected:
                connected.sendall(b"\x16\x03\x03\x40\x00")  # the beginning of a record of TLS, and then byte by byte
                for _ in range(30):
                    if ended.wait(0.1):
                        break
                    connected.sendall(b"\x00")

        dripper = threading.Thread(target=drip, daemon=True)
        dripper.start()
        with pytest.raises(APITimeoutError):
            ask["whole"](self.settings_for(peer, "https"))
        ended.set()
        dripper.join(5)

    def test_upload_that_nobody_takes(self, peer: socket.socket, ask: dict[str, Ask]) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taken: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: taken.append(peer.accept()[0]), daemon=True)
        accepting.start()
        request = ChatRequest({**BODY, "messages": [{"role": "user", "content": "x" * 20_000_000}]})

        with pytest.raises(APITimeoutError):
            ask["whole"](self.settings_for(peer, "http"), request)
        accepting.join(5)
        taken[0].close()
