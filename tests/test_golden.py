"""What is sent for each feature: one file for both frameworks, who must send the same.

Rewritten by `make golden`; read the difference before you commit it.
"""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints.testing import LocalEndpoints

GOLDEN = Path(__file__).parent / "golden" / "requests.json"
PICTURE = (Path(__file__).parent / "data" / "square.png").read_bytes()
MODEL = "Qwen3.6-27B"
PARAMETERS: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.9,
    "max_tokens": 50,
    "seed": 7,
    "stop": ["END"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logprobs": True,
    "reasoning_effort": "low",
}


def get_weather(city: str) -> str:
    """The weather in a city."""
    return city


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int


def langchain(**arguments: Any) -> lc.ChatOVHCloud:
    return lc.ChatOVHCloud(model=MODEL, **arguments)


def llama_index(**arguments: Any) -> li.ChatOVHCloud:
    return li.ChatOVHCloud(model=MODEL, **arguments)


TOOL = FunctionTool.from_defaults(get_weather, description="The weather in a city.")
CALL = {"id": "call12345", "name": "get_weather", "args": {"city": "Paris"}}
LC_IMAGE = {"type": "image", "base64": base64.b64encode(PICTURE).decode(), "mime_type": "image/png"}
LC_THOUGHT = AIMessage("I look.", additional_kwargs={"reasoning_content": "Tools help."}, tool_calls=[CALL])
LI_THOUGHT = ChatMessage(
    role="assistant",
    blocks=[
        ThinkingBlock(content="Tools help."),
        TextBlock(text="I look."),
        ToolCallBlock(tool_call_id="call12345", tool_name="get_weather", tool_kwargs={"city": "Paris"}),
    ],
)
LI_RESULT = ChatMessage("Sunny", role="tool", additional_kwargs={"tool_call_id": "call12345"})

FEATURES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "plain": (
        lambda: langchain().invoke("Hello"),
        lambda: llama_index().complete("Hello"),
    ),
    "stream": (
        lambda: list(langchain().stream("Hello")),
        lambda: list(llama_index().stream_complete("Hello")),
    ),
    "parameters": (
        lambda: langchain(**PARAMETERS).invoke("Hello"),
        lambda: llama_index(**PARAMETERS).complete("Hello"),
    ),
    "system messages": (
        lambda: langchain().invoke([SystemMessage("Be brief."), SystemMessage("Be kind."), HumanMessage("Hello")]),
        lambda: llama_index().chat(
            [ChatMessage("Be brief.", role="system"), ChatMessage("Be kind.", role="system"), ChatMessage("Hello")]
        ),
    ),
    "image": (
        lambda: langchain().invoke([HumanMessage(["What is this?", LC_IMAGE])]),
        lambda: llama_index().chat(
            [ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), ImageBlock(image=PICTURE)])]
        ),
    ),
    "tool result": (
        lambda: langchain().invoke([HumanMessage("Hi"), LC_THOUGHT, ToolMessage("Sunny", tool_call_id="call12345")]),
        lambda: llama_index().chat([ChatMessage("Hi"), LI_THOUGHT, LI_RESULT]),
    ),
    "tool required": (
        lambda: langchain().bind_tools([TOOL.metadata.to_openai_tool()], tool_choice="any").invoke("Hello"),
        lambda: llama_index().chat_with_tools([TOOL], "Hello", tool_required=True),
    ),
    "tool named": (
        lambda: langchain().bind_tools([TOOL.metadata.to_openai_tool()], tool_choice="get_weather").invoke("Hello"),
        lambda: llama_index().chat_with_tools([TOOL], "Hello", tool_choice="get_weather"),
    ),
    "structured output": (
        lambda: langchain().with_structured_output(Ticket.model_json_schema()).invoke("Hello 1"),
        lambda: llama_index().structured_predict(Ticket, PromptTemplate("Hello 1")),
    ),
    "embeddings": (
        lambda: lc.OVHCloudEmbeddings().embed_documents(["one", "two"]),
        lambda: li.OVHCloudEmbeddings().get_text_embedding_batch(["one", "two"]),
    ),
    "embedding dimensions": (
        lambda: lc.OVHCloudEmbeddings(model="Qwen3-Embedding-8B", dimensions=64).embed_query("one"),
        lambda: li.OVHCloudEmbeddings(model="Qwen3-Embedding-8B", dimensions=64).get_query_embedding("one"),
    ),
}


@pytest.mark.parametrize("framework", [0, 1], ids=["langchain", "llama_index"])
@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.usefixtures("environ")
def test_request_is_the_golden_one(server: LocalEndpoints, feature: str, framework: int) -> None:
    FEATURES[feature][framework]()

    sent = server.requests[-1]
    found = {"path": sent.path, "body": sent.json}
    golden = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("GOLDEN") and framework == 0:
        GOLDEN.write_text(json.dumps(golden | {feature: found}, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return
    assert found == golden[feature]


def test_golden_file_has_no_feature_that_is_not_tested() -> None:
    assert set(json.loads(GOLDEN.read_text("utf-8"))) == set(FEATURES)


def signatures() -> dict[str, dict[str, str]]:
    """The arguments of the four classes that are ours, with their defaults."""
    found = {}
    for kind in (lc.ChatOVHCloud, lc.OVHCloudEmbeddings, li.ChatOVHCloud, li.OVHCloudEmbeddings):
        ours = [base for base in kind.__mro__ if base.__module__.partition(".")[0].endswith(("ovhcloud", "endpoints"))]
        names = {name for base in ours for name in vars(base).get("__annotations__", {}) if name in kind.model_fields}
        defaults = {name: repr(kind.model_fields[name].default) for name in sorted(names)}
        found[f"{kind.__module__.partition('.')[0]}.{kind.__name__}"] = defaults
        found[f"{kind.__module__.partition('.')[0]}.{kind.__name__} aliases"] = dict(
            sorted(kind._ovhcloud_aliases.items())
        )
    return found


def test_signatures_are_the_golden_ones() -> None:
    golden = GOLDEN.parent / "signatures.json"
    if os.environ.get("GOLDEN"):
        golden.write_text(json.dumps(signatures(), indent=1) + "\n", "utf-8")

    assert signatures() == json.loads(golden.read_text("utf-8"))


def test_vocabulary_is_the_same_in_both_frameworks() -> None:
    """But for what is a framework's own word."""
    found = signatures()
    own = {"n", "streaming", "model", "model_name", "batch_size", "embed_batch_size"}
    for kind in ("ChatOVHCloud", "OVHCloudEmbeddings"):
        assert set(found[f"langchain_ovhcloud.{kind}"]) - own == set(found[f"llama_index_ovhcloud.{kind}"]) - own
