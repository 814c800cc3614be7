"""What the tests of Ray share, and what its workers import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ovhcloud_ai_endpoints.ray import EmbedTexts

KEY = "key-of-the-workers"


def pool(size: int) -> Any:
    from ray.data import ActorPoolStrategy

    return ActorPoolStrategy(size=size)


class Noted(EmbedTexts):
    """Leaves the number of its process in a folder, and that in each row."""

    def __init__(self, folder: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        (Path(folder) / str(os.getpid())).touch()

    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch).append_column("pid", pa.array([os.getpid()] * len(batch), pa.int64()))


def ids_done(checkpoint: Path) -> list[int]:
    """The ids in the checkpoint of a run that was killed, without those whose rows were being written."""
    ids: list[int] = []
    for file in checkpoint.rglob("*.parquet"):
        if not file.name.endswith(".pending.parquet"):
            ids += pyarrow.parquet.read_table(file, columns=["id"])["id"].to_pylist()
    return ids


def kill_all(home: Path) -> None:
    """Kills a driver and its Ray, as when a machine fails: all processes that have this home folder."""
    end = time.monotonic() + 20
    while pids := _processes(home):
        assert time.monotonic() < end
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _processes(home: Path) -> list[int]:
    wanted = f"HOME={home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            has_it = wanted in path.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        found += [int(path.parent.name)] if has_it else []
    return found
