"""Arguments of other packages' constructors: which of them ours take, ignore with a warning, or refuse.

What is refused does not work unchanged; the tables say what the user sees instead.
"""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li

pytestmark = pytest.mark.timeout(120)  # the other packages take seconds to import

LIST = """
import inspect, json
from importlib import import_module

def names(path):
    module, _, name = path.rpartition(".")
    kind = getattr(import_module(module), name)
    own = set(kind.model_fields) | {field.alias for field in kind.model_fields.values() if field.alias}
    parameters = inspect.signature(kind.__init__).parameters.values()
    return sorted(own | {one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)})

print(json.dumps({path: names(path) for path in %r}))
"""
CHAT_LC, VECTORS_LC = (lc.ChatOVHCloud, {"model": "gpt-oss-120b"}), (lc.OVHCloudEmbeddings, {})
CHAT_LI, VECTORS_LI = (li.ChatOVHCloud, {"model": "gpt-oss-120b"}), (li.OVHCloudEmbeddings, {})
OURS = {
    "langchain_openai.ChatOpenAI": CHAT_LC,
    "langchain_mistralai.ChatMistralAI": CHAT_LC,
    "langchain_litellm.ChatLiteLLM": CHAT_LC,
    "langchain_openai.OpenAIEmbeddings": VECTORS_LC,
    "langchain_mistralai.MistralAIEmbeddings": VECTORS_LC,
    "langchain_litellm.LiteLLMEmbeddings": VECTORS_LC,
    "langchain_community.embeddings.OVHCloudEmbeddings": VECTORS_LC,
    "llama_index.llms.openai_like.OpenAILike": CHAT_LI,
    "llama_index.llms.ovhcloud.OVHcloud": CHAT_LI,
    "llama_index.embeddings.openai_like.OpenAILikeEmbedding": VECTORS_LI,
    "llama_index.embeddings.openai.OpenAIEmbedding": VECTORS_LI,
}
CLIENTS = {"client", "async_client"}  # made by the other package itself, and not given by users
REFUSED: dict[str, set[str]] = {
    "langchain_openai.ChatOpenAI": {
        *CLIENTS,
        *("root_client", "root_async_client", "http_socket_options"),
        *("openai_api_key", "openai_api_base", "openai_organization", "openai_proxy", "default_query"),
        *("context_management", "include", "prompt_cache_options", "reasoning"),
    },
    "langchain_mistralai.ChatMistralAI": {*CLIENTS, "mistral_api_key"},
    "langchain_litellm.ChatLiteLLM": {
        *("client", "base_model", "custom_llm_provider", "extra_headers", "num_ctx", "stream_options", "top_k"),
        *("anthropic_api_key", "azure_api_key", "cohere_api_key", "huggingface_api_key", "openai_api_key"),
        *("openrouter_api_key", "replicate_api_key", "together_ai_api_key"),
    },
    "langchain_openai.OpenAIEmbeddings": {
        *CLIENTS,
        *("openai_api_key", "openai_api_base", "openai_api_type", "openai_api_version", "openai_organization"),
        *("openai_proxy", "default_query", "deployment", "headers", "allowed_special", "disallowed_special"),
    },
    "langchain_mistralai.MistralAIEmbeddings": {*CLIENTS, "mistral_api_key"},
    "langchain_litellm.LiteLLMEmbeddings": {
        *("custom_llm_provider", "document_input_type", "extra_headers", "query_input_type"),
    },
    "langchain_community.embeddings.OVHCloudEmbeddings": set(),
    "llama_index.llms.openai_like.OpenAILike": set(),
    "llama_index.llms.ovhcloud.OVHcloud": set(),
    "llama_index.embeddings.openai_like.OpenAILikeEmbedding": set(),
    "llama_index.embeddings.openai.OpenAIEmbedding": set(),
}


@pytest.fixture(scope="module")
def peers_arguments() -> dict[str, list[str]]:
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", LIST % (list(OURS),)],
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    names: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return names


def is_refused(peer: str, name: str) -> bool:
    """Whether ours has no such argument; a wrong value is another matter."""
    kind, needed = OURS[peer]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind(**{**needed, name: "x"})
        except TypeError as error:
            return f"has no argument {name!r}" in str(error)
        except ValueError:  # pydantic's, about the value
            return False
    return False


