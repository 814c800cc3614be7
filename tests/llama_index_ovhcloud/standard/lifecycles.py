"""One object in many loops and threads, and streams that are left early."""

import asyncio
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause
from standard.ways import HELLO, Suite, piece

OPEN_FILES = Path("/proc/self/fd")


def open_files() -> int:
    gc.collect()
    return len(os.listdir(OPEN_FILES))  # noqa: PTH208 - the names are enough


def wait_until(fact: Any) -> None:
    """Gives the other side a moment to notice."""
    for _ in range(200):
        if fact():
            return
        time.sleep(0.01)


async def until(fact: Any) -> None:
    """The same without blocking the loop."""
    for _ in range(200):
        if fact():
            return
        await asyncio.sleep(0.01)


class LifecycleTests(Suite):
    def test_each_loop_is_one_request(self, server: LocalEndpoints, llm: Any) -> None:
        for _ in range(5):
            assert asyncio.run(llm.achat(HELLO)).message.content

        assert len(server.requests) == 5

    @pytest.mark.skipif(not OPEN_FILES.exists(), reason="counts open files in /proc")
    def test_loops_leave_no_files_open(self, server: LocalEndpoints, llm: Any) -> None:
        for _ in range(3):
            asyncio.run(llm.achat(HELLO))
        before = open_files()

        for _ in range(20):
            asyncio.run(llm.achat(HELLO))

        wait_until(lambda: open_files() <= before)
        assert open_files() <= before + 2

    def test_threads_may_share_it(self, server: LocalEndpoints, llm: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: llm.chat(HELLO).message.content, range(32)))

        assert all(answers)
        assert len(server.requests) == 32

    def test_threads_may_each_have_a_loop(self, server: LocalEndpoints, llm: Any) -> None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: asyncio.run(llm.achat(HELLO)).message.content, range(12)))

        assert all(answers)
        assert len(server.requests) == 12

    def test_many_tasks_may_share_it(self, server: LocalEndpoints, llm: Any) -> None:
        async def main() -> list[Any]:
            return await asyncio.gather(*(llm.achat(HELLO) for _ in range(32)))

        assert all(response.message.content for response in asyncio.run(main()))
        assert len(server.requests) == 32

    def test_blocking_call_within_a_loop_works(self, llm: Any) -> None:
        async def main() -> Any:
            return llm.chat(HELLO)

        assert asyncio.run(main()).message.content

    def test_stream_that_is_left_is_hung_up(self, server: LocalEndpoints, llm: Any) -> None:
        server.reply(events=[piece({"content": "Hi"}), Pause(5)])
        responses = llm.stream_chat(HELLO)
        next(responses)

        responses.close()

        wait_until(lambda: server.hung_up)
        assert server.hung_up == 1

    def test_asynchronous_stream_that_is_left_is_hung_up(self, server: LocalEndpoints, llm: Any) -> None:
        server.reply(events=[piece({"content": "Hi"}), Pause(5)])

        async def main() -> None:
            responses = await llm.astream_chat(HELLO)
            await anext(responses)
            await responses.aclose()
            await until(lambda: server.hung_up)

        asyncio.run(main())

        assert server.hung_up == 1

    def test_task_that_is_cancelled_hangs_up(self, server: LocalEndpoints, llm: Any) -> None:
        server.reply("Hi", pause=5)

        async def main() -> None:
            task = asyncio.create_task(llm.achat(HELLO))
            await until(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

        wait_until(lambda: server.hung_up)
        assert server.hung_up == 1
