"""A FastAPI app under uvicorn that passes our models' answers on."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from processes import free_port
from serving_apps.running import Process, running
from waiting import eventually, sockets_to

from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

pytestmark = pytest.mark.timeout(120)
FRAMEWORKS = ["langchain", "llama-index"]
TROUBLE = ("Traceback", "ResourceWarning", "RuntimeWarning", "unclosed", "never", "destroyed", "ERROR", "Exception")


class App:
    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    def get(self, path: str, text: str = "Hello") -> httpx.Response:
        return httpx.get(f"{self.url}{path}", params={"text": text}, timeout=30, trust_env=False)

    def post(self, path: str) -> None:
        httpx.post(f"{self.url}{path}", timeout=30, trust_env=False).raise_for_status()

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response]:
        with httpx.stream(
            "GET", f"{self.url}{path}", params={"text": "Hello"}, timeout=30, trust_env=False
        ) as response:
            yield response

    def get_at_once(self, path: str, texts: list[str]) -> list[httpx.Response]:
        async def main() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=self.url, timeout=50, trust_env=False, limits=limits) as client:
                return await asyncio.gather(*(client.get(path, params={"text": text}) for text in texts))

        return asyncio.run(main())

    @property
    def troubles(self) -> list[str]:
        """Warnings and errors, but for uvicorn's own about the socket on which it listens."""
        its_own = f"laddr=('127.0.0.1', {httpx.URL(self.url).port})>"
        return [line for line in self.process.lines if any(word in line for word in TROUBLE) and its_own not in line]


