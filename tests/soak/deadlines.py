"""By how much calls overrun their time, when a server is late: python tests/soak/deadlines.py

Each answer that is late in some way, plain, by TLS and through a proxy, whole and streamed, blocking, awaited, and
awaited over aiohttp; also a handshake that drips, and an upload that nobody takes. Prints the most of each.
"""

import asyncio
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

sys.path.append(str(Path(__file__).parents[1] / "support"))

from forwarding import Forwarder
from late import EVENT, LATE, answered

from ovhcloud_ai_endpoints import APITimeoutError, Timeouts
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
SECONDS = 0.35
MOST_OVERRUN = 0.2
PINGS: list[Any] = [*[b": ping\n\n", Pause(0.1)] * 30, EVENT]


def whole(settings: Settings, body: dict[str, Any] = BODY) -> None:
    Client(settings).send(ChatRequest(body))


def streamed(settings: Settings) -> None:
    with Client(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        list(deltas)


async def astreamed(settings: Settings) -> None:
    async with AsyncClient(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        async for _ in deltas:
            pass


def overrun(ask: Callable[[], object]) -> float:
    """Seconds beyond the time that a call has; infinite if it does not notice."""
    began = time.monotonic()
    with suppress(APITimeoutError):
        ask()
        return float("inf")
    return time.monotonic() - began - SECONDS


def ways(settings: Settings) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """How a whole answer and a stream are asked for."""

    def awaited(backend: Any) -> tuple[Callable[[], object], Callable[[], object]]:
        over = replace(settings, http_backend=backend)
        return (
            lambda: asyncio.run(AsyncClient(over).send(ChatRequest(BODY))),
            lambda: asyncio.run(astreamed(over)),
        )

    return {
        "blocking": (lambda: whole(settings), lambda: streamed(settings)),
        "awaited": awaited("httpx"),
        "over aiohttp": awaited("aiohttp"),
    }


def late_answers(server: LocalEndpoints, settings: Settings, path: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for way, (ask, stream) in ways(settings).items():
        for late, reply in LATE.items():
            for kind, one in (("whole", ask), ("stream", stream)):
                server.reply(raw=reply(*answered(kind)))
                name = f"{path:20} {way:13} {late}"
                found[name] = max(found.get(name, 0.0), overrun(one))
        server.reply(events=PINGS)
        found[f"{path:20} {way:13} pings"] = overrun(stream)
    return found


def slow_peers() -> dict[str, float]:
    """A handshake that drips, and an upload that nobody takes."""
    found: dict[str, float] = {}
    for scheme, what in (("https", "handshake that drips"), ("http", "upload that nobody takes")):
        with socket.create_server(("127.0.0.1", 0)) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            settings = Settings(
                base_url=f"{scheme}://127.0.0.1:{peer.getsockname()[1]}/v1",
                retry=Retry(max_retries=0),
                timeouts=Timeouts(connect=SECONDS, first_event=SECONDS),
                verify=False,
            )
            taken: list[socket.socket] = []
            threading.Thread(target=drip, args=(peer, taken, scheme == "https"), daemon=True).start()
            large = {**BODY, "messages": [{"role": "user", "content": "x" * 20_000_000}]}
            found[f"{'':20} {'blocking':13} {what}"] = overrun(lambda: whole(settings, large))  # noqa: B023 - at once
            awaited = lambda: asyncio.run(AsyncClient(settings).send(ChatRequest(large)))  # noqa: B023, E731 - at once
            found[f"{'':20} {'awaited':13} {what}"] = overrun(awaited)
            for connected in taken:
                connected.close()
    return found


def drip(peer: socket.socket, taken: list[socket.socket], is_dripping: bool) -> None:
    with suppress(OSError):
        while True:
            connected, _ = peer.accept()
            taken.append(connected)
            if is_dripping:
                threading.Thread(target=drip_handshake, args=(connected,), daemon=True).start()


def drip_handshake(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.sendall(b"\x16\x03\x03\x40\x00")
        for _ in range(50):
            threading.Event().wait(0.1)
            connected.sendall(b"\x00")


def main() -> int:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, LocalEndpoints() as server:
        certificate = str(Path(folder) / "ca.pem")
        authority.cert_pem.write_to_path(certificate)
        plain = Settings(
            base_url=server.base_url,
            api_key=server.api_key,
            retry=Retry(max_retries=0),
            timeouts=Timeouts(connect=5, first_event=SECONDS, idle=SECONDS),
        )
        with Forwarder(urlsplit(server.base_url).port or 0, tls) as secure, Forwarder(0, None) as proxy:
            by_tls = replace(plain, base_url=f"https://localhost:{secure.port}/v1", verify=certificate)
            through = replace(by_tls, proxy=f"http://127.0.0.1:{proxy.port}")
            for path, settings in (("plain", plain), ("TLS", by_tls), ("TLS through a proxy", through)):
                found |= late_answers(server, settings, path)
    found |= slow_peers()  # last, when all is imported
    print(f"seconds beyond {SECONDS} s:")
    for name, seconds in found.items():
        print(f"{name:58} {seconds:.3f}")
    is_well = max(found.values()) < MOST_OVERRUN
    print(f"the most: {max(found.values()):.3f}; {'held' if is_well else 'FAILED'}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
