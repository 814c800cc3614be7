"""Pools: what is kept for the next call, for how long, and how much at most."""

import asyncio
import gc
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from waiting import eventually, sockets_to

from ovhcloud_ai_endpoints import NotFoundError, RateLimitError, _process
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http import loop_pools, pools, process_pools
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.pools import KEPT_CONNECTIONS, KEPT_ROUTES, KEPT_SECONDS, Pool, Pools
from ovhcloud_ai_endpoints._http.reaper import Reaper
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.routes import Route
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**BODY, "stream": True}
TEXT = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
MB = 1_000_000


class Connected:
    """A connection that only says whether it was closed."""

    def __init__(self) -> None:
        self.is_free = True
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def pool() -> Pool[Connected, threading.Semaphore]:
    return Pool(Connected, threading.Semaphore)


class TestPool:
    def test_the_last_used_comes_first(self) -> None:
        one = pool()
        with one.connection() as first, one.connection() as second:
            pass

        with one.connection() as third, one.connection() as fourth:
            assert (third, fourth) == (first, second)

    def test_what_was_not_read_to_the_end_is_not_kept(self) -> None:
        one = pool()
        with one.connection() as broken:
            broken.is_free = False

        assert broken.is_closed
        with one.connection() as other:
            assert other is not broken

    def test_what_was_idle_for_too_long_is_closed_and_nothing_else(self) -> None:
        one = pool()
        with one.connection() as first, one.connection() as second:
            pass
        one._idle[0] = (second, 10.0)
        one._idle[1] = (first, 20.0)

        assert one.close_idle(before=15.0) == 20.0
        assert (first.is_closed, second.is_closed) == (False, True)
        assert one.close_idle(before=20.0) == float("inf")
        assert first.is_closed

    def test_closing_spares_what_is_in_use_until_it_comes_back(self) -> None:
        one = pool()
        with one.connection() as idle:
            pass
        with one.connection() as first, one.connection() as second:
            one.close()
            assert idle is first
            assert not first.is_closed
            assert not second.is_closed
        assert first.is_closed
        assert second.is_closed

    def test_keeps_no_more_than_it_may(self) -> None:
        one = pool()
        taken = [one.take() for _ in range(KEPT_CONNECTIONS + 3)]
        for connection in taken:
            one.give_back(connection, one.closings)

        assert len(one._idle) == KEPT_CONNECTIONS
        assert sum(connection.is_closed for connection in taken) == 3

    def test_slots_are_shared_by_number_and_kind(self) -> None:
        one = pool()

        assert one.slots(5, "/chat/completions") is one.slots(5, "/chat/completions")
        assert one.slots(5, "/batches/1") is one.slots(5, "/batches/2?limit=20")
        assert (
            len({id(one.slots(*key)) for key in ((5, "/chat/completions"), (5, "/embeddings"), (6, "/embeddings"))})
            == 3
        )


class TestPools:
    def test_those_without_users_are_bounded_and_the_last_used_stay(self) -> None:
        some: Pools[Connected, threading.Semaphore] = Pools()
        used: Any = "used"
        some.enter(used, pool)
        gone = []
        for route in range(KEPT_ROUTES + 5):
            one: Any = route
            if surplus := some.leave(one, some.enter(one, pool)):
                gone.append(surplus)

        assert len(gone) == 5
        assert used in some
        assert all(route in some for route in range(5, KEPT_ROUTES + 5))  # type: ignore[operator]
        assert not any(route in some for route in range(5))  # type: ignore[operator]

    def test_are_closed_with_those_in_use(self) -> None:
        all_of_them: Pools[Connected, threading.Semaphore] = Pools()
        route = Route.of(Settings())
        used = all_of_them.enter(route, pool)
        with used.connection() as connected:
            all_of_them.close()
            assert not connected.is_closed

        assert connected.is_closed


async def test_child_that_goes_on_with_the_loop_of_its_parent_has_pools_of_its_own() -> None:
    parents = await loop_pools.LoopPools.running()
    assert await loop_pools.LoopPools.running() is parents
    parents.process += 1  # as a forked child sees it

    assert await loop_pools.LoopPools.running() is not parents


@pytest.fixture
def server() -> Iterator[LocalEndpoints]:
    with LocalEndpoints(requests_per_minute=10**6) as endpoints:
        yield endpoints


@pytest.fixture
def _no_pools() -> Iterator[None]:
    """Begins and ends with none, whatever other tests have left."""
    process_pools._process.pools.close()
    yield
    process_pools._process.pools.close()


