"""Functions in rounds: what waits, what goes on, and what neither loses nor pays twice."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from batching import Caller, batch_on, be_patient, chat_request, collected, jobs_made, texts_asked
from waiting import eventually

from ovhcloud_ai_endpoints import Batch, OVHCloudError, Waiting
from ovhcloud_ai_endpoints._batches import awaited_rounds
from ovhcloud_ai_endpoints._batches.workers import working_since
from ovhcloud_ai_endpoints._http import AsyncClient, Client
from ovhcloud_ai_endpoints.testing import LocalEndpoints

Mapped = Callable[..., dict[int, Any]]


@pytest.fixture
def call(server: LocalEndpoints) -> Caller:
    return Caller(server)


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    with batch_on(tmp_path) as found:
        yield found


@pytest.fixture(params=["blocking", "awaited"])
def mapped(request: pytest.FixtureRequest, batch: Batch) -> Mapped:
    """Maps a function that is given as an awaited one, and asks by what it is handed: in one way or the other."""

    def run(function: Any, inputs: Any, on: Batch | None = None) -> dict[int, Any]:
        used = on or batch
        if request.param == "awaited":
            return asyncio.run(collected(used.amap(function, inputs)))
        return dict(used.map(lambda value: _driven(function(value)), inputs))

    run.is_awaited = request.param == "awaited"  # type: ignore[attr-defined]
    return run


def _driven(coroutine: Any) -> Any:
    """Runs a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        coroutine.close()
    raise AssertionError("it waits")


