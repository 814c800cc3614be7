"""Tasks that ask our models, of both frameworks; the folder of the broker is in the environment."""

import os
from pathlib import Path
from typing import Any

import celery
from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud


def make_app(folder: Path, serializer: str = "json", outgoing: str = "messages") -> celery.Celery:
    """Celery without a broker's server: messages and results are files."""
    for name in ("messages", outgoing, "results", "control"):
        (folder / name).mkdir(exist_ok=True)
    app = celery.Celery("serving", broker="filesystem://", backend=f"file://{folder / 'results'}")
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / outgoing),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.02,
        },
        task_serializer="json",
        result_serializer=serializer,
        accept_content=["json"],
        result_accept_content=["json", "pickle"],
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
    )
    return app


app = make_app(Path(os.environ["CELERY_FOLDER"]), os.environ["CELERY_SERIALIZER"])

MODEL = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
LLM = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
EMBEDDINGS = langchain_ovhcloud.OVHCloudEmbeddings()

if "CALL_BEFORE_FORKING" in os.environ:
    print("before forking:", MODEL.invoke("Before").text, LLM.complete("Before").text, flush=True)  # noqa: T201 - the test waits for it
    EMBEDDINGS.embed_query("Before")


@app.task(name="langchain")
def langchain(text: str) -> dict[str, Any]:
    return {"text": MODEL.invoke(text).text, "process": os.getpid()}


@app.task(name="langchain-stream")
def langchain_stream(text: str) -> dict[str, Any]:
    return {"text": "".join(chunk.text for chunk in MODEL.stream(text)), "process": os.getpid()}


@app.task(name="llama-index")
def llama_index(text: str) -> dict[str, Any]:
    return {"text": LLM.chat([ChatMessage(text)]).message.content, "process": os.getpid()}


@app.task(name="embeddings")
def embeddings(texts: list[str]) -> list[int]:
    return [len(vector) for vector in EMBEDDINGS.embed_documents(texts)]