@pytest.mark.usefixtures("_no_pools")
class TestBounds:
    """What a process keeps for servers, proxies, certificates, keys and models that it met once."""

    @staticmethod
    def held(ask: Callable[[int], object], count: int, first: int = 100) -> float:
        """Megabytes that are held after so many calls, beyond those after the first."""
        for at in range(first):
            ask(at)
        gc.collect()
        tracemalloc.start()
        try:
            for at in range(first, count):
                ask(at)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / MB
        finally:
            tracemalloc.stop()

    @staticmethod
    def routes() -> int:
        return len(list(process_pools._process.pools))

    def test_of_a_thousand_servers(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
        names, before = [f"http://host-{at}.invalid/v1" for at in range(1000)], sockets_to(server)

        def ask(at: int) -> None:
            with pytest.raises(NotFoundError):
                Client(Settings(base_url=names[at])).send(ChatRequest(BODY))

        assert self.held(ask, 1000) < 30
        assert self.routes() == KEPT_ROUTES
        assert sockets_to(server) - before == KEPT_ROUTES

        for name in names:
            ChatOptions(model="gpt-oss-120b", base_url=name).close()
        assert self.routes() == 0
        assert sockets_to(server) == before

    def test_of_three_hundred_proxies(self, server: LocalEndpoints) -> None:
        def ask(at: int) -> None:
            proxy = server.base_url.removesuffix("/v1").replace("//", f"//session-{at}:word@")
            with pytest.raises(NotFoundError):
                Client(Settings(base_url="http://elsewhere.invalid/v1", proxy=proxy)).send(ChatRequest(BODY))

        assert self.held(ask, 300) < 30
        assert self.routes() == KEPT_ROUTES

    def test_of_three_hundred_contexts(self, server: LocalEndpoints) -> None:
        def ask(at: int) -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            Client(Settings(base_url=server.base_url, api_key=server.api_key, verify=context)).send(ChatRequest(BODY))

        assert self.held(ask, 300) < 30
        assert self.routes() == KEPT_ROUTES

    def test_of_more_keys_that_are_refused_once_than_are_remembered(self) -> None:
        refusal = httpx.Response(429, headers={"Retry-After": "50"}, json={"message": "API rate limit exceeded"})
        with httpx.Client(transport=httpx.MockTransport(lambda _: refusal)) as given:

            def ask(at: int) -> None:
                settings = Settings(
                    base_url="http://keys.example/v1",
                    api_key=SecretStr(f"key-{at}"),
                    http_client=given,
                    retry=Retry(max_retries=0),
                )
                with pytest.raises(RateLimitError):
                    Client(settings).send(ChatRequest(BODY))

            assert self.held(ask, 2_500) < 5

    def test_of_more_names_of_models_than_are_remembered(self) -> None:
        for at in range(4_500):
            ChatOptions(model=f"model-{at}")

        assert all(len(table) <= table._most for table in _process._tables)


@pytest.mark.usefixtures("_no_pools")
class TestIdleConnections:
    def test_are_closed_in_pools_that_nobody_uses(
        self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pools, "KEPT_SECONDS", 0.05)
        monkeypatch.setattr(process_pools, "_reaper", Reaper(process_pools._sweep))
        Client(Settings(base_url=server.base_url, api_key=server.api_key)).send(ChatRequest(BODY))

        assert eventually(lambda: sockets_to(server) == 0)

    async def test_are_closed_on_a_loop_too(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pools, "KEPT_SECONDS", 0.05)
        monkeypatch.setattr(loop_pools, "KEPT_SECONDS", 0.05)
        await AsyncClient(Settings(base_url=server.base_url, api_key=server.api_key)).send(ChatRequest(BODY))

        async with asyncio.timeout(10):
            while sockets_to(server):  # noqa: ASYNC110 - what the kernel knows sets no event
                await asyncio.sleep(0.005)

    def test_are_kept_long_enough(self) -> None:
        assert 15 <= KEPT_SECONDS <= 60


class TestReaper:
    def test_goes_on_after_a_job_that_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        raised: list[Any] = []
        monkeypatch.setattr(threading, "excepthook", lambda told: raised.append(told.exc_type))
        reaper, closed = Reaper(lambda now: float("inf")), threading.Event()

        def fail() -> None:
            raise ValueError

        reaper.close(fail)
        assert eventually(lambda: raised == [ValueError])
        reaper.close(closed.set)

        assert closed.wait(10)

    def test_closes_what_it_is_given_and_ends(self) -> None:
        reaper = Reaper(lambda now: float("inf"))
        done = threading.Event()
        reaper.close(done.set)
        assert done.wait(5)

        thread = reaper._thread
        assert thread is None or thread.daemon

    def test_ends_when_there_is_nothing_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ovhcloud_ai_endpoints._http.reaper.LINGER_SECONDS", 0.01)
        reaper = Reaper(lambda now: float("inf"))
        reaper.watch()
        thread = reaper._thread
        assert thread is not None
        thread.join(5)

        assert not thread.is_alive()
        assert reaper._thread is None
        done = threading.Event()
        reaper.close(done.set)
        assert done.wait(5)

    def test_closes_at_once_where_no_thread_can_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread at interpreter shutdown")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        reaper, closed = Reaper(lambda now: float("inf")), []
        reaper.close(lambda: closed.append(True))

        assert closed == [True]

    def test_wakes_for_what_is_idle(self) -> None:
        swept = threading.Event()

        def sweep(now: float) -> float:
            if swept.is_set():
                return float("inf")
            if not seen:
                seen.append(now)
                return now + 0.01
            swept.set()
            return float("inf")

        seen: list[float] = []
        Reaper(sweep).watch()

        assert swept.wait(5)


def test_thread_that_closes_ends_after_the_last_connection(
    server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "KEPT_SECONDS", 0.05)
    monkeypatch.setattr("ovhcloud_ai_endpoints._http.reaper.LINGER_SECONDS", 0.05)
    monkeypatch.setattr(process_pools, "_reaper", Reaper(process_pools._sweep))
    process_pools._process.pools.close()
    server.reply(events=[TEXT, Pause(0.1)])
    settings = Settings(base_url=server.base_url, api_key=server.api_key)
    with Client(settings).stream(ChatRequest(STREAM)) as deltas:
        next(deltas)
    Client(settings).send(ChatRequest(BODY))

    assert eventually(lambda: process_pools._reaper._thread is None)
