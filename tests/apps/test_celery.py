"""Celery's workers, with models that were made, and used, before the processes were forked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celery
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from celery.result import AsyncResult
from serving_apps.running import Process, running
from waiting import eventually, sockets_to

from ovhcloud_ai_endpoints import AuthenticationError, NotFoundError, StreamInterruptedError
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

pytestmark = pytest.mark.timeout(180)
TASKS = ["langchain", "langchain-stream", "llama-index"]
POOLS = {
    "prefork": ["--pool", "prefork", "--concurrency", "2"],
    "threads": ["--pool", "threads", "--concurrency", "20"],
    "gevent": ["--pool", "gevent", "--concurrency", "20"],
}


class Worker:
    def __init__(self, process: Process, client: celery.Celery, folder: Path) -> None:
        self.process = process
        self._client = client
        self._folder = folder

    def send(self, task: str, asked: Any, **options: Any) -> AsyncResult:
        sent = self._client.send_task(task, [asked], **options)
        for message in (self._folder / "outgoing").iterdir():  # whole, as kombu also reads what is half written
            message.rename(self._folder / "messages" / message.name)
        return sent

    def results(self, task: str, asked: list[Any], **options: Any) -> list[Any]:
        sent = [self.send(task, one, **options) for one in asked]
        return [one.get(timeout=60, interval=0.02) for one in sent]


@contextmanager
def working(server: LocalEndpoints, folder: Path, *options: str, serializer: str = "json") -> Iterator[Worker]:
    environ = {"CELERY_FOLDER": str(folder), "CELERY_SERIALIZER": serializer}
    # The program knows from its arguments, before it imports an app, that gevent is to patch.
    command = [
        sys.executable,
        "-W",
        "error::ResourceWarning",
        "-m",
        "celery",
        "-A",
        "serving_apps.celery_app",
        "worker",
    ]
    command += ["--loglevel", "INFO", "--without-mingle", "--without-gossip", *options]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        from serving_apps.celery_app import make_app

        client = make_app(folder, serializer, "outgoing")
    environ |= server.environ | {"CALL_BEFORE_FORKING": "1"}
    with running(command, ready=" ready.", environ=environ) as process:
        yield Worker(process, client, folder)


@pytest.fixture(scope="module", params=list(POOLS))
def running_worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, LocalEndpoints]]:
    folder = tmp_path_factory.mktemp("celery")
    with LocalEndpoints(requests_per_minute=10_000) as server, working(server, folder, *POOLS[request.param]) as worker:
        yield worker, server


@pytest.fixture
def server(running_worker: tuple[Worker, LocalEndpoints]) -> LocalEndpoints:
    running_worker[1].reset()
    return running_worker[1]


@pytest.fixture
def worker(running_worker: tuple[Worker, LocalEndpoints], server: LocalEndpoints) -> Worker:
    return running_worker[0]


def event(text: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def numbered(count: int) -> list[str]:
    return [f"Number {at} it is" for at in range(count)]


def quoted(result: dict[str, Any]) -> str:
    return str(result["text"]).rpartition(": ")[2]


class TestEveryPool:
    @pytest.mark.parametrize("task", TASKS)
    def test_forty_tasks_get_their_own_answers(self, server: LocalEndpoints, worker: Worker, task: str) -> None:
        results = worker.results(task, numbered(40))

        assert [quoted(result) for result in results] == numbered(40)
        assert sorted(one.json["messages"][0]["content"] for one in server.requests) == sorted(numbered(40))

    def test_embeddings_are_complete(self, server: LocalEndpoints, worker: Worker) -> None:
        assert worker.results("embeddings", [numbered(60)] * 4) == [[1024] * 60] * 4
        assert sum(len(one.json["input"]) for one in server.requests) == 240

    def test_models_were_used_before(self, worker: Worker) -> None:
        assert worker.process.output.count("before forking:") == 1

    def test_nothing_goes_wrong_unseen(self, worker: Worker) -> None:
        assert [line for line in worker.process.lines if "Traceback" in line or "ResourceWarning" in line] == []


def test_tasks_run_in_two_processes(tmp_path: Path) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["prefork"]) as worker:
        server.reply("both", until=lambda: len(server.requests) >= 5, times=2)  # three came before the fork
        results = worker.results("langchain", ["Hello"] * 2)

        assert [result["text"] for result in results] == ["both", "both"]
        assert len({result["process"] for result in results} - {worker.process.child.pid}) == 2


def test_tasks_run_at_once_in_greenlets(tmp_path: Path) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["gevent"]) as worker:
        server.reset()
        server.reply("all", until=lambda: len(server.requests) >= 20, times=20)

        assert {result["text"] for result in worker.results("langchain", ["Hello"] * 20)} == {"all"}


def test_children_that_are_replaced_leave_nothing(tmp_path: Path) -> None:
    options = [*POOLS["prefork"], "--max-tasks-per-child", "5"]
    with LocalEndpoints() as server, working(server, tmp_path, *options) as worker:
        results = worker.results("langchain", numbered(40))
        processes = {result["process"] for result in results}

        assert [quoted(result) for result in results] == numbered(40)
        assert len(processes) >= 8
        worker.process.stop()
        assert eventually(lambda: sockets_to(server) == 0)


@pytest.mark.parametrize("task", TASKS)
def test_soft_time_limit_ends_the_call_and_the_worker_goes_on(tmp_path: Path, task: str) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["prefork"]) as worker:
        server.reply("too late", pause=120)
        with pytest.raises(SoftTimeLimitExceeded):
            worker.results(task, ["Hello"], soft_time_limit=2)

        assert eventually(lambda: server.hung_up == 1)
        assert [quoted(result) for result in worker.results(task, numbered(4))] == numbered(4)


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_errors_travel_with_class_and_message(tmp_path: Path, serializer: str) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["prefork"], serializer=serializer) as worker:
        for task in TASKS:
            server.reply(status=404, body={"message": "it is gone"})
            with pytest.raises(NotFoundError, match="it is gone"):
                worker.results(task, ["Hello"])
            server.reply(status=401, body={"message": f"bad key {server.api_key}-0123456789"})
            with pytest.raises(AuthenticationError, match="bad key"):
                worker.results(task, ["Hello"])
        server.reply(events=[event("Half"), event(" of it"), CUT])
        with pytest.raises(StreamInterruptedError, match="10 characters of text had arrived"):
            worker.results("langchain-stream", ["Hello"])


def test_pickled_errors_keep_status_and_partial_answer(tmp_path: Path) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["prefork"], serializer="pickle") as worker:
        server.reply(status=404, body={"message": "it is gone"})
        with pytest.raises(NotFoundError) as refused:
            worker.results("langchain", ["Hello"])
        server.reply(events=[event("Half"), event(" of it"), CUT])
        with pytest.raises(StreamInterruptedError) as cut:
            worker.results("langchain-stream", ["Hello"])

    assert refused.value.status == 404
    assert cut.value.partial.text == "Half of it"


def test_end_of_a_worker_waits_for_its_task(tmp_path: Path) -> None:
    with LocalEndpoints() as server, working(server, tmp_path, *POOLS["prefork"]) as worker:
        count = len(server.requests)
        server.reply(events=[event("Once"), Pause(3), event(" more"), "[DONE]"])
        sent = worker.send("langchain-stream", "Hello")
        assert eventually(lambda: len(server.requests) > count)
        worker.process.stop()

        assert sent.get(timeout=10)["text"] == "Once more"
        assert eventually(lambda: sockets_to(server) == 0)
