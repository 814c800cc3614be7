"""Our classes in the suites of `standard`."""

from typing import Any

from standard import EmbeddingTests, LLMTests

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints


class TestChatOVHCloud(LLMTests):
    def make(self, server: LocalEndpoints, **options: Any) -> ChatOVHCloud:
        options = {"model": "gpt-oss-120b", "api_key": server.api_key} | options
        return ChatOVHCloud(base_url=server.base_url, **options)


class TestOVHCloudEmbeddings(EmbeddingTests):
    def make(self, server: LocalEndpoints, **options: Any) -> OVHCloudEmbeddings:
        return OVHCloudEmbeddings(base_url=server.base_url, **{"api_key": server.api_key} | options)
