"""Loops, threads, forks, cancellation, garbage: nothing is left behind, and nobody waits for ever."""

import asyncio
import gc
import importlib
import multiprocessing
import os
import threading
import time
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
import uvloop
from pydantic import SecretStr
from scripts import run_script
from waiting import eventually, sockets_to

from ovhcloud_ai_endpoints import OVHCloudError, StreamInterruptedError
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.limits import limiter
from ovhcloud_ai_endpoints._http.loop_pools import aclose, async_pool
from ovhcloud_ai_endpoints._http.process_pools import blocking_pool
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._values import Delta
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**BODY, "stream": True}
TEXT = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}


@pytest.fixture
def settings(server: LocalEndpoints) -> Settings:
    return Settings(api_key=server.api_key, base_url=server.base_url, retry=Retry(max_retries=0))


def pool_for(settings: Settings) -> Any:
    with blocking_pool(settings) as pool:
        return pool


class TestLifetimes:
    def test_each_loop_has_its_own_client_and_leaves_nothing(self, server: LocalEndpoints) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)

        for _ in range(5):
            asyncio.run(AsyncClient(settings).send(ChatRequest(BODY)))

        assert len(server.requests) == 5
        assert len({request.connection for request in server.requests}) == 5

    def test_many_objects_share_one_pool_and_tls_context(self) -> None:
        settings = [Settings(base_url="https://one.example/v1", api_key=SecretStr(str(key))) for key in range(100)]
        elsewhere = Settings(base_url="https://two.example/v1")

        pools = {id(pool_for(one)) for one in settings}
        contexts = {id(pool_for(one)._connect()._pool._options["ssl_context"]) for one in (settings[0], elsewhere)}

        assert len(pools) == 1
        assert len(contexts) == 1

    def test_leaving_a_stream_closes_it_whoever_still_holds_it(self, server: LocalEndpoints) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
        server.reply(events=[TEXT, Pause(5)])

        with Client(settings).stream(ChatRequest(STREAM)) as deltas:
            held = iter(deltas)
            next(held)
        Client(settings).send(ChatRequest(BODY))

        assert eventually(lambda: server.hung_up == 1)
        del held

    async def test_leaving_an_asynchronous_stream_closes_it_whoever_still_holds_it(
        self, server: LocalEndpoints
    ) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
        server.reply(events=[TEXT, Pause(5)])

        async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
            held = aiter(deltas)
            await anext(held)
        await AsyncClient(settings).send(ChatRequest(BODY))

        assert eventually(lambda: server.hung_up == 1)
        del held

    def test_task_that_is_cancelled_closes_its_connection(self, server: LocalEndpoints) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
        server.reply(events=[TEXT, Pause(5)])

        async def main() -> None:
            first = asyncio.Event()

            async def read() -> None:
                async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
                    async for _ in deltas:
                        first.set()

            task = asyncio.create_task(read())
            await first.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            await AsyncClient(settings).send(ChatRequest(BODY))

        asyncio.run(main())

        assert eventually(lambda: server.hung_up == 1)

    def test_threads_share_the_client_that_blocks(self, server: LocalEndpoints) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
        threads = [threading.Thread(target=Client(settings).send, args=(ChatRequest(BODY),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(server.requests) == 8
        assert len({id(pool_for(settings)) for _ in range(8)}) == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_forked_child_has_connections_of_its_own(self, server: LocalEndpoints) -> None:
        settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url)
        Client(settings).send(ChatRequest(BODY))

        child = os.fork()
        if child == 0:
            try:
                Client(settings).send(ChatRequest(BODY))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        Client(settings).send(ChatRequest(BODY))

        assert [request.connection for request in server.requests] == [1, 2, 1]

    @pytest.mark.parametrize("library", ["httpx", "httpx2"])
    def test_given_clients_are_used_and_not_closed(self, server: LocalEndpoints, library: str) -> None:
        with importlib.import_module(library).Client(headers={"X-Given": "yes"}) as given:
            settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url, http_client=given)
            Client(settings).send(ChatRequest(BODY))
            with Client(settings).stream(ChatRequest(STREAM)) as deltas:
                list(deltas)
            server.reply(events=[TEXT, CUT])
            with pytest.raises(StreamInterruptedError), Client(settings).stream(ChatRequest(STREAM)) as deltas:
                list(deltas)

            assert not given.is_closed
        assert {request.headers["x-given"] for request in server.requests} == {"yes"}

    async def test_given_async_clients_are_used_and_not_closed(self, server: LocalEndpoints) -> None:
        async with httpx.AsyncClient(headers={"X-Given": "yes"}) as given:
            settings = Settings(api_key=SecretStr(server.api_key), base_url=server.base_url, http_async_client=given)
            await AsyncClient(settings).send(ChatRequest(BODY))

            assert not given.is_closed
        assert server.requests[-1].headers["x-given"] == "yes"


class TestLoops:
    def test_run_side_by_side_in_threads(self, server: LocalEndpoints, settings: Settings) -> None:
        async def main() -> int:
            answers = await asyncio.gather(*(AsyncClient(settings).send(ChatRequest(BODY)) for _ in range(5)))
            return len(answers)

        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda _: asyncio.run(main()), range(12)))

        assert done == [5] * 12
        assert sockets_to(server) == 0

    def test_of_uvloop_are_like_any_other(self, server: LocalEndpoints, settings: Settings) -> None:
        server.reply(events=[TEXT, Pause(5)], times=2)

        async def main() -> str:
            async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
                first = await anext(deltas)
            task = asyncio.create_task(anext(aiter(self.stream(settings))))
            await task
            await AsyncClient(settings).send(ChatRequest(BODY))
            return first.text

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(main()) == "Hel"
        assert eventually(lambda: server.hung_up == 2)

    @staticmethod
    async def stream(settings: Settings) -> AsyncIterator[Delta]:
        async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
            async for delta in deltas:
                yield delta

    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    def test_that_are_never_closed_take_their_connections_with_them(
        self, server: LocalEndpoints, settings: Settings
    ) -> None:
        for _ in range(5):
            asyncio.new_event_loop().run_until_complete(AsyncClient(settings).send(ChatRequest(BODY)))
        gc.collect()

        assert sockets_to(server) == 0

    def test_are_not_kept_by_a_given_client_either(self, server: LocalEndpoints, settings: Settings) -> None:
        given, loops = httpx.AsyncClient(), []
        one = replace(settings, http_async_client=given, max_concurrency=1)

        async def main() -> None:
            loops.append(weakref.ref(asyncio.get_running_loop()))
            await asyncio.gather(*(AsyncClient(one).send(ChatRequest(BODY)) for _ in range(3)))
            await given._transport._pool.aclose()

        for _ in range(3):
            asyncio.run(main())
        gc.collect()

        assert [loop() for loop in loops] == [None] * 3

    def test_may_be_busy_with_other_threads(self, server: LocalEndpoints, settings: Settings) -> None:
        """The first call reads certificates in a thread, and must not wait for one of the loop's own."""
        release = threading.Event()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            blocked = loop.run_in_executor(None, release.wait)
            async with asyncio.timeout(5):
                await AsyncClient(settings).send(ChatRequest(BODY))
            release.set()
            await blocked

        asyncio.run(main())

    def test_end_without_a_word_when_a_stream_is_left_open(
        self, server: LocalEndpoints, settings: Settings, capfd: pytest.CaptureFixture[str]
    ) -> None:
        server.reply(events=[TEXT, Pause(5)], times=3)
        kept = []

        async def leaves() -> None:
            async for _ in self.stream(settings):
                break

        async def keeps() -> None:
            kept.append(self.stream(settings))
            await anext(kept[0])

        async def fails() -> None:
            async for _ in self.stream(settings):
                raise KeyError

        asyncio.run(leaves())
        asyncio.run(keeps())
        with pytest.raises(KeyError):
            asyncio.run(fails())

        assert eventually(lambda: server.hung_up == 3)
        assert capfd.readouterr().err == ""


