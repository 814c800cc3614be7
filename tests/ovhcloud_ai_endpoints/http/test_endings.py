"""Where threads, locks and loops are not what they usually are: gevent, forks, the end of the program."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scripts import run_script

from ovhcloud_ai_endpoints import _process
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._embeddings.capacity import Capacity, learn
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http import process_pools
from ovhcloud_ai_endpoints._http.client import Client
from ovhcloud_ai_endpoints._http.limits import limiter
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.timeout(90)
def test_gevent_makes_calls_of_all_kinds(server: LocalEndpoints) -> None:
    assert run_script(server, "greenlets.py") == ["I am ", "I am ", "I am ", "200", "1"]


@pytest.mark.timeout(90)
def test_gevent_may_come_between_a_fork_and_the_next_call(server: LocalEndpoints) -> None:
    assert run_script(server, "greenlets_after_a_fork.py") == ["1"]


@pytest.mark.timeout(90)
def test_greenlets_that_are_killed_during_the_first_call_hold_up_no_other(server: LocalEndpoints) -> None:
    assert run_script(server, "killed_greenlets.py") == ["0"]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("place", ["atexit", "thread"])
def test_first_calls_are_answered_when_the_program_ends(server: LocalEndpoints, place: str, host: str) -> None:
    assert run_script(server, "at_the_end.py", place, host) == [
        f"{way} I am " for way in ("invoke", "stream", "ainvoke", "astream")
    ]


@pytest.mark.timeout(90)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_child_forked_during_the_first_call_makes_calls(server: LocalEndpoints) -> None:
    assert run_script(server, "forks_at_first.py") == ["0"]


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Another thread holds a lock, which a forked child does not have."""
    is_held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            release.wait(30)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert is_held.wait(5)
    try:
        yield
    finally:
        release.set()
        thread.join(5)


LOCKS = {
    "of the pools": lambda settings: process_pools._process.lock,
    "of the reaper": lambda settings: process_pools._reaper._lock,
    "of a table": lambda settings: _process._tables[0]._lock,
    "of the last table": lambda settings: _process._tables[-1]._lock,
    "of a limiter": lambda settings: limiter(settings.base_url, settings.key(), "gpt-oss-120b")._lock,
    "of the slots": lambda settings: (
        next(iter(process_pools._process.pools)).slots(settings.max_concurrency, "/chat/completions")._cond
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("name", LOCKS)
def test_forked_child_does_not_wait_for_a_lock_of_its_parent(server: LocalEndpoints, name: str) -> None:
    settings = Settings(base_url=server.base_url, api_key=server.api_key)
    process_pools._process.pools.close()
    Client(settings).send(ChatRequest(BODY))
    learn((server.base_url, "bge-m3"), Capacity(3))

    with held(LOCKS[name](settings)):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                Client(settings).send(ChatRequest(BODY))
                with Client(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
                    list(deltas)
                Client(settings).send(EmbeddingRequest({"model": "bge-m3", "input": ["text"]}, count=1))
                learn((server.base_url, "bge-m3"), Capacity(2))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
