"""LangChain's standard suites, and the like for LlamaIndex, on the service that `LIVE_URL` names."""

import os
from pathlib import Path
from typing import Any

import httpx
import langchain_tests.integration_tests.chat_models as suite
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints._http.settings import BASE_URL

pytestmark = pytest.mark.live
IMAGE = Path(__file__).parents[1] / "data" / "square.png"
PATIENT = {"max_retries": 20, "max_wait": 120.0}  # anonymous calls wait for the next minute, again and again
QUESTION = "The capital of France is Paris. What is the capital of France?"
SEES, THINKS = "Qwen3.6-27B", "gpt-oss-20b"


@pytest.fixture(autouse=True)
def _service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's picture comes from a file."""
    picture = httpx.Response(200, content=IMAGE.read_bytes(), request=httpx.Request("GET", "http://test"))
    monkeypatch.setattr(suite.httpx, "get", lambda *_, **__: picture)
    monkeypatch.setenv("OVHCLOUD_API_BASE", os.environ.get("LIVE_URL", BASE_URL))
    monkeypatch.setenv("OVHCLOUD_API_KEY", os.environ.get("LIVE_KEY", ""))


class TestLangChainChat(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[langchain_ovhcloud.ChatOVHCloud]:
        return langchain_ovhcloud.ChatOVHCloud

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": SEES, **PATIENT}

    @property
    def model_override_value(self) -> str:
        return THINKS

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True


class TestLangChainEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[langchain_ovhcloud.OVHCloudEmbeddings]:
        return langchain_ovhcloud.OVHCloudEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return dict(PATIENT)

    def test_base64_and_floats_are_alike(self) -> None:
        kind = langchain_ovhcloud.OVHCloudEmbeddings
        (one,) = kind(encoding_format="base64", **PATIENT).embed_documents(["Hello"])
        (other,) = kind(encoding_format="float", **PATIENT).embed_documents(["Hello"])

        assert one == pytest.approx(other, abs=1e-6)


class City(BaseModel):
    """A city."""

    name: str
    country: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees in {city}"


class TestLlamaIndex:
    @pytest.fixture
    def llm(self) -> llama_index_ovhcloud.ChatOVHCloud:
        return llama_index_ovhcloud.ChatOVHCloud(model=THINKS, **PATIENT)

    def test_chat_has_text_thoughts_and_usage(self, llm: llama_index_ovhcloud.ChatOVHCloud) -> None:
        answer = llm.chat([ChatMessage(QUESTION)])

        assert "Paris" in (answer.message.content or "")
        assert any(isinstance(block, ThinkingBlock) for block in answer.message.blocks)
        assert answer.additional_kwargs["total_tokens"] > 0

    def test_stream_is_what_it_adds_up_to(self, llm: llama_index_ovhcloud.ChatOVHCloud) -> None:
        responses = list(llm.stream_chat([ChatMessage(QUESTION)]))

        assert "".join(one.delta or "" for one in responses) == responses[-1].message.content
        assert responses[-1].additional_kwargs["total_tokens"] > 0

    def test_tool_is_called(self, llm: llama_index_ovhcloud.ChatOVHCloud) -> None:
        tool = FunctionTool.from_defaults(get_weather)
        answer = llm.chat_with_tools([tool], user_msg="What is the weather in Paris?", tool_required=True)
        (call,) = llm.get_tool_calls_from_response(answer)

        assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris"})

    def test_object_is_of_its_class(self, llm: llama_index_ovhcloud.ChatOVHCloud) -> None:
        found = llm.structured_predict(City, PromptTemplate("The city is Paris. The country is France."))

        assert isinstance(found, City)

    def test_image_is_seen(self) -> None:
        llm = llama_index_ovhcloud.ChatOVHCloud(model=SEES, **PATIENT)
        blocks = [TextBlock(text="What is this?"), ImageBlock(path=IMAGE)]

        assert llm.chat([ChatMessage(blocks=blocks)]).message.content

    def test_vectors_come_in_order(self) -> None:
        embeddings = llama_index_ovhcloud.OVHCloudEmbeddings(**PATIENT)
        texts = [f"text {number}" for number in range(30)]
        vectors = embeddings.get_text_embedding_batch(texts)

        assert len(vectors) == len(texts)
        assert vectors[29] == pytest.approx(embeddings.get_text_embedding(texts[29]), abs=0.01)
