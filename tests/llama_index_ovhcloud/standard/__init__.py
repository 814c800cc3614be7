"""What LlamaIndex expects of its models, as tests: core has no such suite.

Subclass `LLMTests` or `EmbeddingTests` in a test file and say in `make` how an object is made:

    class TestMyLLM(LLMTests):
        def make(self, server, **options):
            given = {"model": "gpt-oss-120b", "api_key": server.api_key}
            return MyLLM(**given | options, api_base=server.base_url)

Everything goes over a socket, to a local AI Endpoints that refuses what the real one is documented to refuse. The
options that `make` is called with are those of core's base classes, such as `rate_limiter`, and a few that providers
have in common: `model`, `api_key`, `max_retries`, `timeout`, `context_window`, `is_function_calling_model`, and for
embeddings `query_instruction` and `text_instruction`, as core's own integration for Hugging Face names them.
"""

from standard.answers import AnswerTests
from standard.content import ContentTests
from standard.embeddings import EmbeddingTests
from standard.lifecycles import LifecycleTests
from standard.objects import ObjectTests
from standard.structured import StructuredOutputTests
from standard.tools import ToolTests


class LLMTests(AnswerTests, ContentTests, LifecycleTests, ObjectTests, StructuredOutputTests, ToolTests):
    """All that is expected of a function calling LLM."""


__all__ = ["EmbeddingTests", "LLMTests"]
