"""Counts the calls of functions that each row takes, in this checkout and in the last commit of main, and compares.

    make bench-quick, or: python tests/benchmarks/quick.py [--base REVISION]

A count barely depends on the machine, a time does; so only the count may not grow, by 15 %. Times are printed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import canned
import clients
import work
from rows import ROWS

ROOT = Path(__file__).parents[2]
MOST_GROWTH = 1.15
ROUNDS = 2  # the fewest calls count, since it depends on the network how many reads a stream takes
OURS = {
    row: [client for client in ROWS[row].clients if client.startswith(("ChatOVHCloud", "OVHCloudEmbeddings"))]
    for row in ROWS
    if ROWS[row].units.keys() == {"cpu"} and "import" not in row
}


def measure(url: str) -> None:
    """Prints the figures of each row with each of our clients, as JSON."""
    one_thread = {"max_concurrency": 1}  # whose calls are counted
    clients.EMBEDDINGS["OVHCloudEmbeddings"] = partial(clients.embeddings_ovhcloud, **one_thread)
    clients.LLAMA_EMBEDDINGS["OVHCloudEmbeddings"] = partial(clients.llama_embeddings_ovhcloud, **one_thread)
    for row, names in OURS.items():
        for client in names:
            where = f"{url}/{ROWS[row].way}"
            work.is_counting = False
            took = ROWS[row].work(client, where)["cpu"]
            work.is_counting = True
            calls = ROWS[row].work(client, where)["calls"]
            print(json.dumps([f"{row}: {client}", {"cpu": took, "calls": calls}]), flush=True)


def figures_of(tree: Path, url: str) -> dict[str, work.Figures]:
    """What `measure` prints with the packages of a checkout."""
    command = [sys.executable, __file__, "--measure", url]
    found: dict[str, work.Figures] = {}
    for _ in range(ROUNDS):
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tree)}
        )
        for row, figures in map(json.loads, done.stdout.splitlines()):
            known = found.setdefault(row, figures)
            found[row] = {name: min(value, known[name]) for name, value in figures.items()}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="main", help="the revision to compare with")
    parser.add_argument("--measure", metavar="URL", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure)
        return 0
    with tempfile.TemporaryDirectory() as folder, canned.canned_server() as url:
        tree = Path(folder) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), chosen.base], check=True)
        try:
            before, after = figures_of(tree, url), figures_of(ROOT, url)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    grown = []
    print(f"{'':58} calls before     now  ratio   CPU s before    now")
    for row, figures in after.items():
        ratio = figures["calls"] / before[row]["calls"]
        if ratio > MOST_GROWTH:
            grown.append(row)
        print(
            f"{row:58} {before[row]['calls']:12,.0f} {figures['calls']:7,.0f} {ratio:6.2f} "
            f"{before[row]['cpu']:14.3f} {figures['cpu']:6.3f}"
        )
    print(
        f"More than {MOST_GROWTH - 1:.0%} more calls: {', '.join(grown)}"
        if grown
        else f"No row takes {MOST_GROWTH - 1:.0%} more calls."
    )
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
