"""What processes share of the limits, in one file."""

import gc
import logging
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from llama_index_ovhcloud import OVHCloudEmbeddings as LlamaIndexEmbeddings
from ovhcloud_ai_endpoints import RateLimitError
from ovhcloud_ai_endpoints._http import limit_file as module
from ovhcloud_ai_endpoints._http.limit_file import MOST_FILES, LimitFile, limit_file
from ovhcloud_ai_endpoints._http.limits import KEPT, LONGEST, WINDOW, SharedLimiter, Window
from ovhcloud_ai_endpoints.testing import LocalEndpoints

NOW = float(int(time.time()))
REFUSED = {"retry-after": "30", "x-ratelimit-limit-minute": "2"}
ASK = """
import sys
from langchain_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints import RateLimitError

embeddings = OVHCloudEmbeddings(share_limits=sys.argv[1], max_wait=0)
try:
    embeddings.embed_query("Hi")
    print("answered", end="")
except RateLimitError as error:
    print("refused" if error.status else "held back", end="")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.sqlite"


def sharing(path: Path, who: str = "who") -> SharedLimiter:
    """A limiter as another process has it: with a connection of its own."""
    return SharedLimiter(LimitFile(str(path)), who)


def asked(limiter: SharedLimiter, now: float, ticket: int = 0) -> float:
    return limiter.seconds_until_free(0, ticket, epoch=now)


def refused(limiter: SharedLimiter, now: float = NOW) -> float:
    return limiter.record(0, 429, REFUSED, epoch=now)


def kept(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM windows").fetchall()


def test_another_process_learns_of_a_refusal_without_a_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalEndpoints(requests_per_minute=1) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        at = 60 - time.monotonic() % 60
        said = [
            subprocess.run([sys.executable, "-c", ASK, path], capture_output=True, text=True, check=True).stdout
            for _ in range(2)
        ]
        assert said[0] == "answered"
        if time.monotonic() % 60 + at <= 60:  # no minute of the server has ended meanwhile
            assert said == ["answered", "held back"]
            assert len(server.requests) == 1


@pytest.mark.parametrize("cls", [OVHCloudEmbeddings, LlamaIndexEmbeddings])
@pytest.mark.parametrize("kind", [str, Path])
def test_objects_take_a_path(cls: type[OVHCloudEmbeddings], kind: Callable[[Path], str], path: Path) -> None:
    with LocalEndpoints(requests_per_minute=1) as server:
        server.reply(status=429, headers={"Retry-After": "30"})
        embeddings: Any = cls(base_url=server.base_url, api_key="local-key", share_limits=kind(path), max_wait=0)
        with pytest.raises(RateLimitError, match="429"):
            embeddings.embed_query("Hi") if cls is OVHCloudEmbeddings else embeddings.get_query_embedding("Hi")
    assert len(kept(path)) == 1


@pytest.mark.parametrize(("word", "meaning"), [("false", False), ("True", True)])
def test_words_for_booleans_make_no_file(word: str, meaning: bool) -> None:
    assert ChatOVHCloud(model="gpt-oss-120b", share_limits=word).share_limits is meaning


def test_a_path_means_the_same_file_in_each_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of-a-user")

    assert ChatOVHCloud(model="gpt-oss-120b", share_limits="l").share_limits == str(tmp_path / "l")
    assert ChatOVHCloud(model="gpt-oss-120b", share_limits="~/l").share_limits == "/home/of-a-user/l"


@pytest.mark.parametrize("wrong", ["", "redis://localhost/0", "file:///tmp/limits.sqlite"])
def test_a_url_is_no_path(wrong: str) -> None:
    with pytest.raises(ValueError, match="share_limits must be True, False or the path of a file"):
        ChatOVHCloud(model="m", share_limits=wrong)


class TestProcesses:
    def test_see_at_once_what_another_was_told(self, path: Path) -> None:
        one, other = sharing(path), sharing(path)
        assert [asked(limiter, NOW) for limiter in (one, other)] == [0, 0]

        assert refused(one) == 30

        assert asked(other, NOW + 1) == 29
        assert refused(other, NOW + 1) == 0  # it is told already

    def test_hand_out_what_a_minute_allows_once(self, path: Path) -> None:
        processes = [sharing(path) for _ in range(4)]
        refused(processes[0])

        waits = [asked(process, NOW + 30) for process in processes]

        assert waits == [0, 0, WINDOW, WINDOW]

    def test_do_so_when_all_ask_at_once(self, path: Path) -> None:
        refused(sharing(path).__class__(LimitFile(str(path)), "who"))
        processes = [sharing(path) for _ in range(8)]
        barrier = threading.Barrier(len(processes))

        def ask(process: SharedLimiter) -> list[float]:
            barrier.wait(10)
            return [asked(process, NOW + 30, ticket) for ticket in range(20)]

        with ThreadPoolExecutor(len(processes)) as pool:
            waits = [wait for found in pool.map(ask, processes) for wait in found]

        assert waits.count(0) == 2

    def test_count_what_others_report(self, path: Path) -> None:
        one, other = sharing(path), sharing(path)
        one.record(0, 429, {**REFUSED, "x-ratelimit-limit-minute": "400"}, epoch=NOW)
        asked(one, NOW + 30)

        other.record(0, 200, {"x-ratelimit-remaining-minute": "1", "ratelimit-reset": "50"}, epoch=NOW + 31)

        assert asked(one, NOW + 32, 1) == 0
        assert asked(one, NOW + 32, 2) > 0

    def test_let_all_go_once_a_minute_was_not_used_up(self, path: Path) -> None:
        one, other = sharing(path), sharing(path)
        refused(one)
        asked(one, NOW + 30)

        assert [asked(other, NOW + 91, ticket) for ticket in range(9)] == [0] * 9
        assert kept(path) == []

    def test_share_nothing_with_another_key(self, path: Path) -> None:
        refused(sharing(path))

        assert asked(sharing(path, "another"), NOW) == 0

    def test_that_know_the_limit_already_need_not_be_told_it(self, path: Path) -> None:
        one, other = sharing(path), sharing(path)
        headers = {"x-ratelimit-limit-minute": "2", "x-ratelimit-remaining-minute": "1", "ratelimit-reset": "50"}
        one.record(0, 200, headers, epoch=NOW)

        one.record(0, 429, {"retry-after": "30"}, epoch=NOW)

        assert [asked(other, NOW + 30, ticket) for ticket in range(3)] == [0, 0, WINDOW]

    def test_a_clock_that_was_read_a_moment_ago_erases_nothing(self, path: Path) -> None:
        one, other = sharing(path), sharing(path)
        one.record(0, 429, {**REFUSED, "retry-after": "60"}, epoch=NOW)

        assert asked(other, NOW - 0.001) > 60
        other.record(0, 200, {"x-ratelimit-remaining-minute": "1", "ratelimit-reset": "60"}, epoch=NOW - 0.001)
        assert asked(one, NOW, 1) == 60


class TestInterrupts:
    """A signal that raises, in any place of a change, such as Ctrl-C in a notebook."""

    def test_leave_no_lock_and_nothing_old(self, path: Path) -> None:
        file = LimitFile(str(path))
        file.change("who", lambda window: window.record(NOW, 429, REFUSED, age=0, epoch=NOW))

        def interrupted(window: Window) -> float:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            file.change("who", interrupted)

        assert refused(sharing(path, "other")) == 30  # which writes
        assert file.window("who").end == NOW + 30

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
    def test_may_come_at_any_moment(self, path: Path) -> None:
        class RungError(Exception):
            pass

        def ring(*_: object) -> None:
            raise RungError

        file, chance, rung = LimitFile(str(path)), random.Random(1), 0
        file.window("who")
        before = signal.signal(signal.SIGALRM, ring)
        gc.disable()  # an exception in a callback of the collector goes nowhere; other libraries have some
        try:
            for number in range(300):
                at = NOW + number
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 200e-6))
                    file.change("who", partial(Window.record, now=at, status=429, headers=REFUSED, age=0, epoch=at))
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except RungError:
                    rung += 1
                connection = file._connection
                assert connection is None or not connection.in_transaction
                assert file.window("who") == LimitFile(str(path)).window("who")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            gc.enable()
        assert rung > 10


class TestFile:
    def test_is_not_written_while_nobody_is_held_back(self, path: Path) -> None:
        one = sharing(path)
        asked(one, NOW)
        before = path.with_name(f"{path.name}-wal").stat()

        for number in range(100):
            assert asked(one, NOW + number) == 0
            one.record(0, 200, {"x-ratelimit-limit-minute": "400", "x-ratelimit-remaining-minute": "9"}, epoch=NOW)

        after = path.with_name(f"{path.name}-wal").stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    def test_holds_no_key_and_only_its_owner_may_read_it(self, tmp_path: Path, path: Path) -> None:
        before = os.umask(0)
        try:
            with LocalEndpoints(api_keys=["a-key-that-is-secret"]) as server:
                server.reply(status=429, headers={"Retry-After": "30"})
                with pytest.raises(RateLimitError):
                    OVHCloudEmbeddings(
                        base_url=server.base_url, api_key="a-key-that-is-secret", share_limits=path, max_wait=0
                    ).embed_query("Hi")
        finally:
            os.umask(before)

        assert len(kept(path)) == 1
        assert b"a-key-that-is-secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}

    def test_forgets_what_is_over(self, path: Path) -> None:
        for number in range(50):
            sharing(path, f"key {number}").record(0, 429, REFUSED, epoch=time.time() - 2 * LONGEST)
        assert len(kept(path)) <= 50

        refused(sharing(path), time.time())

        assert len(kept(path)) == 1

    def test_what_is_held_of_it_has_a_bound(self, path: Path) -> None:
        file = LimitFile(str(path))
        for number in range(3 * KEPT):
            file.window(str(number))

        assert len(file._windows) <= KEPT

    def test_many_are_not_open_at_once(self, tmp_path: Path) -> None:
        files = [limit_file(str(tmp_path / str(number))) for number in range(2 * MOST_FILES)]
        for file in files:
            file.window("who")

        assert len(module._files) <= MOST_FILES
        assert files[0].window("who").is_open

    def test_survives_a_clock_that_was_set_back(self, path: Path) -> None:
        refused(sharing(path), NOW + 3600)

        assert asked(sharing(path), NOW) == 0


class TestFailures:
    def test_are_tried_again_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "ALONE_SECONDS", 0.0)
        path = tmp_path / "later" / "limits.sqlite"
        one = sharing(path)
        assert [asked(one, NOW) for _ in range(3)] == [0, 0, 0]
        path.parent.mkdir()

        refused(one)

        assert len(kept(path)) == 1
        assert caplog.text.count("goes on alone") == 1

    def test_of_a_process_that_was_killed_while_it_made_the_file_are_none(self, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

        assert refused(sharing(path)) == 30
        assert len(kept(path)) == 1

    def test_and_a_clock_that_is_set_back_hold_nobody_back(self, path: Path) -> None:
        one = sharing(path)
        refused(one)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE windows")

        assert asked(one, NOW - 3600) == 0

    @pytest.mark.parametrize("failure", ["another file", "another program", "no folder", "newer", "a wrong value"])
    def test_are_a_warning_once_and_leave_the_process_alone(
        self, tmp_path: Path, path: Path, failure: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        match failure:
            case "another file":
                path.write_text("important" * 1000, "utf-8")
            case "another program":
                with closing(sqlite3.connect(path)) as connection:
                    connection.execute("CREATE TABLE accounts (name)")
            case "no folder":
                path = tmp_path / "no" / "limits.sqlite"
            case "newer":
                LimitFile(str(path)).window("who")
                with closing(sqlite3.connect(path)) as connection:
                    connection.execute("PRAGMA user_version = 99")
            case _:
                refused(sharing(path))
                with closing(sqlite3.connect(path)) as connection, connection:
                    connection.execute("UPDATE windows SET \"end\" = 'never'")
        before = path.read_bytes() if failure.startswith("another") else b""
        one = sharing(path)

        assert asked(one, NOW) == 0
        assert refused(one) == 30
        assert asked(one, NOW + 1) == 29
        records = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(records) == 1
        assert "so this process goes on alone: " in records[0]
        if before:
            assert path.read_bytes() == before

    def test_midway_keep_what_was_known(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        one = sharing(path)
        refused(one)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE windows")

        assert asked(one, NOW + 1) == 29
        assert [asked(one, NOW + 30, ticket) for ticket in range(3)] == [0, 0, WINDOW]
        assert "goes on alone" in caplog.text

    def test_of_a_process_that_holds_the_file_take_no_longer_than_they_may(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
        one = sharing(path)
        asked(one, NOW)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")

            assert refused(one) == 30

        assert "database is locked" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_connection_of_its_own(path: Path) -> None:
    one = SharedLimiter(limit_file(str(path)), "who")
    refused(one)

    child = os.fork()
    if not child:
        found = SharedLimiter(limit_file(str(path)), "who")
        is_right = limit_file(str(path)) is not one._store and asked(found, NOW + 1) == 29
        found.record(0, 429, {"retry-after": "50"}, epoch=NOW + 1)
        os._exit(0 if is_right else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert asked(one, NOW + 2) == 49


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_may_fork_from_another_thread(path: Path) -> None:
    file = LimitFile(str(path))  # which the child has, too, as it may of a thread that is not there
    file.window("who")

    def fork() -> None:
        if not os.fork():
            os._exit(0)
        os.wait()

    child = os.fork()
    if not child:
        if file._connection is not None:
            os._exit(1)  # a child must not inherit what SQLite believes of its locks
        signal.alarm(5)
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert file.window("who").is_open


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_may_come_while_other_threads_write(path: Path) -> None:
    file, has_ended = limit_file(str(path)), threading.Event()

    def write(name: str) -> int:
        count = 0
        while not has_ended.is_set():
            file.change(name, lambda window: window.record(NOW, 429, REFUSED, age=0, epoch=NOW))
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        counts = [pool.submit(write, str(number)) for number in range(3)]
        for _ in range(10):
            child = os.fork()
            if not child:
                limit_file(str(path)).change("child", lambda window: window.record(NOW, 429, REFUSED, age=0, epoch=NOW))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert status == 0
        has_ended.set()
    assert min(count.result() for count in counts) > 0
    assert len(kept(path)) == 4


KILLED = """
import sys, time
from ovhcloud_ai_endpoints._http.limit_file import LimitFile
from ovhcloud_ai_endpoints._http.limits import SharedLimiter

limiter = SharedLimiter(LimitFile(sys.argv[1]), "who")
print("ready", flush=True)
ticket = 0
while True:
    ticket += 1
    limiter.record(0, 429, {"retry-after": "0.001", "x-ratelimit-limit-minute": "1000000"}, epoch=time.time())
    limiter.seconds_until_free(0, ticket, epoch=time.time() + 1)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_the_file_whole(path: Path) -> None:
    for number in range(5):
        with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            threading.Event().wait(random.Random(number).uniform(0.01, 0.05))  # to be at any place
            process.kill()
    one = sharing(path)

    assert LimitFile(str(path)).window("who").limit == 1_000_000
    assert refused(one, time.time() + 100) == 30


def test_windows_of_a_store_are_copies(path: Path) -> None:
    file = LimitFile(str(path))
    file.change("who", lambda window: window.record(NOW, 429, REFUSED, age=0, epoch=NOW))

    file.window("who").remaining = 99

    assert file.window("who") == Window(2.0, 0.0, NOW + 30, NOW + 30)