def pooled(function: Callable[[int], str], numbers: Iterable[int], workers: int) -> list[str]:
    """What a function returns for each number, from a pool whose threads have the context of this one."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda number: context.copy().run(function, number), numbers))


def asking(call: Caller, mapped: Mapped) -> Any:
    """`await ask(text)`, which blocks in a blocking map."""
    if mapped.is_awaited:  # type: ignore[attr-defined]
        return call.aask

    async def ask(text: str, **more: Any) -> str:
        return call.ask(text, **more)

    return ask


class TestRounds:
    def test_two_calls_take_two(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        ask = asking(call, mapped)

        async def work(text: str) -> str:
            return str(await ask(f"then: {await ask(text)}"))

        found = mapped(work, ["Rome", "Oslo", "Bern"])

        assert sorted(found) == [0, 1, 2]
        assert all(city in found[place] for place, city in enumerate(["Rome", "Oslo", "Bern"]))
        assert jobs_made(server) == 2
        assert len(server.batches.lines) == 6

    def test_branches_take_their_own(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        ask = asking(call, mapped)

        async def work(number: int) -> str:
            text = f"Start {number}"
            for step in range(number):
                text = await ask(f"{step} of {number}")
            return text

        found = mapped(work, range(4))

        assert found[0] == "Start 0"
        assert all(f"{number - 1} of {number}" in found[number] for number in range(1, 4))
        assert jobs_made(server) == 3
        assert len(server.batches.lines) == 6

    def test_what_is_answered_is_not_asked_again(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        ask = asking(call, mapped)
        first, again = mapped(ask, ["Rome", "Oslo"]), mapped(ask, ["Rome", "Oslo"])

        assert first == again
        assert len(server.batches.lines) == 2

    def test_no_inputs(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        assert mapped(asking(call, mapped), iter(())) == {}
        assert server.requests == []

    @pytest.mark.parametrize("inputs", ["Hello", {"a": 1}])
    def test_one_text_or_dict_is_no_inputs(self, call: Caller, mapped: Mapped, inputs: Any) -> None:
        with pytest.raises(TypeError, match="inputs must be an iterable of inputs; got a"):
            mapped(call.ask, inputs)

    def test_first_argument_is_a_function(self, batch: Batch) -> None:
        with pytest.raises(TypeError, match=r"function must be a function, such as chain\.invoke; got str"):
            next(batch.map("Hello", ["Rome"]))  # type: ignore[arg-type]

    def test_unknown_model_comes_with_the_nearest_names(self, call: Caller, mapped: Mapped) -> None:
        found = mapped(functools.partial(asking(call, mapped), model="gpt-oss-12b"), ["Hello"])

        assert "the nearest names are gpt-oss-120b" in str(found[0])

    def test_inputs_of_a_generator_keep_their_places(self, call: Caller, mapped: Mapped) -> None:
        found = mapped(asking(call, mapped), (f"Say {number}" for number in range(30)))

        assert all(found[number].endswith(f"Say {number}") for number in range(30))

    def test_an_exception_is_an_answer(self, call: Caller, mapped: Mapped) -> None:
        ask = asking(call, mapped)
        failure = KeyError("mine")

        async def work(number: int) -> str:
            if number == 1:
                raise failure
            text = await ask(f"Say {number}")
            if number == 2:
                raise failure
            return str(text)

        found = mapped(work, range(4))

        assert found[1] is failure
        assert found[2] is failure
        assert found[3].endswith("Say 3")

    def test_inputs_that_fail_are_raised(self, call: Caller, mapped: Mapped) -> None:
        def inputs() -> Iterator[str]:
            yield "Rome"
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            mapped(asking(call, mapped), inputs())

    def test_ten_rounds_at_most(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        ask = asking(call, mapped)

        async def work(_: int) -> None:
            for step in range(100):
                await ask(f"Step {step}")

        found = mapped(work, range(1))

        assert "after 10 rounds" in str(found[0])
        assert len(server.batches.lines) == 10

    @pytest.mark.parametrize("share", [True, False])
    def test_equal_requests_of_inputs(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, mapped: Mapped, share: bool
    ) -> None:
        with batch_on(tmp_path, share=share) as other:
            found = mapped(asking(call, mapped), ["Rome"] * 5, other)

        assert len(found) == 5
        assert len(server.batches.lines) == (1 if share else 5)

    def test_equal_requests_of_one_input_are_samples(
        self, server: LocalEndpoints, call: Caller, mapped: Mapped
    ) -> None:
        ask = asking(call, mapped)
        for number in range(3):
            server.reply(f"Answer {number}")

        async def work(_: int) -> list[str]:
            return [await ask("Rome"), await ask("Rome"), await ask("Rome")]

        found = mapped(work, range(2))

        assert sorted(found[0]) == ["Answer 0", "Answer 1", "Answer 2"]
        assert found[1] == found[0]

    def test_a_stream_is_a_delta(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        server.reply("Hello.", reasoning="Hm.")

        def work(text: str) -> tuple[list[Any], Any]:
            with Client(call.settings).stream(chat_request(text, stream=True)) as deltas:
                return [(delta.reasoning, delta.text) for delta in deltas], deltas.result().messages[0]

        deltas, message = dict(batch.map(work, ["Hi"]))[0]

        assert deltas == [("Hm.", ""), ("", "Hello.")]
        assert (message.text, message.reasoning, message.finish_reason) == ("Hello.", "Hm.", "stop")

    def test_an_awaited_stream_is_one_too(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        server.reply(tool_calls=[("store", {"a": 1})])

        async def work(text: str) -> tuple[int, Any]:
            async with AsyncClient(call.settings).stream(chat_request(text, stream=True)) as deltas:
                return len([delta async for delta in deltas]), deltas.result()

        count, answer = asyncio.run(collected(batch.amap(work, ["Hi"])))[0]

        assert count == 1
        assert answer.messages[0].tool_calls[0].arguments == '{"a": 1}'
        assert answer.usage is not None
        assert answer.exchange.batch_job == 1

    def test_a_bar_counts(self, call: Caller, batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
        list(batch.map(call.ask, ["Rome", "Oslo"], show_progress=True))
        shown = capsys.readouterr().err

        assert "2/2" in shown
        assert "2 of 2 requests under way" in shown


class TestAskingSomethingElse:
    def test_is_an_error_and_costs_nothing_more(self, server: LocalEndpoints, call: Caller, mapped: Mapped) -> None:
        ask, runs = asking(call, mapped), iter(range(100))

        async def work(text: str) -> str:
            return str(await ask(f"{text} at {next(runs)}"))

        found = mapped(work, ["Rome", "Oslo"])

        if mapped.is_awaited:  # type: ignore[attr-defined]  # it ran once
            assert "Rome at 0" in found[0]
        else:
            assert all("asked something else" in str(answer) for answer in found.values())
        assert len(server.batches.lines) == 2

    def test_also_of_an_awaited_one_that_runs_again(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        runs = iter(range(100))

        async def work(text: str) -> str:
            return await call.aask(f"{text} at {next(runs)}")

        with batch_on(tmp_path, max_open=1) as other:
            found = asyncio.run(collected(other.amap(work, ["Rome", "Oslo", "Bern"])))

        assert sum("asked something else" in str(answer) for answer in found.values()) == 2
        assert len(server.batches.lines) == 3


class TestRemembering:
    def test_a_cache_asks_nothing_else(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        cached: dict[str, str] = {}

        def ask(text: str) -> str:
            if text not in cached:
                cached[text] = call.ask(text)
            return cached[text]

        def work(text: str) -> str:
            return ask(f"three: {ask(f'two: {ask(text)}')}")

        found = dict(batch.map(work, ["Rome", "Rome", "Oslo"]))

        assert found[0] == found[1]
        assert "Oslo" in found[2]
        assert len(server.batches.lines) == 6

    def test_what_asks_something_else_at_times_ends(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        runs = iter(range(1000))

        def work(text: str) -> str:
            return call.ask(f"{next(runs)}: {call.ask(text)}")

        found = dict(batch.map(work, ["Rome"]))

        assert "asked something else" in str(found[0])
        assert len(server.batches.lines) <= 5


class TestProcesses:
    def test_their_calls_are_refused(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        code = "from langchain_ovhcloud import ChatOVHCloud\nChatOVHCloud(model='gpt-oss-20b').invoke('Hi')"

        def work(_: int) -> str:
            command = [sys.executable, "-c", code]
            environ = {**os.environ, **server.environ}
            return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stderr

        assert "processes can't be part of a batch" in dict(batch.map(work, range(1)))[0]
        assert server.requests == []


class TestThreads:
    @pytest.mark.parametrize("workers", [2, 3, 16])  # one thread can't wait and go on
    def test_a_pool_that_maps_is_one_round(
        self, server: LocalEndpoints, call: Caller, batch: Batch, workers: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        be_patient(monkeypatch)

        def work(_: int) -> list[str]:
            return pooled(lambda number: call.ask(f"Say {number}"), range(40), workers)

        found = dict(batch.map(work, range(1)))

        assert [text.split()[-1] for text in found[0]] == [str(number) for number in range(40)]
        assert jobs_made(server) == 1

    def test_the_call_that_was_taken_first_goes_last(
        self, server: LocalEndpoints, call: Caller, batch: Batch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be a younger thread's, when calls before it were answered."""
        be_patient(monkeypatch)
        dict(batch.map(call.ask, ["Say 0", "Say 1"]))

        def work(_: int) -> list[str]:
            two_is_taken = threading.Event()

            def ask(number: int) -> str:
                if number == 2:
                    two_is_taken.set()
                if number == 0:
                    two_is_taken.wait(5)
                return call.ask(f"Say {number}")

            return pooled(ask, range(8), 2)

        found = dict(batch.map(work, range(1)))

        assert len(found[0]) == 8
        assert jobs_made(server) == 2

    def test_a_call_is_as_old_as_the_first_of_its_chain(
        self, server: LocalEndpoints, call: Caller, batch: Batch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LangChain runs each step in a copy of the context, and the second chain may have its first answer first."""
        be_patient(monkeypatch)

        def work(_: int) -> list[str]:
            one_has_asked = threading.Event()

            def step(text: str) -> str:
                return contextvars.copy_context().run(call.ask, text)

            def chain(number: int) -> str:
                if number == 0:
                    one_has_asked.wait(5)
                try:
                    first = step(f"Say {number}")
                finally:
                    if number == 1:
                        one_has_asked.set()
                return step(f"Repeat {number}: {first}")

            return pooled(chain, range(8), 2)

        found = dict(batch.map(work, range(1)))

        assert len(found[0]) == 8
        assert jobs_made(server) == 2

    def test_the_first_call_may_come_after_others(
        self, server: LocalEndpoints, call: Caller, batch: Batch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        be_patient(monkeypatch)

        def work(_: int) -> list[str]:
            three_is_taken = threading.Event()

            def ask(number: int) -> str:
                if number == 0:
                    three_is_taken.wait(5)
                if number == 3:
                    three_is_taken.set()
                return call.ask(f"Say {number}")

            return pooled(ask, range(8), 2)

        found = dict(batch.map(work, range(1)))

        assert len(found[0]) == 8
        assert jobs_made(server) == 1

    def test_a_thread_whose_call_went_is_free_since_then(self, call: Caller, batch: Batch) -> None:
        """The next input may find it in a pool of the process."""
        found: list[int] = []
        with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as another:
            pool.submit(working_since).result()
            before = another.submit(working_since).result()

            def work(text: str) -> str:
                try:
                    return pool.submit(contextvars.copy_context().run, call.ask, text).result()
                finally:
                    found.append(pool.submit(working_since).result())

            dict(batch.map(work, ["Rome"]))

        assert found[0] > before

    def test_an_answer_that_is_swallowed_still_waits(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        def work(text: str) -> str:
            try:
                return call.ask(text)
            except BaseException:  # noqa: BLE001 - as some code does
                return "nothing"

        assert dict(batch.map(work, ["Rome"]))[0].endswith("Rome")

    @pytest.mark.parametrize("kind", [Exception, BaseException])
    def test_a_stream_on_a_thread_of_its_own_hangs_nobody(
        self, server: LocalEndpoints, call: Caller, batch: Batch, kind: type[BaseException]
    ) -> None:
        """As in LlamaIndex's chat engines, whose thread hands on what is an Exception."""

        def read(found: list[Any], done: threading.Event) -> None:
            try:
                with Client(call.settings).stream(chat_request("Rome", stream=True)) as deltas:
                    found += [delta.text for delta in deltas]
            except Exception as error:  # noqa: BLE001 - as theirs
                found.append(error)
                call.ask("Another question, because of the error")
            finally:
                done.set()

        def work(_: int) -> list[Any]:
            found: list[Any] = []
            done = threading.Event()
            run = contextvars.copy_context().run
            thread = threading.Thread(target=lambda: _quietly(run, read, found, done))
            thread.start()
            assert done.wait(10)
            thread.join()
            if isinstance(found[-1], kind):
                raise found[-1]
            return found

        found = dict(batch.map(work, range(1)))

        assert "".join(found[0]).endswith("Rome")
        assert texts_asked(server) == ["Rome"]

    def test_a_call_outside_is_refused(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        def work(text: str) -> str:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(call.ask, text).result()

        found = dict(batch.map(work, ["Rome"]))

        assert type(found[0]) is OVHCloudError
        assert "copy_context" in str(found[0])
        assert server.requests == []

    def test_or_sent_at_full_price(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        def work(text: str) -> str:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(call.ask, text).result()

        with batch_on(tmp_path, outside="send") as other:
            assert dict(other.map(work, ["Rome"]))[0].endswith("Rome")
        assert jobs_made(server) == 0

    def test_the_consumer_is_not_outside(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        for _, answer in batch.map(call.ask, ["Rome", "Oslo"]):
            assert call.ask(f"Is it true? {answer}")
        assert jobs_made(server) == 1

    def test_a_thread_that_outlives_its_function_gets_no_answer(
        self, server: LocalEndpoints, call: Caller, batch: Batch
    ) -> None:
        go, found = threading.Event(), []

        def later() -> None:
            go.wait(10)
            try:
                call.ask("Late")
            except OVHCloudError as error:
                found.append(error)

        threads = []

        def work(_: int) -> None:
            threads.append(threading.Thread(target=contextvars.copy_context().run, args=(later,)))
            threads[0].start()

        list(batch.map(work, range(1)))
        go.set()
        threads[0].join()

        assert "has ended" in str(found[0])
        assert server.requests == []


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    with contextlib.suppress(Waiting):
        function(*arguments)


class TestBlocked:
    """A held call may be unable to tick, and others must not wait for it."""

    def test_by_a_pool_inside_a_loop(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        def ask(text: str) -> str:
            return call.ask(text)

        def work(_: int) -> list[str]:
            async def main() -> list[str]:
                task = asyncio.create_task(call.aask("awaited"))
                await asyncio.sleep(0.005)
                context = contextvars.copy_context()
                with ThreadPoolExecutor(2) as pool:  # blocks the loop
                    texts = [*pool.map(lambda text: context.copy().run(ask, text), ["one", "two"])]
                return [await task, *texts]

            return asyncio.run(main())

        found = dict(batch.map(work, range(1)))

        assert [text.split()[-1] for text in found[0]] == ["awaited", "one", "two"]

    @pytest.mark.filterwarnings("ignore")  # of a loop that is closed so
    def test_by_a_loop_that_is_closed(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        def work(_: int) -> str:
            loop = asyncio.new_event_loop()
            task = loop.create_task(call.aask("awaited"))
            loop.run_until_complete(asyncio.wait([task], timeout=0.005))
            loop.close()
            context = contextvars.copy_context()
            with ThreadPoolExecutor(2) as pool:
                return [*pool.map(lambda text: context.copy().run(call.ask, text), ["one", "two"])][1]

        assert dict(batch.map(work, range(1)))[0].endswith("two")


class TestTasks:
    def test_gather_is_one_round(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        async def work(_: int) -> list[str]:
            return await asyncio.gather(*(call.aask(f"Say {number}") for number in range(100)))

        found = asyncio.run(collected(batch.amap(work, range(1))))

        assert [text.split()[-1] for text in found[0]] == [str(number) for number in range(100)]
        assert jobs_made(server) == 1

    @pytest.mark.parametrize("keeps", [True, False])
    def test_a_loop_of_its_own_in_a_blocking_function(
        self, server: LocalEndpoints, call: Caller, batch: Batch, keeps: bool
    ) -> None:
        async def ask_all() -> list[Any]:
            asked = (call.aask(f"Say {number}") for number in range(20))
            return await asyncio.gather(*asked, return_exceptions=keeps)

        found = dict(batch.map(lambda _: asyncio.run(ask_all()), range(2)))

        assert [text.split()[-1] for text in found[1]] == [str(number) for number in range(20)]
        assert jobs_made(server) == 1

    def test_a_blocking_call_in_an_awaited_function(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        async def work(text: str) -> str:
            first = await asyncio.to_thread(call.ask, text)
            return call.ask(f"then: {first}")

        found = asyncio.run(collected(batch.amap(work, ["Rome", "Oslo"])))

        assert "Rome" in found[0]
        assert "Oslo" in found[1]
        assert jobs_made(server) == 2

    def test_a_function_with_a_clock_of_its_own(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        async def work(text: str) -> str:
            async with asyncio.timeout(0.001):
                return await call.aask(text)

        assert asyncio.run(collected(batch.amap(work, ["Rome"])))[0].endswith("Rome")

    def test_only_so_many_wait_open(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = []

        async def work(number: int) -> str:
            begun.append(number)
            first = await call.aask(f"Say {number}")
            return await call.aask(f"then: {first}")

        monkeypatch.setattr(awaited_rounds, "ROOM", 2)
        with batch_on(tmp_path, max_open=5) as other:
            found = asyncio.run(collected(other.amap(work, range(30))))

        assert len(found) == 30
        assert jobs_made(server) == 2
        assert 30 + 25 <= len(begun) <= 30 + 2 * 25
        assert all(texts_asked(server).count(f"Say {number}") == 1 for number in range(30))

    @pytest.mark.parametrize("most", [1, 7])
    def test_only_so_many_are_under_way(self, server: LocalEndpoints, tmp_path: Path, call: Caller, most: int) -> None:
        under_way, seen = 0, []

        async def work(number: int) -> str:
            nonlocal under_way
            under_way += 1
            seen.append(under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return await call.aask(f"Say {number}")

        with batch_on(tmp_path, max_concurrency=most) as other:
            found = asyncio.run(collected(other.amap(work, range(20))))

        assert len(found) == 20
        assert max(seen) == most
        assert jobs_made(server) == 1

    def test_equal_questions_keep_to_it(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        under_way, seen = 0, []

        async def work(_: int) -> None:
            nonlocal under_way
            await call.aask("the same")
            under_way += 1
            seen.append(under_way)
            await asyncio.sleep(0)
            under_way -= 1

        with batch_on(tmp_path, max_concurrency=2) as other:
            asyncio.run(collected(other.amap(work, range(30))))

        assert max(seen) <= 2
        assert len(server.batches.lines) == 1

    def test_tasks_that_a_function_leaves_behind_end(self, call: Caller, batch: Batch) -> None:
        async def work(_: int) -> None:
            tasks.append(asyncio.create_task(call.aask("Nobody waits for this")))
            await asyncio.sleep(0.01)

        async def main() -> int:
            await collected(batch.amap(work, range(3)))
            await asyncio.sleep(0)
            return len(asyncio.all_tasks())

        tasks: list[Any] = []

        assert asyncio.run(main()) == 1

    def test_leaving_leaves_no_task(self, call: Caller, batch: Batch) -> None:
        async def main() -> int:
            async for _ in batch.amap(functools.partial(_then_wait, call), range(10)):
                break
            gc.collect()
            for _ in range(100):
                if len(asyncio.all_tasks()) == 1:
                    break
                await asyncio.sleep(0.01)
            return len(asyncio.all_tasks())

        assert asyncio.run(main()) == 1

    def test_a_cancelled_one_leaves_none_and_goes_on_later(self, server: LocalEndpoints, tmp_path: Path) -> None:
        call = Caller(server)
        server.batches.seconds = 60

        async def main(batch: Batch) -> None:
            task = asyncio.create_task(collected(batch.amap(call.aask, ["Rome", "Oslo"])))
            assert await asyncio.to_thread(eventually, lambda: jobs_made(server))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(asyncio.all_tasks()) == 1

        with batch_on(tmp_path) as batch:
            asyncio.run(main(batch))
        server.batches.seconds = 0.03
        assert eventually(lambda: threading.active_count() < 20)
        with batch_on(tmp_path) as batch:
            found = asyncio.run(collected(batch.amap(call.aask, ["Rome", "Oslo"])))

        assert len(found) == 2
        assert jobs_made(server) == 1


async def _then_wait(call: Caller, number: int) -> str:
    return "at once" if number == 0 else await call.aask(f"Say {number}")


class TestConsumers:
    @pytest.mark.parametrize("most", [1, 64])
    def test_one_that_takes_its_time_hangs_nothing(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, most: int
    ) -> None:
        async def main(batch: Batch) -> int:
            count = 0
            async for _ in batch.amap(functools.partial(_then_wait, call), range(70)):
                count += 1
                for _ in range(20):
                    await asyncio.sleep(0)
            return count

        with batch_on(tmp_path, max_concurrency=most) as batch:
            assert asyncio.run(main(batch)) == 70

    def test_its_own_calls_are_no_part_of_it(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        async def main() -> None:
            async for _, answer in batch.amap(call.aask, ["Rome", "Oslo"]):
                assert await call.aask(f"Is it true? {answer}")
            async for _ in batch.amap(call.aask, ["Bern", "Bonn"]):
                break
            assert await call.aask("Is it over?")

        asyncio.run(main())

    @pytest.mark.parametrize("awaited", [True, False])
    def test_closing_from_elsewhere_is_no_end(self, server: LocalEndpoints, tmp_path: Path, awaited: bool) -> None:
        server.batches.seconds = 60
        call, batch = Caller(server), batch_on(tmp_path)
        closing = threading.Thread(target=lambda: eventually(lambda: jobs_made(server)) and batch.close())
        closing.start()

        async def main() -> None:
            await collected(batch.amap(call.aask, ["Rome"]))

        with pytest.raises(ValueError, match="closed"):
            asyncio.run(main()) if awaited else list(batch.map(call.ask, ["Rome"]))
        closing.join()


class TestMistakes:
    def test_a_blocking_function_in_amap(self, server: LocalEndpoints, batch: Batch) -> None:
        async def first() -> Any:
            return await anext(aiter(batch.amap(lambda text: text, ["Rome"])))  # type: ignore[arg-type, return-value]

        with pytest.raises(TypeError, match="there is map"):
            asyncio.run(first())

    def test_a_generator_in_map(self, server: LocalEndpoints, call: Caller, batch: Batch) -> None:
        with pytest.raises(TypeError, match="return list"):
            list(batch.map(lambda text: (call.ask(text) for _ in range(3)), ["Rome"]))

    def test_an_awaited_function_in_map(self, call: Caller, batch: Batch) -> None:
        with pytest.raises(TypeError, match="there is amap"):
            list(batch.map(call.aask, ["Rome"]))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"completion_window": "1h"}, "completion_window must be one of 24h, 48h, 72h; got '1h'"),
            ({"outside": "x"}, "outside must be one of refuse, send"),
            ({"max_open": 0}, "max_open must be positive; got 0"),
            ({"poll_seconds": (2, 1)}, "the smaller one first"),
            ({"poll_seconds": 10}, "two positive numbers"),
        ],
    )
    def test_of_arguments(self, tmp_path: Path, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            batch_on(tmp_path, **options)

    def test_ctrl_c_ends_it(self, call: Caller, batch: Batch) -> None:
        def work(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(batch.map(work, range(3)))
        assert call.ask("Rome").endswith("Rome")  # nothing is refused any more
