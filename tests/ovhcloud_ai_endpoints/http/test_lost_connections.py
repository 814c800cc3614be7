"""Connections that a firewall has forgotten: they look alive until they are used."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from batching import chat_request, settings_of
from middleboxes import Firewall, serving

from ovhcloud_ai_endpoints._http import AsyncClient, Client
from ovhcloud_ai_endpoints.testing import LocalEndpoints

AT_ONCE = 8  # calls, so that more connections are idle afterwards than a call has attempts


def blocking(settings: Any, between: Callable[[], None]) -> int:
    """Makes calls at once, and one after something has happened; returns its attempts."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda at: Client(settings).send(chat_request(f"{at}")), range(AT_ONCE)))
    between()
    return Client(settings).send(chat_request("again")).exchange.attempts


def awaited(settings: Any, between: Callable[[], None]) -> int:
    async def main() -> int:
        client = AsyncClient(settings)
        await asyncio.gather(*(client.send(chat_request(f"{at}")) for at in range(AT_ONCE)))
        between()
        return (await client.send(chat_request("again"))).exchange.attempts

    return asyncio.run(main())


@pytest.mark.parametrize("calls", [blocking, awaited])
@pytest.mark.parametrize("backend", ["httpx", "aiohttp"])
def test_call_needs_one_more_attempt_however_many_connections_are_lost(
    server: LocalEndpoints, calls: Any, backend: str
) -> None:
    server.reply("Yes.", until=lambda: len(server.requests) >= AT_ONCE, times=AT_ONCE)
    firewall = Firewall(int(server.base_url.split(":")[2].partition("/")[0]))
    with serving(firewall) as port:
        settings = settings_of(server, base_url=f"http://127.0.0.1:{port}/v1", http_backend=backend)

        assert calls(settings, firewall.forget) == 2
        assert firewall.resets == 1
