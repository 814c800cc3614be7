"""Real processes on one key that share its limit by a file, some of which are killed: python tests/soak/limits.py

Each minute of the local AI Endpoints takes so many requests. From the second minute on, none may be refused, and all
of the quota must be used; in the first, none that began after the file held that the limit is reached.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ovhcloud_ai_endpoints._http.limit_file import LimitFile
from ovhcloud_ai_endpoints.testing import LocalEndpoints

CASES = ((400, 4, 32), (400, 16, 16), (2, 4, 32), (2, 16, 16))  # limit, processes, workers in each
UNDER_WAY = 0.5  # seconds that a refusal may take from when its request began
HELD = 'SELECT 1 FROM windows WHERE remaining = 0 AND "end" > ?'
WORKER = """
import logging, sys, threading
from ovhcloud_ai_endpoints import OVHCloudError, Timeouts
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http import Client, Settings

url, path, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = Settings(api_key="local-key", base_url=url, share_limits=path, timeouts=Timeouts(first_event=None))

logging.disable()  # each refusal is a line

def work():
    while True:
        try:
            Client(settings).send(EmbeddingRequest({"model": "bge-m3", "input": ["text"]}, count=1))
        except OVHCloudError as error:
            print(error, flush=True)

for _ in range(workers - 1):
    threading.Thread(target=work, daemon=True).start()
work()
"""


@dataclass
class Row:
    limit: int
    processes: int
    workers: int
    answered: list[int] = field(default_factory=list)  # in each minute
    refused: list[int] = field(default_factory=list)
    late: int = 0  # refusals after the file said that the limit is reached, and a moment for what was under way
    failed: int = 0

    def __str__(self) -> str:
        whole = self.answered[1:]
        used = sum(whole) / (self.limit * len(whole))
        return (
            f"| {self.processes} | {self.limit} | {self.workers} | {used:.1%} | {self.refused[0]} | "
            f"{sum(self.refused[1:])} | {self.late} | {self.failed} |"
        )

    @property
    def holds(self) -> bool:
        whole = self.answered[1:]
        return sum(self.refused[1:]) == 0 == self.late == self.failed and sum(whole) >= 0.99 * self.limit * len(whole)


def run(limit: int, processes: int, workers: int, minutes: int) -> Row:
    row = Row(limit, processes, workers)
    with LocalEndpoints(requests_per_minute=limit) as server, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.sqlite"
        LimitFile(str(path)).window("")  # so that it is there
        command = [sys.executable, "-c", WORKER, server.base_url, str(path), str(workers)]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
        minute, answered, refused, seen = int(time.monotonic() // 60), 0, 0, 0
        quiet: float | None = None  # from when on none may be refused in this minute
        with closing(sqlite3.connect(path)) as file:
            while len(row.answered) < minutes:
                time.sleep(0.01)
                now, all_refused, all_asked = time.monotonic(), len(server.refusals), len(server.requests)
                if not all_asked:
                    minute = int(now // 60)
                if now // 60 > minute:
                    row.answered.append(all_asked - all_refused - answered)
                    row.refused.append(all_refused - refused)
                    minute, answered, refused, quiet = int(now // 60), all_asked - all_refused, all_refused, None
                    if len(row.answered) == 2:
                        for process in started[: max(1, processes // 8)]:
                            process.kill()
                if quiet is None and file.execute(HELD, (time.time(),)).fetchone():
                    quiet = now + UNDER_WAY
                if quiet is not None and now > quiet:
                    row.late += all_refused - seen
                seen = all_refused
        for process in started:
            process.kill()
            row.failed += len(process.communicate()[0].splitlines())
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=4)
    minutes = parser.parse_args().minutes
    print("| processes | limit | workers in each | quota used | refused in minute 1 | later | in vain | failed |")
    print("|---|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor() as pool:  # all at once, since they wait most of the time
        rows = [done.result() for done in [pool.submit(run, *case, minutes) for case in CASES]]
    print(*rows, sep="\n")
    holds = all(row.holds for row in rows)
    print("held" if holds else "FAILED")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
