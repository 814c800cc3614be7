"""Blocking code of LlamaIndex's in a notebook, whose loop runs already and which nest_asyncio has patched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ovhcloud_ai_endpoints.testing import LocalEndpoints

APP = """
import asyncio

import nest_asyncio
from llama_index.core import Document, VectorStoreIndex

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings

if {patched}:
    nest_asyncio.apply()


async def notebook():
    for cell in range(3):
        documents = [Document(text="Rome is in Italy.")]
        index = VectorStoreIndex.from_documents(documents, embed_model=OVHCloudEmbeddings(), use_async=True)
        engine = index.as_query_engine(llm=ChatOVHCloud(model="gpt-oss-20b"), use_async=True)
        print(cell, engine.query("Where is Rome?"))


asyncio.new_event_loop().run_until_complete(notebook())
"""


@pytest.mark.parametrize("patched", [True, False])
def test_cell_after_cell_runs(server: LocalEndpoints, tmp_path: Path, patched: bool) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(patched=patched))

    ran = subprocess.run(
        [sys.executable, str(app)],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=18,
    )

    assert ran.stdout.splitlines() == [f"{cell} Rome is in Italy." for cell in range(3)], ran.stderr
    assert "Traceback" not in ran.stderr
