"""Runs the benchmarks and writes docs/performance.{md,json} and the plots.

    make bench, or: python tests/benchmarks/bench.py [--rounds 5] [--only PART_OF_A_NAME] [--to FOLDER]

Each client does each row's work in a process of its own, all in turn, several times. A ratio is one of the least times
of the same run, since other processes only ever add to them; the median and the most are shown beside it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import canned
from rows import FLOORS, LEAST, ROWS, Goal, Row

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = {
    "langchain": ("langchain-core", "langchain-openai", "langchain-mistralai", "langchain-groq", "langchain-litellm"),
    "llama-index": (
        "llama-index-core",
        "llama-index-llms-ovhcloud",
        "llama-index-llms-openai-like",
        "llama-index-embeddings-openai-like",
    ),
}
LIBRARIES = ("httpx", "httpcore", "aiohttp", "openai", "pydantic")
BEGIN, END = "<!-- written by make bench -->\n", "<!-- end -->\n"
SECONDS = 600  # for one client's work of a row

Samples = dict[str, dict[str, list[float]]]  # of one row, by client and figure


def environment(row: str) -> str:
    return "llama-index" if row.startswith("llama-index") else "langchain"


def python(name: str) -> str:
    return str(ROOT / ".venv-bench" / name / "bin" / "python")


def is_ours(client: str) -> bool:
    return client.startswith(("ChatOVHCloud", "OVHCloudEmbeddings"))


def measured(row: str, client: str, url: str) -> dict[str, float]:
    command = [python(environment(row)), str(HERE / "rows.py"), row, client, url]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS, env=clean)
    if done.returncode and is_ours(client):
        raise RuntimeError(f"{row} with {client} failed:\n{done.stderr}")
    figures: dict[str, float] = {} if done.returncode else json.loads(done.stdout)
    return figures


def run(names: list[str], rounds: int) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    with canned.canned_server() as url:
        for name in names:
            row = ROWS[name]
            samples = found[name] = {client: defaultdict(list) for client in row.clients}
            for client in row.clients if not row.rounds else ():
                measured(name, client, url)  # compiles modules, and counts for nothing
            for _ in range(row.rounds or rounds):
                for client in row.clients:
                    for figure, value in measured(name, client, url).items():
                        samples[client][figure].append(value)
            for line in lines_of(row, samples):
                print(f"{name:24} {line}", flush=True)
    return found


def least(samples: Samples, clients: tuple[str, ...], figure: str) -> float:
    return sum(min(samples[client][figure]) for client in clients)


def ratio(goal: Goal, samples: Samples) -> float:
    return least(samples, (goal.ours,), goal.figure) / least(samples, goal.over, goal.figure)


def lines_of(row: Row, samples: Samples) -> Iterator[str]:
    for client in row.clients:
        found = ((samples[client].get(figure), unit) for figure, unit in row.units.items())
        if not samples[client]:
            yield f"{client:34} does not give the right answer"
            continue
        shown = (f"{statistics.median(values):.3f} {unit}" for values, unit in found if values)
        yield f"{client:34} {', '.join(shown)}"
    for goal in row.goals:
        yield f"{goal.ours} / {' + '.join(goal.over)}: {ratio(goal, samples):.3f}, of {goal.most:g} at most"


def peers(row: Row) -> list[str]:
    return [client for client in row.clients if not is_ours(client) and client not in (*FLOORS, LEAST)]


def figure_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def goals_table(found: dict[str, Samples]) -> Iterator[str]:
    yield "| | ours | over | ratio | at most | |"
    yield "|---|---:|---|---:|---:|---|"
    for name, samples in found.items():
        row = ROWS[name]
        for goal in row.goals:
            unit = row.units.get(goal.figure, "s")
            ours, others = least(samples, (goal.ours,), goal.figure), least(samples, goal.over, goal.figure)
            which = goal.ours.partition("OVHCloud")[2].removeprefix("Embeddings").strip(", ")
            title = f"{row.title}{f', {which}' if which else ''}"
            over = f"{' + '.join(goal.over)}, {figure_text(others)}"
            reached = "" if ours <= others * goal.most else "not reached"
            yield f"| {title} | {figure_text(ours)} {unit} | {over} | {ours / others:.2f} | {goal.most:g} | {reached} |"


def figures_table(found: dict[str, Samples]) -> Iterator[str]:
    yield "| | | least | median | most | times the best peer |"
    yield "|---|---|---:|---:|---:|---:|"
    for name, samples in found.items():
        row = ROWS[name]
        for figure, unit in row.units.items():
            best = min((min(samples[client][figure]) for client in peers(row) if samples[client]), default=None)
            for client in row.clients:
                if not samples[client]:
                    yield f"| {row.title} | {client} | not the right answer | | | |"
                if figure not in samples[client]:
                    continue
                values = samples[client][figure]
                three = (figure_text(value) for value in (min(values), statistics.median(values), max(values)))
                times = "" if best is None else f"{min(values) / best:.2f}"
                yield f"| {row.title}, {unit} | {client} | {' | '.join(three)} | {times} |"


def versions() -> dict[str, str]:
    found = {}
    for name, packages in ENVIRONMENTS.items():
        code = (
            "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:] "
            "if m.packages_distributions() and n in {d.name for d in m.distributions()}}))"
        )
        done = subprocess.run(
            [python(name), "-c", code, *packages, *LIBRARIES], check=True, capture_output=True, text=True
        )
        found |= {
            f"{package} ({name})" if package in LIBRARIES else package: number
            for package, number in json.loads(done.stdout).items()
        }
    return found


def machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if "model name" in line
    ]
    return f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else platform.machine()}, {platform.platform()}"


def write(found: dict[str, Samples], rounds: int, folder: Path) -> None:
    about = {"machine": machine(), "python": platform.python_version(), "rounds": rounds, "versions": versions()}
    document = {**about, "rows": found}
    (folder / "performance.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    page = folder / "performance.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    listed = ", ".join(f"{name} {number}" for name, number in sorted(about["versions"].items()))
    written = [
        f"Measured on {about['machine']}; CPython {about['python']}; {rounds} round(s). {listed}.",
        "",
        *goals_table(found),
        "",
        "## All figures",
        "",
        *figures_table(found),
    ]
    page.write_text(before + BEGIN + "\n" + "\n".join(written) + "\n\n" + END + after, "utf-8")
    plot(found, folder)


def plot(found: dict[str, Samples], folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ovhcloud", "font.size": 9})
    from matplotlib import pyplot as plt

    for name in ENVIRONMENTS:
        chosen = [row for row in found if environment(row) == name and peers(ROWS[row])]
        heights = [0.5 + 0.22 * len(ROWS[row].clients) for row in chosen]
        figure, axes = plt.subplots(
            len(chosen), 1, figsize=(8, sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for row, axis in zip(chosen, axes[:, 0], strict=True):
            unit = next(iter(ROWS[row].units))
            clients = [client for client in reversed(ROWS[row].clients) if unit in found[row][client]]
            values = [statistics.median(found[row][client][unit]) for client in clients]
            spread = [
                [value - min(found[row][client][unit]) for client, value in zip(clients, values, strict=True)],
                [max(found[row][client][unit]) - value for client, value in zip(clients, values, strict=True)],
            ]
            colors = [color(client) for client in clients]
            axis.barh(clients, values, xerr=spread, color=colors, error_kw={"linewidth": 0.8})
            limit = max(min(max(values), 12 * min(value for value in values if value)), values[-1]) * 1.25
            axis.set_xlim(0, limit)
            for place, value in enumerate(values):
                axis.text(min(value, limit * 0.93), place, f" {figure_text(value)}", va="center", fontsize=7)
            axis.set_title(f"{ROWS[row].title}, {ROWS[row].units[unit]}", loc="left", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(folder / f"performance-{name}.svg", metadata={"Date": None})
        plt.close(figure)


def color(client: str) -> str:
    return "#0050d7" if is_ours(client) else "#bbbbbb" if client in (*FLOORS, LEAST) else "#e58f3c"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names of rows")
    parser.add_argument("--to", type=Path, help="folder of performance.md; nothing is written without it")
    chosen = parser.parse_args()
    names = [name for name in ROWS if chosen.only in name]
    found = run(names, chosen.rounds)
    if chosen.to:
        write(found, chosen.rounds, chosen.to)
    goals = [(name, goal) for name in names for goal in ROWS[name].goals]
    missed = [name for name, goal in goals if ratio(goal, found[name]) > goal.most]
    print(f"{len(goals) - len(missed)} of {len(goals)} goals reached{'; not: ' if missed else ''}{', '.join(missed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
