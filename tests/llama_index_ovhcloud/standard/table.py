"""Writes what passed of the suites, from pytest's JUnit files, as tables into a page of the documentation.

python table.py page.md ours.xml peers.xml
"""

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

OURS = "ours"
CHAT = {
    "TestChatOVHCloud": OURS,
    "TestMended": "mended",
    "TestOpenAILike": "`OpenAILike`",
    "TestOVHcloud": "`OVHcloud`",
}
EMBEDDINGS = {"TestOVHCloudEmbeddings": OURS, "TestOpenAILikeEmbedding": "`OpenAILikeEmbedding`"}
MARK = "<!-- The rest of this page is written by `make peers`. -->\n"

Results = dict[tuple[str, str], list[bool]]


def main(page: Path, files: Iterable[str]) -> None:
    results: Results = defaultdict(list)
    for file in files:
        for case in ET.parse(file).iter("testcase"):
            owner, test = case.attrib["classname"].rpartition(".")[2], case.attrib["name"].partition("[")[0]
            results[owner, test].append(case.find("failure") is None and case.find("error") is None)
    text = page.read_text("utf-8").partition(MARK)[0]
    lines = ["", "## Chat", "", *table(results, CHAT), "", "## Embeddings", "", *table(results, EMBEDDINGS), ""]
    page.write_text(text + MARK + "\n".join(lines), "utf-8")


def table(results: Results, columns: dict[str, str]) -> Iterator[str]:
    yield f"| | {' | '.join(columns.values())} |"
    yield "|---" * (len(columns) + 1) + "|"
    for test in sorted({test for owner, test in results if owner in columns}):
        cells = [shown(results[owner, test]) for owner in columns]
        yield f"| {test.removeprefix('test_').replace('_', ' ')} | {' | '.join(cells)} |"
    totals = [[one for (owner, _), found in results.items() if owner == column for one in found] for column in columns]
    yield f"| **passed** | {' | '.join(f'**{sum(total)} of {len(total)}**' for total in totals)} |"


def shown(passed: list[bool]) -> str:
    return "✔" if all(passed) else f"{sum(passed)} of {len(passed)}"


main(Path(sys.argv[1]), sys.argv[2:])
