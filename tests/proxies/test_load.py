"""The load itself: it must see what it looks for."""

import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack

import load
import pytest
from origins import BEGUN, Origin, running_origin
from processes import free_port
from servers import nginx
from tallies import Tally
from ways import CORPUS, Service, reached

SECONDS = 1.0
OTHERS = {text: [0.0] for text in CORPUS}  # none of them is right


@pytest.fixture
def tally() -> Tally:
    return Tally("a scenario")


@pytest.fixture
def service(origin: Origin) -> Service:
    return reached(origin.port)


def test_other_answer_is_wrong(origin: Origin, slow: Origin, tally: Tally, vectors: Mapping[str, list[float]]) -> None:
    with nginx(origin.port, behind={"streams": slow.port}) as server:
        service = reached(server.port).at("streams", "stream", says=BEGUN)
        load.run(service, SECONDS, tally, vectors)

    assert {line.partition(":")[0] for line in tally.wrong} == {"stream", "astream", "stream_chat", "astream_chat"}
    assert tally.right


def test_other_vector_is_wrong(service: Service, tally: Tally) -> None:
    load.run(service, SECONDS, tally, OTHERS)

    assert any(line.startswith("aembed_documents") for line in tally.wrong)
    assert any(line.startswith("embed_documents") for line in tally.wrong)


def test_call_that_takes_too_long_is_hung(origin: Origin, tally: Tally, vectors: Mapping[str, list[float]]) -> None:
    with running_origin(free_port(), "late") as late, nginx(origin.port, behind={"late": late.port}) as server:
        load.run(reached(server.port).at("late", "whole"), SECONDS, tally, vectors, bound=2.0)

    assert {"invoke", "ainvoke", "chat", "achat"} <= {line.partition(":")[0] for line in tally.hung}


def test_socket_that_stays_open_is_leaked(
    service: Service, tally: Tally, vectors: Mapping[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "TO_END", 0.2)
    with ExitStack() as held:

        def connect(over: threading.Event) -> None:
            held.enter_context(socket.create_connection(("127.0.0.1", service.port)))

        load.run(service, SECONDS, tally, vectors, meanwhile=connect)

    assert len(tally.leaked) == 1
    assert tally.leaked[0].startswith("socket")


def test_thread_that_goes_on_is_leaked(
    service: Service, tally: Tally, vectors: Mapping[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "TO_END", 0.2)
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="going on")
    try:
        load.run(service, SECONDS, tally, vectors, meanwhile=lambda over: thread.start())
    finally:
        end.set()
        thread.join()

    assert tally.leaked == ["thread going on"]


def test_only_errors_that_are_allowed_are_no_problem(origin: Origin, tally: Tally) -> None:
    origin.stop()
    load.run(reached(origin.port), SECONDS, tally, OTHERS)

    assert tally.problems(allowed={"APIConnectionError"}) == ["no call was right"]
    assert len(tally.problems()) == 2
