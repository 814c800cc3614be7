"""The other classes that people use with this service, in the same suites; run by `make peers`, not with the tests.

Each is made as its documentation says, with what has to be set by hand for tools to work at all.
"""

from typing import Any

from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.ovhcloud import OVHcloud

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard import EmbeddingTests, LLMTests


class TestOVHcloud(LLMTests):
    def make(self, server: LocalEndpoints, **options: Any) -> OVHcloud:
        return OVHcloud(**{"model": "gpt-oss-120b", "api_key": server.api_key, "api_base": server.base_url} | options)


class TestOpenAILike(LLMTests):
    def make(self, server: LocalEndpoints, **options: Any) -> OpenAILike:
        given = {"model": "gpt-oss-120b", "api_key": server.api_key, "api_base": server.base_url}
        return OpenAILike(**given | {"is_chat_model": True, "is_function_calling_model": True} | options)


class Mended(OpenAILike):
    """`OpenAILike` without the one field that the service refuses whenever there are tools."""

    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        prepared = super()._prepare_chat_with_tools(*args, **kwargs)
        if prepared.get("parallel_tool_calls") is False:
            del prepared["parallel_tool_calls"]
        return prepared


class TestMended(LLMTests):
    def make(self, server: LocalEndpoints, **options: Any) -> Mended:
        given = {"model": "gpt-oss-120b", "api_key": server.api_key, "api_base": server.base_url}
        return Mended(**given | {"is_chat_model": True, "is_function_calling_model": True} | options)


class TestOpenAILikeEmbedding(EmbeddingTests):
    def make(self, server: LocalEndpoints, **options: Any) -> OpenAILikeEmbedding:
        given = {"model_name": "bge-m3", "api_key": server.api_key, "api_base": server.base_url}
        return OpenAILikeEmbedding(**given | options)
