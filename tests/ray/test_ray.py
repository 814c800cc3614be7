"""The classes in Ray Data: actors that die, blocks that fit together, what is printed, and resuming."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import ray
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from workers import KEY, Noted, ids_done, kill_all, pool

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints.ray import AnswerPrompts, ApplyFunction, EmbedTexts
from ovhcloud_ai_endpoints.testing import LocalEndpoints


def texts(count: int, blocks: int = 4) -> Any:
    return ray.data.from_arrow(
        pa.table({"id": range(count), "text": [f"text {at}" for at in range(count)]})
    ).repartition(blocks)


def collected(dataset: Any) -> dict[int, dict[str, Any]]:
    found = dataset.take_all()
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


def test_the_key_is_that_of_the_workers_environment(clean: LocalEndpoints) -> None:
    assert "OVHCLOUD_API_KEY" not in os.environ  # of this process

    found = collected(texts(50).map_batches(EmbedTexts, batch_size=25, compute=pool(1)))

    assert [row["error"] for row in found.values()] == [None] * 50
    assert {request.api_key for request in clean.requests} == {KEY}


@pytest.mark.parametrize("format_", ["pyarrow", "numpy", "pandas"])
def test_blocks_with_and_without_failures_fit_together(clean: LocalEndpoints, format_: str, tmp_path: Path) -> None:
    clean.reply(status=500)
    arguments = {"max_retries": 0}

    texts(200, blocks=8).map_batches(
        EmbedTexts, fn_constructor_kwargs=arguments, batch_size=25, batch_format=format_, compute=pool(1)
    ).write_parquet(str(tmp_path))

    files = pyarrow.dataset.dataset(tmp_path)
    found = files.to_table().to_pylist()
    assert len({row["id"] for row in found}) == len(found) == 200
    assert sum(row["vector"] is None for row in found) == sum(row["error"] is not None for row in found) == 25
    assert {str(pyarrow.parquet.read_schema(file).field("vector").type) for file in files.files} == {
        "fixed_size_list<element: float>[1024]"
    }


def test_an_actor_that_is_killed_loses_no_row(clean: LocalEndpoints, tmp_path: Path) -> None:
    killed: list[int] = []
    has_ended = threading.Event()

    def kill() -> None:
        while len(clean.requests) < 20:
            if has_ended.wait(0.01):
                return
        killed.append(int(next(tmp_path.iterdir()).name))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        data = texts(4000, blocks=40)
        found = collected(
            data.map_batches(
                Noted,
                fn_constructor_kwargs={"folder": str(tmp_path)},
                batch_size=25,
                batch_format="pyarrow",
                compute=pool(2),
            )
        )
    finally:
        has_ended.set()
        thread.join()

    assert len(killed) == 1
    assert len(found) == 4000
    assert {row["error"] for row in found.values()} == {None}
    assert len({row["pid"] for row in found.values()}) > 1
    assert len(clean.requests) < 4000 / 25 + 40  # only what was under way is asked again


def test_a_wrong_key_ends_the_run_and_shows_neither_key_nor_texts(
    clean: LocalEndpoints, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="AuthenticationError") as caught:
        texts(50).map_batches(
            EmbedTexts, fn_constructor_kwargs={"api_key": "wrong-and-secret"}, batch_size=25, compute=pool(1)
        ).take_all()

    shown = str(caught.value) + "".join(capfd.readouterr())
    assert "wrong-and-secret" not in shown
    assert "text 1" not in shown


def test_prompts_are_answered(clean: LocalEndpoints) -> None:
    data = ray.data.from_items([{"id": at, "prompt": f"Rome is in Italy. Is {at} a number?"} for at in range(40)])

    found = collected(
        data.map_batches(AnswerPrompts, fn_constructor_kwargs={"model": "gpt-oss-120b"}, batch_size=20, compute=pool(1))
    )

    assert len(found) == 40
    assert all(row["answer"] for row in found.values())
    assert sum(row["completion_tokens"] for row in found.values()) > 0


def test_a_chain_is_pickled_without_its_key(clean: LocalEndpoints) -> None:
    prompt = ChatPromptTemplate.from_template("{fact} Where is Rome?")
    model = ChatOVHCloud(model="gpt-oss-120b", api_key="key-of-the-driver", base_url=clean.base_url)
    chain = prompt | model | StrOutputParser()
    data = ray.data.from_items([{"id": at, "fact": "Rome is in Italy."} for at in range(20)])

    found = collected(
        data.map_batches(
            ApplyFunction,
            fn_constructor_kwargs={"function": chain.invoke, "input_columns": ["fact"]},
            batch_size=10,
            compute=pool(1),
        )
    )

    assert {row["output"] for row in found.values()} == {"Rome is in Italy."}
    assert {request.api_key for request in clean.requests} == {KEY}


RESUMED = """
import sys
import ray
from ray.data.checkpoint import CheckpointConfig
from ovhcloud_ai_endpoints.ray import EmbedTexts

folder = sys.argv[1]
ray.init(num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20, logging_level="ERROR")
context = ray.data.DataContext.get_current()
context.enable_progress_bars = False
context.checkpoint_config = CheckpointConfig(
    id_column="id", checkpoint_path=f"{folder}/checkpoint", delete_checkpoint_on_success=False
)
ray.data.read_parquet(f"{folder}/texts").repartition(target_num_rows_per_block=100).map_batches(
    EmbedTexts, batch_size=50, batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=1), num_cpus=0.5
).write_parquet(f"{folder}/vectors", mode="append")
print("done")
"""


def test_what_is_written_is_not_asked_again(tmp_path: Path) -> None:
    count = 3000
    (tmp_path / "texts").mkdir()
    table = pa.table({"id": range(count), "text": [f"text {at}" for at in range(count)]})
    pyarrow.parquet.write_table(table, tmp_path / "texts" / "0.parquet")
    environ = {**os.environ, "HOME": str(tmp_path), "RAY_TMPDIR": "/tmp/ovhcloud-ray"}
    vectors = tmp_path / "vectors"

    with LocalEndpoints(requests_per_minute=10**6) as server:
        command = [sys.executable, "-c", RESUMED, str(tmp_path)]
        environ |= server.environ
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            while process.poll() is None and len(list(vectors.glob("*.parquet"))) < 8:
                threading.Event().wait(0.05)
            kill_all(home=tmp_path)
        done = ids_done(tmp_path / "checkpoint")
        assert 0 < len(done) < count
        server.reset()

        ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)

        assert "done" in ran.stdout, ran.stdout + ran.stderr
        asked = [text for request in server.requests for text in request.json["input"]]
    found = pyarrow.dataset.dataset(vectors).to_table(columns=["id", "error"]).to_pylist()
    assert len(found) == len({row["id"] for row in found}) == count
    assert {row["error"] for row in found} == {None}
    assert not {f"text {at}" for at in done} & set(asked)
    assert len(asked) == count - len(done)
