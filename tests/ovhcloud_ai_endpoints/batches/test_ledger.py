"""The file that outlives the process."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from batching import Caller, batch_on, jobs_made
from waiting import eventually

from ovhcloud_ai_endpoints import Batch
from ovhcloud_ai_endpoints._batches import lease
from ovhcloud_ai_endpoints._batches.lease import Lease
from ovhcloud_ai_endpoints._batches.ledger import Ledger
from ovhcloud_ai_endpoints.testing import LocalEndpoints

LOST = threading.Event()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(tmp_path / "ledger.sqlite")
    yield found
    found.close()


def test_only_its_owner_may_read_it(tmp_path: Path, server: LocalEndpoints) -> None:
    before = os.umask(0)
    try:
        batch = batch_on(tmp_path)
    finally:
        os.umask(before)
    with batch:
        list(batch.map(Caller(server).ask, ["Hi"]))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}


def test_it_holds_no_key(tmp_path: Path) -> None:
    with LocalEndpoints(api_keys=["a-key-that-is-secret"]) as server, batch_on(tmp_path) as batch:
        list(batch.map(Caller(server).ask, ["Hi"]))
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"Hi" in held
    assert b"a-key-that-is-secret" not in held


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("important" * 1000, "utf-8")
    other.chmod(0o664)

    with pytest.raises(ValueError, match=r"notes\.txt is no database of this package"):
        Batch(other)
    assert other.read_text("utf-8") == "important" * 1000
    assert stat.S_IMODE(other.stat().st_mode) == 0o664


def test_nor_is_another_programs_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "accounts.sqlite")) as connection:
        connection.execute("CREATE TABLE jobs (name)")
    before = (tmp_path / "accounts.sqlite").read_bytes()

    with pytest.raises(ValueError, match="of another program"):
        Batch(tmp_path / "accounts.sqlite")
    assert (tmp_path / "accounts.sqlite").read_bytes() == before


def test_many_may_open_it_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def opened(number: int) -> None:
        barrier.wait()
        Ledger(tmp_path / f"{number}.sqlite").close()

    for number in range(10):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(opened, [number] * 6))


def test_a_closed_one_says_so(tmp_path: Path, server: LocalEndpoints) -> None:
    batch = batch_on(tmp_path)
    batch.close()

    with pytest.raises(ValueError, match="is closed"):
        list(batch.map(Caller(server).ask, ["Hi"]))


def test_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    batch_on(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(ValueError, match="newer version"):
        batch_on(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told(tmp_path: Path, ledger: Ledger) -> None:
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            ledger.counts()
        except RuntimeError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert b"forked process" in os.read(read, 1000)


def test_a_second_one_in_the_process_drops_no_locks(tmp_path: Path, server: LocalEndpoints) -> None:
    """Closing any descriptor of a file drops all locks of the process on it."""
    count = (
        "import sys\nfrom ovhcloud_ai_endpoints import Batch\nwith Batch(sys.argv[1]) as b: print(b.counts.answered)"
    )
    command = [sys.executable, "-c", count, str(tmp_path / "ledger.sqlite")]
    with batch_on(tmp_path) as batch:
        list(batch.map(Caller(server).ask, ["one"]))
        batch_on(tmp_path).close()
        subprocess.run(command, check=True, capture_output=True)
        list(batch.map(Caller(server).ask, ["two", "three"]))
        seen = subprocess.run(command, check=True, capture_output=True, text=True)

    assert seen.stdout == "3\n"


def test_a_ledger_that_is_gone_ends_the_map(tmp_path: Path, server: LocalEndpoints) -> None:
    with batch_on(tmp_path) as batch:
        (tmp_path / "ledger.sqlite").unlink()
        with pytest.raises(FileNotFoundError, match="removed or replaced"):
            list(batch.map(Caller(server).ask, ["Hi"]))

    assert jobs_made(server) == 0


def test_an_unreadable_ledger_is_no_answer(tmp_path: Path, server: LocalEndpoints) -> None:
    batch = batch_on(tmp_path)
    answers = batch.map(lambda text: Caller(server).ask(text) if text != "close" else batch.close(), ["close", "Hi"])
    next(answers)

    with pytest.raises(ValueError, match="is closed"):
        next(answers)


class TestLease:
    def test_one_at_a_time(self, ledger: Ledger) -> None:
        first, second = Lease(ledger), Lease(ledger)
        with first.held(LOST) as has_first, second.held(LOST) as has_second:
            assert (has_first, has_second) == (True, False)
        with second.held(LOST) as has_second:
            assert has_second

    def test_ends_at_once_with_its_process(self, ledger: Ledger) -> None:
        code = (
            "import sys, os, signal, threading\n"
            "from ovhcloud_ai_endpoints._batches.lease import Lease\n"
            "from ovhcloud_ai_endpoints._batches.ledger import Ledger\n"
            "with Lease(Ledger(sys.argv[1])).held(threading.Event()) as has:\n"
            "    assert has\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(ledger.path)], check=False)

        with Lease(ledger).held(LOST) as has:
            assert has

    def test_of_another_host_ends_with_its_time(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "_host", lambda: "elsewhere")
        with Lease(ledger).held(LOST):
            monkeypatch.undo()
            with Lease(ledger).held(LOST) as has:
                assert not has
            with ledger.writing() as connection:
                connection.execute("UPDATE lease SET until = 0")
            with Lease(ledger).held(LOST) as has:
                assert has

    def test_is_renewed_while_it_is_held(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "RENEWED_EVERY", 0.005)
        with Lease(ledger).held(LOST):
            with ledger.writing() as connection:
                connection.execute("UPDATE lease SET until = 0")

            def is_renewed() -> bool:
                with ledger.writing() as connection:
                    return bool(connection.execute("SELECT until > 0 FROM lease").fetchone()[0])

            assert eventually(is_renewed)

    def test_is_noticed_when_it_is_lost(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "RENEWED_EVERY", 0.005)
        lost = threading.Event()
        with Lease(ledger).held(lost):
            with ledger.writing() as connection:
                connection.execute("UPDATE lease SET owner = 'another', host = 'elsewhere'")
            assert lost.wait(10)


def test_a_second_one_waits_and_finds_the_answers(tmp_path: Path, server: LocalEndpoints) -> None:
    found: list[list[tuple[int, object]]] = []

    def work() -> None:
        with batch_on(tmp_path) as batch:
            found.append(list(batch.map(Caller(server).ask, ["Hi", "Ho"])))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 2
    assert sorted(found[0]) == sorted(found[1])
    assert len(server.batches.lines) == 2
    assert jobs_made(server) == 1