def _ask(base_url: str, key: str) -> str:
    request = ChatRequest(BODY)
    return Client(Settings(api_key=key, base_url=base_url)).send(request).messages[0].text


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & {*multiprocessing.get_all_start_methods()}))
def test_processes_have_connections_of_their_own(server: LocalEndpoints, method: str) -> None:
    _ask(server.base_url, server.api_key)
    with multiprocessing.get_context(method).Pool(2) as pool:
        answers = pool.starmap(_ask, [(server.base_url, server.api_key)] * 4)

    assert len(set(answers)) == 1
    assert _ask(server.base_url, server.api_key) == answers[0]
    numbers = [request.connection for request in server.requests]
    assert numbers[0] == numbers[-1]
    assert numbers[0] not in numbers[1:-1]


class TestClosing:
    class Model(ChatOptions):
        pass

    @pytest.fixture
    def model(self, server: LocalEndpoints) -> "TestClosing.Model":
        return self.Model(model="gpt-oss-120b", api_key=server.api_key, base_url=server.base_url)

    def test_closes_what_is_idle(self, server: LocalEndpoints, model: Any) -> None:
        with model:
            Client(model._ovhcloud_settings).send(ChatRequest(BODY))
            assert sockets_to(server) == 1
        assert sockets_to(server) == 0

        Client(model._ovhcloud_settings).send(ChatRequest(BODY))
        assert server.requests[-1].connection == 2
        model.close()
        model.close()

    async def test_closes_what_is_idle_on_a_loop(self, server: LocalEndpoints, model: Any) -> None:
        async with model:
            await AsyncClient(model._ovhcloud_settings).send(ChatRequest(BODY))
            assert sockets_to(server) == 1
        assert sockets_to(server) == 0

        await AsyncClient(model._ovhcloud_settings).send(ChatRequest(BODY))
        assert server.requests[-1].connection == 2
        await model.aclose()
        await model.aclose()

    def test_lets_others_end_what_they_are_at(self, server: LocalEndpoints, model: Any) -> None:
        other = Settings(api_key=server.api_key, base_url=server.base_url)
        with Client(other).stream(ChatRequest(STREAM)) as deltas:
            next(deltas)
            model.close()
            Client(other).send(ChatRequest(BODY))
            assert list(deltas)
            assert sockets_to(server) == 2
        assert sockets_to(server) == 1

    async def test_lets_others_end_what_they_are_at_on_a_loop(self, server: LocalEndpoints, model: Any) -> None:
        other = Settings(api_key=server.api_key, base_url=server.base_url)
        async with AsyncClient(other).stream(ChatRequest(STREAM)) as deltas:
            await anext(deltas)
            await model.aclose()
            await AsyncClient(other).send(ChatRequest(BODY))
            assert [delta async for delta in deltas]
            assert sockets_to(server) == 2
        await asyncio.sleep(0)  # in which the loop closes the socket
        assert sockets_to(server) == 1

    def test_of_an_object_with_a_given_client_closes_nothing_of_others(
        self, server: LocalEndpoints, model: Any
    ) -> None:
        Client(model._ovhcloud_settings).send(ChatRequest(BODY))
        with httpx.Client() as given, self.Model(model="gpt-oss-120b", base_url=server.base_url, http_client=given):
            pass

        assert sockets_to(server) == 1

    async def test_never_closes_a_given_client(self, server: LocalEndpoints) -> None:
        async with httpx.AsyncClient() as awaited:
            with httpx.Client() as given:
                model = self.Model(model="gpt-oss-120b", http_client=given, http_async_client=awaited)
                with model:
                    pass
                async with model:
                    pass
                assert not given.is_closed
            assert not awaited.is_closed


