from typing import Any

import pytest

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints._catalogue.models import (
    alternatives,
    catalogue_date,
    ids_of,
    names_of,
    retired_models,
    retirement,
)
from ovhcloud_ai_endpoints._catalogue.names import names_to_send
from ovhcloud_ai_endpoints._http.settings import BASE_URL


def test_catalogue_is_whole() -> None:
    models = service.list_models(offline=True)

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


@pytest.mark.parametrize(
    ("name", "kind", "clause"),
    [
        ("gpt-oss-120", "chat", "the nearest names are gpt-oss-120b, gpt-oss-20b"),
        ("ovhcloud/QWEN3.8", "chat", "the nearest names are Qwen3.8-27B"),
        ("llama-3.3-70b-instruct", "chat", "the nearest names are Meta-Llama-3_3-70B-Instruct"),
        ("bge-m4", "embedding", "the nearest names are bge-m3"),
        ("bge-m4", "chat", "current models include Qwen3.8-27B, Qwen3.6-27B"),
        ("%%%", "embedding", "current models include bge-m3, bge-multilingual-gemma2"),
    ],
)
def test_alternatives_are_of_the_same_kind_and_similar_or_current(name: str, kind: Any, clause: str) -> None:
    assert alternatives(name, kind).startswith(clause)


def test_request_may_be_larger_where_images_are_seen() -> None:
    names = ("Qwen3.6-27B", "gpt-oss-120b", "bge-m3", "mistral@latest")

    assert [service.model(name).largest_request for name in names] == [10 << 20, 2 << 20, 2 << 20, None]


def test_names_are_those_of_a_kind_and_of_an_ability() -> None:
    assert ids_of("embedding") == ["bge-m3", "bge-multilingual-gemma2", "Qwen3-Embedding-8B"]
    assert {"Qwen3.8-27B", "Qwen3.6-27B"} <= set(names_of("image_inputs"))
    assert not {"gpt-oss-120b", "bge-m3", "Qwen3Guard-Gen-8B"} & set(names_of("image_inputs"))
    assert "gpt-oss-120b" in names_of("reasoning")
    assert "Mistral-7B-Instruct-v0.3" not in names_of("system_first")  # which is about to go


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Qwen3-32B", "The model 'Qwen3-32B' was retired on 2026-09-16; use Qwen3.6-27B, for example"),
        (
            "ovhcloud/qwen3-32b",
            "The model 'ovhcloud/qwen3-32b' was retired on 2026-09-16; use Qwen3.6-27B, for example",
        ),
        ("multilingual-e5-base", "The model 'multilingual-e5-base' has been retired; use bge-m3, for example"),
        ("gpt-oss-120b", ""),
        ("new", ""),
    ],
)
def test_model_that_is_gone_is_known_as_such(name: str, said: str) -> None:
    assert retirement(name) == said


def test_retired_models_are_replaced_by_such_as_stay() -> None:
    served = {model.id: model for model in service.list_models(offline=True)}
    retired = retired_models(served=served)

    assert retired["Qwen3-32B"] == {"replaced_by": "Qwen3.6-27B", "retired_on": "2026-09-16"}
    assert all(served[facts["replaced_by"]].status == "live" for facts in retired.values())
    assert retired_models(served={})["Mistral-7B-Instruct-v0.3"]["retired_on"] == "2026-10-01"
    assert not set(retired_models(served=served)) & set(served)
    for model in served.values():
        assert (model.status == "grace") == (model.replaced_by is not None)
        assert model.replaced_by is None or served[model.replaced_by].status == "live"


def test_cost_is_in_dollars_at_a_date() -> None:
    model = service.model("gpt-oss-120b")

    assert model.cost(input_tokens=1_000_000, output_tokens=500_000) == pytest.approx(0.09 + 0.47 / 2, rel=1e-12)
    assert model.cost() == 0
    assert model.prices_as_of == "2026-09-28"
    assert catalogue_date() == "2026-10-05"


def test_cost_needs_no_price_of_what_there_is_none_of() -> None:
    assert service.Model(id="m", usd_per_million_tokens={"input": 2.0}).cost(input_tokens=500_000) == 1.0


@pytest.mark.parametrize("name", ["new-model", "mistral@latest", "whisper-large-v3"])
def test_cost_of_what_has_no_price_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not known"):
        service.model(name).cost(input_tokens=1)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Mistral-7B-Instruct-v0.3", "mistral"),
        ("mistral@latest?context_size>100000", "mistral"),
        ("mistralai/Mixtral-8x7B", "mistral"),
        ("Meta-Llama-3_3-70B-Instruct", "llama"),
        ("llama@biggest", "llama"),
        ("Qwen3.6-27B", "qwen"),
        ("Qwen/QwQ-32B", "qwen"),
        ("openai/gpt-oss-20b", ""),
        ("DeepSeek-R1", ""),
    ],
)
def test_family_is_told_by_the_name(name: str, family: str) -> None:
    assert service.Model(id=name).family == family


@pytest.mark.parametrize(
    ("name", "base_url", "sent"),
    [
        ("BAAI/bge-m3", BASE_URL, "bge-m3"),
        ("QWEN3.6-27b", BASE_URL, "Qwen3.6-27B"),
        ("ovhcloud/bge-m3", BASE_URL, "bge-m3"),
        ("ovhcloud/new-model", BASE_URL, "new-model"),
        ("llama@biggest", BASE_URL, "llama@biggest"),
        ("BAAI/bge-m3", "http://127.0.0.1:8000/v1", "BAAI/bge-m3"),
        ("ovhcloud/bge-m3", "https://proxy.example/v1", "bge-m3"),
        ("BAAI/bge-m3", "https://evilai.cloud.ovh.net.example/v1", "BAAI/bge-m3"),
        ("BAAI/bge-m3", "not a URL", "BAAI/bge-m3"),
    ],
)
def test_name_is_translated_on_the_services_own_host_only(name: str, base_url: str, sent: str) -> None:
    assert names_to_send(name, base_url)[0] == sent
