"""LangChain's own suites for chat models and embeddings, over a real socket."""

from pathlib import Path
from typing import Any

import httpx
import langchain_tests.integration_tests.chat_models as suite
import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings

KEY = "OVHCLOUD_API_KEY"
IMAGE = Path(__file__).parents[1] / "data" / "square.png"


class TestChatUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatOVHCloud]:
        return ChatOVHCloud

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-oss-120b"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {KEY: "key-of-env"}, {"model": "gpt-oss-120b"}, {"api_key": "key-of-env"}

    @pytest.mark.xfail(reason="core's load() takes only classes of its own mapping (langchain_core/load/load.py)")
    def test_serdes(self, model: Any, snapshot: Any) -> None:
        super().test_serdes(model, snapshot)


class TestChatIntegration(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _service(self, environ: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite's picture comes from a file, not from the network."""
        picture = httpx.Response(200, content=IMAGE.read_bytes(), request=httpx.Request("GET", "http://test"))
        monkeypatch.setattr(suite.httpx, "get", lambda *_, **__: picture)
        self.server = environ

    @property
    def chat_model_class(self) -> type[ChatOVHCloud]:
        return ChatOVHCloud

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "Qwen3.6-27B"}

    @property
    def model_override_value(self) -> str:
        return "gpt-oss-20b"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.server.reply("Hi", usage={**usage, "prompt_tokens_details": {"cached_tokens": 4}})
        return self._asked(stream=stream)

    def _asked(self, *, stream: bool) -> AIMessage:
        model = ChatOVHCloud(**self.chat_model_params)
        return add_ai_message_chunks(*model.stream("Hello")) if stream else model.invoke("Hello")


class TestChatIntegrationByFunctionCalling(TestChatIntegration):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}


class TestChatIntegrationByJSONMode(TestChatIntegration):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_mode"}


class TestChatIntegrationOfVersion1(TestChatIntegration):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "Qwen3.6-27B", "output_version": "v1"}


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[OVHCloudEmbeddings]:
        return OVHCloudEmbeddings

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {KEY: "key-of-env"}, {"model": "bge-m3"}, {"api_key": "key-of-env"}


class TestEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _service(self, environ: Any) -> None:
        pass

    @property
    def embeddings_class(self) -> type[OVHCloudEmbeddings]:
        return OVHCloudEmbeddings
