"""Batches that are killed, and one that is large: python tests/soak/batches.py

Kills a process of 2,000 requests with SIGKILL at random moments, runs it again, and so on; and counts what the local
server was asked. Then asks many requests in one map, and prints time, memory and the size of the ledger.
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

from pydantic import SecretStr

from ovhcloud_ai_endpoints import Batch
from ovhcloud_ai_endpoints._batches import job
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http import Client, Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REQUESTS = 2_000
LINES = 200  # in a file, so that there are many jobs
MB = 1024 * 1024


def work(path: str, base_url: str, requests: int, lines: int) -> None:
    """What is killed, or measured: a batch of so many requests."""
    job.MOST_LINES, job.LOOK_SECONDS = lines, 1.0
    settings = Settings(api_key=SecretStr("local-key"), base_url=base_url)

    def ask(number: int) -> str:
        message = {"role": "user", "content": f"Say {number}"}
        return Client(settings).send(ChatRequest({"model": "gpt-oss-120b", "messages": [message]})).messages[0].text

    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with Batch(path, poll_seconds=(0.02, 0.2)) as batch:
        right = sum(text.endswith(f"Say {place}") for place, text in batch.map(ask, range(requests)))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{right} right, {time.monotonic() - began:.0f} s, {before // 1024} MB before, {most // 1024} MB at the most")


def process(path: Path, server: LocalEndpoints, requests: int, lines: int) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--work", str(path), server.base_url, str(requests), str(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(folder: Path, kills: int, seed: int) -> bool:
    """Whether each request was asked once and answered, however often the process was killed."""
    chance = random.Random(seed)
    with LocalEndpoints(batch_seconds=0.4) as server:
        for number in count(1):
            if kills <= 0:
                return True
            path, done = folder / f"{number}.sqlite", False
            server.reset()
            while not done:
                server.batches.hidden_lists = chance.choice([0, 0, 1])
                if chance.random() < 0.3:
                    server.batches.lose_answer(chance.choice(["/v1/files", "/v1/batches"]))
                running = process(path, server, REQUESTS, LINES)
                try:
                    said, problem = running.communicate(timeout=chance.uniform(0.4, 2.5) if kills > 0 else None)
                except subprocess.TimeoutExpired:
                    running.send_signal(signal.SIGKILL)
                    running.communicate()
                    kills -= 1
                else:
                    done = True
            asked = Counter(line.json["messages"][0]["content"] for line in server.batches.lines)
            made = [one for one in server.requests if (one.method, one.path) == ("POST", "/v1/batches")]
            files = Counter(one.json["input_file_id"] for one in made)
            print(f"{kills} kills left: {said.strip()}; {len(asked)} requests, each asked {set(asked.values())} times")
            print(f"  {len(made)} jobs asked for, of {len(files)} files")
            if not said.startswith(f"{REQUESTS} right") or set(asked.values()) != {1} or len(asked) != REQUESTS:
                print(problem)
                return False
    return False


def large(folder: Path, requests: int) -> bool:
    path = folder / "large.sqlite"
    with LocalEndpoints() as server:
        running = process(path, server, requests, 50_000)
        said, problem = running.communicate()
        print(f"{requests:,} requests: {said.strip()}; {len(server.batches.lines):,} asked", problem)
    print(f"ledger: {path.stat().st_size / MB:.0f} MB")
    return said.startswith(f"{requests} right")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--requests", type=int, default=100_000, help="of the large batch")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory() as folder:
        is_held = killed(Path(folder), chosen.kills, chosen.seed)
        if chosen.requests:
            is_held &= large(Path(folder), chosen.requests)
    print("held" if is_held else "did not hold")
    return 0 if is_held else 1


if __name__ == "__main__":
    os.environ.pop("OVHCLOUD_API_KEY", None)
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