@pytest.mark.timeout(90)
class TestCancellation:
    """A task is cancelled at each of its turns of the loop, one after the other; then all must be as it was."""

    @pytest.fixture
    def server(self) -> Iterator[LocalEndpoints]:
        with LocalEndpoints(requests_per_minute=10**6) as endpoints:
            yield endpoints

    ENOUGH = 3  # times that a call has ended before it was cancelled, so that there is nothing left to cancel

    @pytest.fixture(params=["httpx", "aiohttp"])
    def settings(self, request: pytest.FixtureRequest, server: LocalEndpoints) -> Settings:
        return Settings(
            api_key=server.api_key,
            base_url=server.base_url,
            http_backend=request.param,
            max_concurrency=1,
            retry=Retry(max_retries=1, backoff=0.0),
        )

    @pytest.fixture(params=["once", "twice", "by anyio"])
    def cancelled(self, request: pytest.FixtureRequest) -> Any:
        """Cancels a call after so many turns of the loop; whether it had ended before."""

        async def once(turns: int, call: Any) -> bool:
            task = asyncio.create_task(call)
            for _ in range(turns):
                await asyncio.sleep(0)
            had_ended = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return had_ended

        async def twice(turns: int, call: Any) -> bool:
            task = asyncio.create_task(call)
            for _ in range(turns):
                await asyncio.sleep(0)
            had_ended = task.done()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return had_ended

        async def by_anyio(turns: int, call: Any) -> bool:
            ended = []

            async def run() -> None:
                await call
                ended.append(True)

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                for _ in range(turns):
                    await asyncio.sleep(0)
                had_ended = bool(ended)
                group.cancel_scope.cancel()
            return had_ended

        return {"once": once, "twice": twice, "by anyio": by_anyio}[request.param]

    async def at_each_turn(self, server: LocalEndpoints, settings: Settings, cancelled: Any, call: Any) -> None:
        turns = ended = 0
        while ended < self.ENOUGH:
            ended += await cancelled(turns, call())
            server.reset()
            await self.check(server, settings)
            turns += 1 + turns // 12
        assert turns > 4

    async def check(self, server: LocalEndpoints, settings: Settings) -> None:
        async with asyncio.timeout(3):
            await AsyncClient(settings).send(ChatRequest(BODY))
        with await async_pool(settings) as pool:
            assert pool.users == 1
            for _ in range(200):  # turns, in which sockets are closed
                if sockets_to(server) == len(pool._idle) == 1:
                    break
                await asyncio.sleep(0.001)
            else:
                pytest.fail(f"left behind: {len(pool._idle)} idle connections, {sockets_to(server)} sockets")
        assert len(asyncio.all_tasks()) == 1

    @pytest.mark.parametrize("fault", [None, "reset", "503"])
    async def test_of_a_whole_answer(
        self, server: LocalEndpoints, settings: Settings, cancelled: Any, fault: str | None
    ) -> None:
        async def chat() -> None:
            if fault:
                server.fail(fault)
            await AsyncClient(settings).send(ChatRequest(BODY))

        await self.at_each_turn(server, settings, cancelled, chat)

    async def test_of_a_connection_that_is_being_made(
        self, server: LocalEndpoints, settings: Settings, cancelled: Any
    ) -> None:
        for turns in range(30):
            await aclose(settings)
            await cancelled(turns, AsyncClient(settings).send(ChatRequest(BODY)))
            await self.check(server, settings)

    async def test_of_a_stream(self, server: LocalEndpoints, settings: Settings, cancelled: Any) -> None:
        async def read() -> None:
            async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
                async for _ in deltas:
                    pass

        await self.at_each_turn(server, settings, cancelled, read)

    async def test_while_waiting_for_a_slot(self, server: LocalEndpoints, settings: Settings, cancelled: Any) -> None:
        server.reply(events=[TEXT, Pause(5)])
        async with AsyncClient(settings).stream(ChatRequest(STREAM)):
            for turns in range(20):
                await cancelled(turns, AsyncClient(settings).send(ChatRequest(BODY)))
        await self.check(server, settings)

    async def test_while_waiting_for_the_limit(
        self, server: LocalEndpoints, settings: Settings, cancelled: Any
    ) -> None:
        one = limiter(settings.base_url, server.api_key, "gpt-oss-120b")
        one.record(time.monotonic(), 429, {"retry-after": "30"})

        for turns in range(20):
            await cancelled(turns, AsyncClient(settings).send(ChatRequest(BODY)))

        assert one._queue == []
        assert server.requests == []

    def test_of_a_wait_for_the_limit_that_blocks(self, server: LocalEndpoints, settings: Settings) -> None:
        one = limiter(settings.base_url, server.api_key, "gpt-oss-120b")
        one.record(time.monotonic(), 429, {"retry-after": "30"})
        over = threading.Event()
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                Client(settings, over).send(ChatRequest(BODY))
            except OVHCloudError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert eventually(lambda: one._queue)
        over.set()
        thread.join(3)

        assert not thread.is_alive()
        assert len(errors) == 1
        assert one._queue == []