@contextmanager
def served(server: LocalEndpoints, *options: str, app: str = "app", workers: int = 1) -> Iterator[App]:
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "uvicorn", f"serving_apps.fastapi_app:{app}"]
    command += ["--port", str(port), "--workers", str(workers), *options]
    environ = server.environ | {"PYTHONASYNCIODEBUG": "1"}
    with running(command, ready="Application startup complete", times=workers, environ=environ) as process:
        yield App(process, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def running_app() -> Iterator[tuple[App, LocalEndpoints]]:
    with LocalEndpoints(requests_per_minute=10_000) as server, served(server) as app:
        yield app, server


@pytest.fixture
def server(running_app: tuple[App, LocalEndpoints]) -> LocalEndpoints:
    running_app[1].reset()
    return running_app[1]


@pytest.fixture
def app(running_app: tuple[App, LocalEndpoints], server: LocalEndpoints) -> App:
    return running_app[0]


def event(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def texts_of(response: httpx.Response) -> list[str]:
    return [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("framework", FRAMEWORKS)
class TestAnswers:
    def test_streams_come_as_they_were_sent(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply("Hello there, friend", reasoning="A greeting.")

        response = app.get(f"/{framework}/stream")

        assert response.headers["content-type"].startswith("text/event-stream")
        assert texts_of(response)[0] == "Hello"
        assert "".join(texts_of(response)) == "Hello there, friend"
        assert server.requests[-1].json["stream"] is True

    def test_first_event_does_not_wait_for_the_second(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply(events=[event("Once"), Pause(60)])

        with app.stream(f"/{framework}/stream") as response:
            assert next(response.iter_lines()) == 'data: "Once"'
        assert eventually(lambda: server.hung_up == 1)

    @pytest.mark.parametrize("way", ["blocking", "blocking-stream"])
    def test_blocking_calls_work_in_the_thread_pool(
        self, server: LocalEndpoints, app: App, framework: str, way: str
    ) -> None:
        server.reply("Hello there, friend")

        response = app.get(f"/{framework}/{way}")

        assert response.text.strip('"') == "Hello there, friend"
        assert server.requests[-1].json["messages"] == [{"role": "user", "content": "Hello"}]

    @pytest.mark.parametrize("way", ["stream", "plain-stream", "blocking", "blocking-stream"])
    def test_a_hundred_clients_get_their_own_answers(
        self, server: LocalEndpoints, app: App, framework: str, way: str
    ) -> None:
        asked = [f"Number {at} it is" for at in range(100)]

        responses = app.get_at_once(f"/{framework}/{way}", asked)

        bodies = ["".join(texts_of(one)) if way == "stream" else one.text for one in responses]
        assert [body.strip('"').rpartition(": ")[2] for body in bodies] == asked
        assert sorted(one.json["messages"][0]["content"] for one in server.requests) == sorted(asked)

    def test_a_hundred_streams_run_at_once(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply("Hello there", until=lambda: len(server.requests) >= 100, times=100)

        responses = app.get_at_once(f"/{framework}/stream", ["Hello"] * 100)

        assert {"".join(texts_of(one)) for one in responses} == {"Hello there"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
class TestClientThatHangsUp:
    @pytest.fixture(autouse=True)
    def _without_idle_connections(self, server: LocalEndpoints, app: App) -> None:
        app.post("/close")
        assert eventually(lambda: sockets_to(server) == 0)

    @pytest.mark.parametrize("way", ["stream", "plain-stream"])
    def test_ends_the_stream_of_the_service(self, server: LocalEndpoints, app: App, framework: str, way: str) -> None:
        server.reply(events=[event("Once"), Pause(60)])
        with app.stream(f"/{framework}/{way}") as response:
            assert "Once" in next(response.iter_text())

        assert eventually(lambda: server.hung_up == 1)
        assert eventually(lambda: sockets_to(server) == 0)

    def test_ends_a_blocking_stream_once_it_is_collected(
        self, server: LocalEndpoints, app: App, framework: str
    ) -> None:
        server.reply(events=[event("Once"), *[Pause(0.05), event(" more")] * 1000])
        with app.stream(f"/{framework}/blocking-stream") as response:
            assert "Once" in next(response.iter_text())

        def is_ended() -> bool:
            app.post("/collect")  # starlette leaves the generator in a cycle of references
            return server.hung_up == 1

        assert eventually(is_ended)
        assert eventually(lambda: sockets_to(server) == 0)

    def test_before_the_first_event_ends_the_call(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply("Hello", pause=60)
        path = f"{app.url}/{framework}/plain-stream"
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(path, params={"text": "Hello"}, timeout=httpx.Timeout(30, read=1), trust_env=False).read()

        assert eventually(lambda: server.hung_up == 1)

    def test_leaves_the_app_able_to_answer(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply(events=[event("Once"), Pause(60)], times=50)

        async def hang_up(client: httpx.AsyncClient) -> None:
            async with client.stream("GET", f"/{framework}/stream", params={"text": "Hello"}) as response:
                await anext(response.aiter_lines())

        async def main() -> None:
            async with httpx.AsyncClient(base_url=app.url, timeout=30, trust_env=False) as client:
                await asyncio.gather(*(hang_up(client) for _ in range(50)))

        asyncio.run(main())
        assert eventually(lambda: server.hung_up == 50)
        assert eventually(lambda: sockets_to(server) == 0)
        server.reply("Still here")

        assert texts_of(app.get(f"/{framework}/stream")) == ["Still", " here"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
class TestFailures:
    @pytest.mark.parametrize("way", ["stream", "blocking"])
    @pytest.mark.parametrize(
        ("status", "error"), [(400, "BadRequestError"), (401, "AuthenticationError"), (404, "NotFoundError")]
    )
    def test_refusal_of_the_service_becomes_a_502(
        self, server: LocalEndpoints, app: App, framework: str, way: str, status: int, error: str
    ) -> None:
        server.reply(status=status, body={"message": "it said no"})

        response = app.get(f"/{framework}/{way}")

        assert (response.status_code, response.json()["error"]) == (502, error)
        assert "it said no" in response.json()["message"]

    @pytest.mark.parametrize("way", ["stream", "blocking"])
    def test_service_that_is_down_becomes_a_503(
        self, server: LocalEndpoints, app: App, framework: str, way: str
    ) -> None:
        with server.down():
            response = app.get(f"/{framework}/{way}")

        assert (response.status_code, response.json()["error"]) == (503, "APIConnectionError")

    def test_error_as_first_event_becomes_a_502(self, server: LocalEndpoints, app: App, framework: str) -> None:
        server.reply(events=[{"error": {"message": "it broke", "code": 400}}])

        response = app.get(f"/{framework}/stream")

        assert (response.status_code, response.json()["error"]) == (502, "BadRequestError")

    def test_stream_that_breaks_off_is_told_with_what_came(
        self, server: LocalEndpoints, app: App, framework: str
    ) -> None:
        server.reply(events=[event("Half"), event(" of it"), CUT])

        response = app.get(f"/{framework}/stream")

        assert response.status_code == 200
        assert "event: error" in response.text
        assert texts_of(response)[-1] == {"error": "StreamInterruptedError", "partial": "Half of it"}

    def test_stream_that_breaks_off_never_looks_finished(
        self, server: LocalEndpoints, app: App, framework: str
    ) -> None:
        server.reply(events=[event("Half"), event(" of it"), CUT])

        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            app.get(f"/{framework}/plain-stream")


@pytest.mark.parametrize("name", ["app", "careless"])
class TestShutdown:
    def test_warns_of_nothing(self, name: str) -> None:
        with LocalEndpoints() as server, served(server, app=name) as app:
            for framework in FRAMEWORKS:
                assert app.get_at_once(f"/{framework}/stream", ["Hello"] * 10)[-1].status_code == 200
                assert app.get(f"/{framework}/blocking").status_code == 200
            app.process.stop()

            assert eventually(lambda: sockets_to(server) == 0)
            assert "Finished server process" in app.process.output
            assert app.troubles == []

    def test_ends_streams_that_are_open(self, name: str) -> None:
        with LocalEndpoints() as server, served(server, "--timeout-graceful-shutdown", "1", app=name) as app:
            server.reply(events=[event("Once"), Pause(60)], times=2)
            with app.stream("/langchain/stream") as one, app.stream("/llama-index/stream") as other:
                assert {next(response.iter_lines()) for response in (one, other)} == {'data: "Once"'}
                app.process.stop()

            assert eventually(lambda: server.hung_up == 2)
            assert [line for line in app.troubles if "unclosed" in line or "destroyed" in line] == []


def test_several_workers_answer() -> None:
    with LocalEndpoints(requests_per_minute=10_000) as server, served(server, workers=2) as app:
        asked = [f"Number {at} it is" for at in range(100)]
        bodies = ["".join(texts_of(one)) for one in app.get_at_once("/langchain/stream", asked)]
        app.process.stop()

        assert [body.rpartition(": ")[2] for body in bodies] == asked
        assert app.troubles == []
        assert eventually(lambda: sockets_to(server) == 0)
