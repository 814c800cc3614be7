"""Writes the tutorials as notebooks: python docs/notebooks.py"""

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TUTORIALS = ("langchain", "llama-index")
SERVER = """\
import os
from contextlib import ExitStack

from ovhcloud_ai_endpoints.testing import LocalEndpoints

if not os.environ.keys() & {"OVHCLOUD_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN"}:
    os.environ |= ExitStack().enter_context(LocalEndpoints()).environ
    print("No key is set: the local AI Endpoints answers.")"""


def notebook(tutorial: str) -> str:
    """A tutorial's notebook as it should be: its blocks of Python to run, and without the output that it shows."""
    texts = re.split(r"(?ms)^```python\n(.*?)```\n", (DOCS / f"{tutorial}.md").read_text("utf-8"))
    head, headed, rest = texts[0].partition("\n## ")
    sources = [("markdown", head), ("code", SERVER), ("markdown", headed + rest)]
    sources += [("code" if place % 2 else "markdown", text) for place, text in enumerate(texts)][1:]
    cells = [cell(place, kind, source.strip()) for place, (kind, source) in enumerate(sources) if source.strip()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def cell(place: int, kind: str, source: str) -> dict[str, Any]:
    """A cell; a notebook has a running event loop, and is in a folder of its own."""
    if kind == "markdown":
        source = re.sub(r"\]\((?!https?:|#)", "](../", source)
        more: dict[str, Any] = {}
    else:
        source = re.sub(r"\n *#> .*", "", source)
        source = source.replace("import asyncio\n\n", "").replace("asyncio.run(main())", "await main()")
        more = {"execution_count": None, "outputs": []}
    return {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, "source": source.splitlines(True), **more}


if __name__ == "__main__":
    for tutorial in TUTORIALS:
        (DOCS / "notebooks" / f"{tutorial}.ipynb").write_text(notebook(tutorial), "utf-8")