class TestGarbage:
    def test_half_read_stream_in_a_cycle_is_closed_though_its_slots_are_locked(
        self, server: LocalEndpoints, settings: Settings
    ) -> None:
        """The collector may run at any moment, also while a slot is being taken in this very thread."""
        server.reply(events=[TEXT, Pause(5)])

        def read() -> Iterator[Delta]:
            with Client(settings).stream(ChatRequest(STREAM)) as deltas:
                yield from deltas

        class Session:
            def __init__(self) -> None:
                self.stream = read()
                self.first = next(self.stream)
                self.me = self

        def collect() -> None:
            with blocking_pool(settings) as pool:
                lock = pool.slots(settings.max_concurrency, "/chat/completions")._cond
            Session()
            with lock:
                gc.collect()

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        thread.join(5)

        assert not thread.is_alive()
        assert eventually(lambda: server.hung_up == 1)
        Client(settings).send(ChatRequest(BODY))

    def test_stream_that_is_thrown_away_gives_its_slot_back(self, server: LocalEndpoints) -> None:
        one = Settings(api_key=server.api_key, base_url=server.base_url, max_concurrency=1)
        server.reply(events=[TEXT, Pause(5)])

        def read() -> Iterator[Delta]:
            with Client(one).stream(ChatRequest(STREAM)) as deltas:
                yield from deltas

        stream = read()
        next(stream)
        del stream
        Client(one).send(ChatRequest(BODY))

        assert eventually(lambda: server.hung_up == 1)


