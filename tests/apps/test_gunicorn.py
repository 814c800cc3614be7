"""A web app under gunicorn's workers: greenlets, threads, processes, and uvicorn's."""

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import httpx
import pytest
from processes import free_port
from serving_apps.running import Process, running
from waiting import eventually, sockets_to

from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

pytestmark = pytest.mark.timeout(180)
WSGI = {
    "gevent": ["-k", "gevent", "serving_apps.wsgi_app:application"],
    "gthread": ["-k", "gthread", "--threads", "60", "serving_apps.wsgi_app:application"],
}
PATHS = ["/langchain/whole", "/langchain/stream", "/llama-index/whole", "/llama-index/stream"]


class App:
    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    def get(self, path: str, text: str = "Hello", **options: Any) -> httpx.Response:
        params = {"text": text}
        return httpx.get(f"{self.url}{path}", params=params, trust_env=False, **{"timeout": 50, **options})

    def get_at_once(self, path: str, texts: list[str], **options: Any) -> list[httpx.Response]:
        with ThreadPoolExecutor(len(texts)) as pool:
            return list(pool.map(lambda text: self.get(path, text, **options), texts))


@contextmanager
def served(server: LocalEndpoints, *options: str, ready: str = "app is loaded", **environ: str) -> Iterator[App]:
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
    with running([*command, *options], ready=ready, environ=server.environ | environ) as process:
        yield App(process, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module", params=list(WSGI))
def running_app(request: pytest.FixtureRequest) -> Iterator[tuple[App, LocalEndpoints]]:
    with LocalEndpoints(requests_per_minute=10_000) as server, served(server, *WSGI[request.param]) as app:
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


def numbered(count: int) -> list[str]:
    return [f"Number {at} it is" for at in range(count)]


def quoted(response: httpx.Response) -> str:
    """What the local server has quoted of the question."""
    return response.text.rpartition(": ")[2]


class TestWorkers:
    @pytest.mark.parametrize("path", PATHS)
    def test_fifty_requests_run_at_once(self, server: LocalEndpoints, app: App, path: str) -> None:
        server.reply("Hello there", until=lambda: len(server.requests) >= 50, times=50)

        responses = app.get_at_once(path, numbered(50))

        assert {(response.status_code, response.text) for response in responses} == {(200, "Hello there")}
        assert sorted(one.json["messages"][0]["content"] for one in server.requests) == sorted(numbered(50))

    @pytest.mark.parametrize("path", PATHS)
    def test_each_client_gets_its_own_answer(self, server: LocalEndpoints, app: App, path: str) -> None:
        assert [quoted(response) for response in app.get_at_once(path, numbered(50))] == numbered(50)

    @pytest.mark.parametrize("path", ["/langchain/stream", "/llama-index/stream"])
    def test_streams_come_as_they_are_sent(self, server: LocalEndpoints, app: App, path: str) -> None:
        server.reply(events=[event("Once"), *[Pause(0.05), event(" more")] * 1000])

        with httpx.stream("GET", f"{app.url}{path}?text=Hello", timeout=50, trust_env=False) as response:
            assert next(response.iter_text()) == "Once"
        assert eventually(lambda: server.hung_up == 1)

    @pytest.mark.parametrize("path", ["/langchain/stream", "/llama-index/stream"])
    def test_client_that_hangs_up_ends_the_stream_of_the_service(
        self, server: LocalEndpoints, app: App, path: str
    ) -> None:
        server.reply(events=[event("Once"), *[Pause(0.05), event(" more")] * 1000])
        with httpx.stream("GET", f"{app.url}{path}?text=Hello", timeout=50, trust_env=False) as response:
            next(response.iter_text())

        assert eventually(lambda: server.hung_up == 1)

    @pytest.mark.parametrize("path", ["/langchain/whole", "/llama-index/whole"])
    def test_failure_is_a_typed_error(self, server: LocalEndpoints, app: App, path: str) -> None:
        server.reply(status=404, body={"message": "it is gone"})

        response = app.get(path)

        assert (response.status_code, response.json()["error"]) == (502, "NotFoundError")
        assert "it is gone" in response.json()["message"]


class Load:
    """Clients that ask one question after the other."""

    def __init__(self, app: App, count: int) -> None:
        self._app = app
        self._enough = Event()
        self._pool = ThreadPoolExecutor(count)
        self._clients = [self._pool.submit(self._ask, client) for client in range(count)]

    def end(self) -> list[tuple[str, str]]:
        """All that was asked, and what was answered to it."""
        self._enough.set()
        self._pool.shutdown()
        return [pair for client in self._clients for pair in client.result()]

    def _ask(self, client: int) -> list[tuple[str, str]]:
        found = []
        while not self._enough.is_set():
            asked = f"Number {client} {len(found)} it is"
            found.append((asked, quoted(self._app.get(PATHS[client % len(PATHS)], asked))))
        return found


@pytest.mark.parametrize("kind", WSGI)
def test_reload_under_load_loses_no_answer(kind: str) -> None:
    with LocalEndpoints(requests_per_minute=100_000) as server, served(server, *WSGI[kind]) as app:

        def wait_for_more() -> None:
            count = len(server.requests)
            assert eventually(lambda: len(server.requests) > count + 20, 60)

        load = Load(app, 8)
        try:
            wait_for_more()
            app.process.signal(signal.SIGHUP)
            app.process.wait_for("Worker exiting")
            app.process.wait_for("app is loaded", 2)
            wait_for_more()
        finally:
            pairs = load.end()

        assert [answered for _, answered in pairs] == [asked for asked, _ in pairs]


@pytest.mark.parametrize("kind", WSGI)
def test_end_under_gunicorn_closes_all_connections(kind: str) -> None:
    with LocalEndpoints() as server, served(server, *WSGI[kind]) as app:
        for path in PATHS:
            assert quoted(app.get(path, "Number 1 it is")) == "Number 1 it is"

        assert app.process.stop() == 0
        assert eventually(lambda: sockets_to(server) == 0)
        assert "ResourceWarning" not in app.process.output
        assert "Traceback" not in app.process.output


@pytest.mark.parametrize("kind", WSGI)
def test_worker_that_waits_for_answers_is_not_taken_for_dead(kind: str) -> None:
    with LocalEndpoints() as server, served(server, "--timeout", "5", *WSGI[kind]) as app:
        server.reply("Hello there", pause=10, times=len(PATHS))
        with ThreadPoolExecutor(len(PATHS)) as pool:
            responses = list(pool.map(app.get, PATHS))

        assert [response.text for response in responses] == ["Hello there"] * len(PATHS)
        assert "WORKER TIMEOUT" not in app.process.output


def test_worker_that_is_killed_at_its_timeout_leaves_the_app_working() -> None:
    with LocalEndpoints() as server, served(server, "--timeout", "5", "serving_apps.wsgi_app:application") as app:
        assert app.get("/langchain/whole").status_code == 200
        server.reply("too late", pause=60)

        assert app.get("/langchain/whole").status_code == 500  # gunicorn's, of the worker that it aborts
        assert "WORKER TIMEOUT" in app.process.output
        assert eventually(lambda: server.hung_up == 1)
        assert quoted(app.get("/langchain/whole", "Number 1 it is")) == "Number 1 it is"


@pytest.mark.parametrize("kind", WSGI)
def test_model_that_was_used_before_forking_works_in_each_worker(kind: str) -> None:
    with (
        LocalEndpoints(requests_per_minute=10_000) as server,
        served(server, "--preload", "--workers", "2", *WSGI[kind], CALL_BEFORE_FORKING="1") as app,
    ):
        app.process.wait_for("Booting worker", 2)
        processes: set[str] = set()
        for path in PATHS:
            responses = app.get_at_once(path, numbered(50), timeout=20)
            processes |= {response.headers["x-process"] for response in responses}
            assert [quoted(response) for response in responses] == numbered(50)

        assert app.process.output.count("before forking:") == 1
        assert len(processes) == 2


def test_uvicorn_worker_answers_fifty_at_once() -> None:
    options = ["-k", "uvicorn_worker.UvicornWorker", "serving_apps.fastapi_app:app"]
    with LocalEndpoints() as server, served(server, *options, ready="Application startup complete") as app:
        server.reply("Hello there", until=lambda: len(server.requests) >= 50, times=50)
        responses = app.get_at_once("/langchain/plain-stream", numbered(50))

        assert {response.text for response in responses} == {"Hello there"}
        app.process.stop()
        assert eventually(lambda: sockets_to(server) == 0)
