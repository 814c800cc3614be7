"""Many texts in Ray Data, with faults, a killed actor and a killed driver: python tests/ray/many.py

A local AI Endpoints answers, and 5 % of its answers are faults. First four actors embed all texts, one of them is
killed half way, and each row is counted. Then the same with the checkpoint of Ray Data: the driver is killed half way,
and run again. Prints figures, among them the memory of the driver.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from workers import ids_done, kill_all

from ovhcloud_ai_endpoints.testing import LocalEndpoints

FAULTS = ("500", "502-page", "503", "503-cut", "408", "reset", "hung-up")  # all of which are retried
SHARE = 0.05
FILES = 40
MB = 1024 * 1024
MOST_GROWTH = 100  # MB of the driver, after a quarter of the rows
ROWS_IN_BLOCK = 1000


def drive(folder: Path, actors: int) -> None:
    """What is killed, or measured: a pipeline from Parquet to Parquet."""
    import ray
    from ray.data.checkpoint import CheckpointConfig
    from workers import Noted

    ray.init(
        num_cpus=actors + 3,
        include_dashboard=False,
        object_store_memory=400 * MB,
        logging_level="ERROR",
        log_to_driver=False,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=str(folder / "checkpoint"), delete_checkpoint_on_success=False
    )
    ray.data.read_parquet(str(folder / "texts")).repartition(target_num_rows_per_block=ROWS_IN_BLOCK).map_batches(
        Noted,
        fn_constructor_kwargs={"folder": str(folder / "actors"), "max_retries": 6},
        batch_size=200,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
    ).write_parquet(str(folder / "vectors"), mode="append")


class Run:
    """One driver, and what is known of it."""

    def __init__(self, folder: Path, actors: int, server: LocalEndpoints, texts: int) -> None:
        self.folder, self.server, self.texts = folder, server, texts
        environ = {**os.environ, **server.environ, "HOME": str(folder), "RAY_TMPDIR": "/tmp/ovhcloud-ray"}
        environ["PYTHONPATH"] = str(Path(__file__).parent)
        command = [sys.executable, __file__, "--drive", str(folder), "--actors", str(actors)]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.memory: list[tuple[int, float]] = []  # texts asked, and MB of the driver

    def wait(self, until: Callable[[int], bool] = lambda _: False) -> bool:
        """Waits for the end, or until so many texts were asked; True if it has ended."""
        while self.process.poll() is None:
            asked = 25 * len(self.server.requests)
            self.memory.append((asked, _memory(self.process.pid)))
            if until(asked):
                return False
            time.sleep(0.2)
        return True

    def rows(self) -> list[dict[str, Any]]:
        written = pyarrow.dataset.dataset(self.folder / "vectors")
        rows: list[dict[str, Any]] = written.to_table(columns=["id", "error", "pid"]).to_pylist()
        return rows


def _memory(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (FileNotFoundError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / MB


def prepare(folder: Path, count: int) -> None:
    for name in ("texts", "actors"):
        (folder / name).mkdir(parents=True)
    each = count // FILES
    for number in range(FILES):
        ids = range(number * each, (number + 1) * each)
        table = pa.table({"id": ids, "text": [f"text {at}" for at in ids]})
        pyarrow.parquet.write_table(table, folder / "texts" / f"{number:03}.parquet")


def report(title: str, run: Run, asked: list[str], done_before: set[str]) -> bool:
    """Prints what a run that has ended did; whether it held."""
    rows = run.rows()
    seconds = time.monotonic() - run.began
    settled = [memory for at, memory in run.memory if at > run.texts / 4] or [0.0]
    ids, actors = {row["id"] for row in rows}, {row["pid"] for row in rows}
    lost, twice = run.texts - len(ids), len(rows) - len(ids)
    failed = sum(row["error"] is not None for row in rows)
    again = len(set(asked) & done_before)
    print(f"\n{title}: {seconds:.0f} s")
    print(f"  rows {len(rows):,}, lost {lost}, twice {twice}, with an error {failed}, by {len(actors)} actors")
    print(f"  texts asked {len(asked):,}; of what was written before, asked again: {again}")
    print(f"  memory of the driver: {settled[0]:.0f} MB after a quarter, at most {max(settled):.0f} MB", flush=True)
    return lost == twice == failed == again == 0 and max(settled) - settled[0] < MOST_GROWTH


def kill_an_actor(folder: Path) -> int:
    pid = int(next((folder / "actors").iterdir()).name)
    os.kill(pid, signal.SIGKILL)
    return pid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.drive, options.actors)
        return 0
    holds = True
    with tempfile.TemporaryDirectory() as top, LocalEndpoints(requests_per_minute=10**7) as server:
        folder = Path(top) / "one"
        prepare(folder, options.texts)
        server.fail_at_random(SHARE, faults=FAULTS)
        run = Run(folder, options.actors, server, options.texts)
        run.wait(lambda asked: asked > options.texts / 2)
        killed = kill_an_actor(folder)
        run.wait()
        holds &= report(f"An actor killed half way ({killed})", run, _asked(server), set())
        print(f"  requests {len(server.requests):,}, faults {len(server.failures):,}")

        folder = Path(top) / "two"
        prepare(folder, options.texts)
        server.reset()
        server.fail_at_random(SHARE, faults=FAULTS, seed=1)
        run = Run(folder, options.actors, server, options.texts)
        run.wait(lambda asked: asked > options.texts / 2)
        kill_all(home=folder)
        done = {f"text {at}" for at in ids_done(folder / "checkpoint")}
        print(f"\nThe driver killed half way: {len(done):,} rows done, {len(_asked(server)):,} texts asked")
        server.reset()
        server.fail_at_random(SHARE, faults=FAULTS, seed=2)
        run = Run(folder, options.actors, server, options.texts)
        run.wait()
        holds &= report("Resumed", run, _asked(server), done)
    shutil.rmtree("/tmp/ovhcloud-ray", ignore_errors=True)
    print("held" if holds else "FAILED")
    return 0 if holds else 1


def _asked(server: LocalEndpoints) -> list[str]:
    return [text for request in server.requests for text in request.json["input"]]


if __name__ == "__main__":
    sys.exit(main())