class TestFlatness:
    """The whole of it, 10,000 calls and 1,000 cancelled streams, is part of `make soak`."""

    async def test_calls_and_cancelled_streams_leave_nothing(self) -> None:
        with LocalEndpoints(requests_per_minute=10**6) as server:
            settings = Settings(api_key=server.api_key, base_url=server.base_url)

            async def stream() -> None:
                async with AsyncClient(settings).stream(ChatRequest(STREAM)) as deltas:
                    async for _ in deltas:
                        pass

            async def round_() -> None:
                for _ in range(20):
                    await asyncio.gather(*(AsyncClient(settings).send(ChatRequest(BODY)) for _ in range(10)))
                    server.reply(events=[TEXT, Pause(5)], times=5)
                    tasks = [asyncio.create_task(stream()) for _ in range(5)]
                    await asyncio.to_thread(eventually, lambda: not server.unplayed)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    server.reset()

            async def held() -> int:
                await aclose(settings)
                gc.collect()
                return sum(stat.size for stat in tracemalloc.take_snapshot().filter_traces(OURS).statistics("filename"))

            await round_()
            tracemalloc.start()
            try:
                await round_()
                sockets, first = sockets_to(server), await held()
                await round_()
                second = await held()
            finally:
                tracemalloc.stop()

        assert second - first < 12_000
        assert sockets <= 15


OURS = [
    tracemalloc.Filter(inclusive=True, filename_pattern=pattern)
    for pattern in ("*/ovhcloud_ai_endpoints/_*", "*/httpx/*", "*/httpcore/*", "*/h11/*")
]


def test_nothing_blocks_a_loop(server: LocalEndpoints) -> None:
    """In a process of its own, so that the local server's loop is not looked at."""
    assert run_script(server, "blocking.py")[-1] == "nothing blocked"
