import pytest

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints._models import is_retired, nearest_names, wire_name
from ovhcloud_ai_endpoints._settings import BASE_URL


def test_catalogue_is_whole() -> None:
    models = service.list_models()

    assert sum(model.kind == "chat" for model in models) == 12
    assert {model.id for model in models if model.kind == "embedding"} == {
        "bge-m3",
        "bge-multilingual-gemma2",
        "Qwen3-Embedding-8B",
    }
    assert all(model.is_known for model in models)


@pytest.mark.parametrize(
    "name", ["gpt-oss-120b", "GPT-OSS-120B", "openai/gpt-oss-120b", "OpenAI/GPT-OSS-120b", "ovhcloud/gpt-oss-120b"]
)
def test_model_is_found_by_id_alias_and_any_casing(name: str) -> None:
    found = service.model(name)

    assert found.id == "gpt-oss-120b"
    assert found.context_length == 131_072
    assert found.reasoning_efforts == ("low", "medium", "high")


def test_unknown_model_is_allowed_and_promises_nothing() -> None:
    found = service.model("mistral@latest?context_size>100000")

    assert found.id == "mistral@latest?context_size>100000"
    assert not found.is_known
    assert not found.tool_calling
    assert found.context_length is None


def test_nearest_names_are_the_likeliest() -> None:
    assert nearest_names("gpt-oss-120")[0] == "gpt-oss-120b"
    assert "Meta-Llama-3_3-70B-Instruct" in nearest_names("llama-3.3-70b-instruct")


def test_retired_models_are_not_served() -> None:
    assert is_retired("qwen3-32b")
    assert not [model.id for model in service.list_models() if is_retired(model.id)]


@pytest.mark.parametrize(
    ("name", "base_url", "sent"),
    [
        ("BAAI/bge-m3", BASE_URL, "bge-m3"),
        ("QWEN3.6-27b", BASE_URL, "Qwen3.6-27B"),
        ("ovhcloud/bge-m3", BASE_URL, "bge-m3"),
        ("ovhcloud/new-model", BASE_URL, "new-model"),
        ("llama@biggest", BASE_URL, "llama@biggest"),
        ("BAAI/bge-m3", "http://127.0.0.1:8000/v1", "BAAI/bge-m3"),
        ("ovhcloud/bge-m3", "https://proxy.example/v1", "ovhcloud/bge-m3"),
        ("BAAI/bge-m3", "https://evilai.cloud.ovh.net.example/v1", "BAAI/bge-m3"),
    ],
)
def test_name_is_translated_on_the_services_own_host_only(name: str, base_url: str, sent: str) -> None:
    assert wire_name(name, base_url) == sent