@pytest.mark.parametrize("peer", OURS)
def test_arguments_that_do_not_work_unchanged(peer: str, peers_arguments: dict[str, list[str]]) -> None:
    names = [name for name in peers_arguments[peer] if name not in {"self", "data"}]

    assert {name for name in names if is_refused(peer, name)} == REFUSED[peer]
    assert len(names) > 2


CASES: dict[str, tuple[Any, Any, str]] = {
    "openai_api_key": (CHAT_LC, "sk-x", "give this service's key as api_key="),
    "openai_api_base": (CHAT_LC, "https://x", "give the service's URL as base_url="),
    "mistral_api_key": (CHAT_LC, "x", "give this service's key as api_key="),
    "openai_proxy": (CHAT_LC, "http://x", "did you mean 'proxy'?"),
    "reasoning": (CHAT_LC, {"effort": "low"}, "did you mean 'reasoning_effort'?"),
    "extra_headers": (CHAT_LC, {"a": "b"}, "did you mean 'default_headers'?"),
    "top_k": (CHAT_LC, 5, "the service has no such field; for other servers, pass it in extra_body="),
}


@pytest.mark.parametrize("name", CASES)
def test_refusal_says_what_to_write_instead(name: str) -> None:
    (kind, needed), value, hint = CASES[name]

    with pytest.raises(TypeError) as error:
        kind(**needed, **{name: value})

    assert str(error.value).endswith(f"has no argument {name!r}; {hint}")
    assert "sk-x" not in str(error.value)


IGNORED: dict[str, tuple[Any, Any]] = {
    "safe_mode": (CHAT_LC, True),
    "disabled_params": (CHAT_LC, {"parallel_tool_calls": None}),
    "use_responses_api": (CHAT_LC, True),
    "organization": (CHAT_LC, "org"),
    "logit_bias": (CHAT_LC, {"1": 1}),
    "service_tier": (CHAT_LC, "auto"),
    "include_response_headers": (CHAT_LC, True),
    "tiktoken_enabled": (VECTORS_LC, False),
    "check_embedding_ctx_length": (VECTORS_LC, True),
    "skip_empty": (VECTORS_LC, True),
    "should_use_structured_outputs": (CHAT_LI, True),
    "tokenizer": (CHAT_LI, "gpt2"),
    "strict": (CHAT_LI, True),
    "api_version": (CHAT_LI, "v1"),
    "mode": (VECTORS_LI, "text_search"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_argument_without_a_meaning_is_ignored_with_a_warning(name: str) -> None:
    (kind, needed), value = IGNORED[name]

    with pytest.warns(UserWarning, match=f"{kind.__name__} ignores {name!r}: "):
        kind(**needed, **{name: value})


@pytest.fixture
def _as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("_as_errors")
@pytest.mark.parametrize(
    ("ours", "arguments"),
    [
        (
            CHAT_LC,
            {"max_completion_tokens": 5, "request_timeout": 3, "model_kwargs": {"x": 1}, "stop": ["a"]},
        ),
        (CHAT_LC, {"streaming": True, "stream_usage": True, "n": 1, "use_responses_api": False, "user": None}),
        (CHAT_LC, {"endpoint": "https://x.example/v1", "random_seed": 1, "max_concurrent_requests": 2}),
        (CHAT_LC, {"api_base": "https://x.example/v1", "max_retries": 0, "top_p": 0.5, "n": 2}),
        (VECTORS_LC, {"chunk_size": 5, "check_embedding_ctx_length": False, "show_progress_bar": False}),
        (VECTORS_LC, {"model_name": "bge-m3", "region": "kepler", "access_token": "x"}),
        (CHAT_LI, {"is_chat_model": True, "context_window": 5000, "is_function_calling_model": True}),
        (CHAT_LI, {"additional_kwargs": {"x": 1}, "reuse_client": True, "timeout": 60.0, "max_tokens": 9}),
        (
            VECTORS_LI,
            {"embed_batch_size": 5, "additional_kwargs": {}, "num_workers": 3, "api_base": "https://x.example"},
        ),
    ],
)
def test_common_arguments_are_taken_in_silence(ours: Any, arguments: dict[str, Any]) -> None:
    kind, needed = ours

    assert isinstance(kind(**{**needed, **arguments}), kind)
