"""What the service says of its models, and `list_models`."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints import _model_list
from ovhcloud_ai_endpoints._listing import described, document, merged, table
from ovhcloud_ai_endpoints._models import Model, bundled_models, model, read_models
from ovhcloud_ai_endpoints.testing import LocalEndpoints

LISTED = {
    "id": "Qwen3.8-27B",
    "created": 1788356485,
    "object": "model",
    "owned_by": "Qwen",
    "pricing": {"currency_unit": "USD", "completion": "0.00000319", "prompt": "0.00000047", "image": "0"},
    "context_length": 262144,
    "max_completion_tokens": 262144,
}
DESCRIBED: dict[str, Any] = {
    "id": "new-vl-7b",
    "name": "New-VL-7B",
    "category": "Visual LLM",
    "tags": [""],
    "metadata": {
        "aliases": ["new/New-VL-7B"],
        "context": "131k",
        "model_specs": {
            "capabilities": {
                "function_calling": True,
                "input_modality": ["text", "image"],
                "reasoning": False,
                "response_format": ["raw_text", "json_object", "json_schema"],
            },
            "model_parameters": {
                "parameters_type": "vlm",
                "params": {"context_size_k": 131, "max_output_token_k": 131, "max_images_per_prompt": 4},
            },
        },
        "publishing_information": {"model_eol_date": "None", "knowledge_cutoff": "31/06/2024"},
        "usage_information": {"avg_throughtput": 2, "pricing": [{"price": 0.04, "price_unit": "million_input_tokens"}]},
    },
}


def one(*entries: Any, date: str | None = None) -> Model:
    return merged(bundled_models(), {"data": list(entries)}, date=date)[0]


class TestTheServicesList:
    def test_keeps_what_was_known_and_brings_windows_and_prices(self) -> None:
        found = one({**LISTED, "context_length": 1_000}, date="2026-11-23")

        assert found.context_length == 1_000
        assert found.usd_per_million_tokens == {"input": 0.47, "output": 3.19}
        assert found.prices_as_of == "2026-11-23"
        assert found.reasoning_efforts == model("Qwen3.8-27B").reasoning_efforts

    def test_brings_models_that_were_not_known(self) -> None:
        chat, embedding, other = merged(
            [],
            {
                "data": [
                    {**LISTED, "id": "new"},
                    {**LISTED, "id": "new-embedding", "max_completion_tokens": 0},
                    {"id": "new-voice", "context_length": 0},
                ]
            },
        )

        assert (chat.kind, embedding.kind, other.kind) == ("chat", "embedding", "unknown")
        assert chat.status == "live"

    def test_leaves_out_what_is_not_served(self) -> None:
        assert [found.id for found in merged(bundled_models(), {"data": [LISTED]})] == ["Qwen3.8-27B"]

    @pytest.mark.parametrize("price", ["", None, "free", "-1", "nan", [], "1e999"])
    def test_may_have_no_price(self, price: Any) -> None:
        listed = {"id": "new", "pricing": {"prompt": price, "completion": price}}

        assert one(listed).usd_per_million_tokens == {}

    def test_price_in_another_currency_is_none(self) -> None:
        listed = {"id": "new", "pricing": {"currency_unit": "EUR", "prompt": "0.1"}}

        assert one(listed).usd_per_million_tokens == {}

    def test_entries_that_are_none_are_left_out(self) -> None:
        assert merged([], {"data": [None, 5, {}, {"id": None}, {"id": "a"}]}) == [Model(id="a", status="live")]

    @pytest.mark.parametrize("body", [[], None, {"data": None}, {}, "x"])
    def test_something_else_is_an_error(self, body: Any) -> None:
        with pytest.raises(service.InvalidResponseError):
            merged([], body)


class TestTheCatalogue:
    def test_knows_what_models_can_do(self) -> None:
        found = described([], [DESCRIBED])[0]

        assert found.id == "New-VL-7B"
        assert (found.kind, found.status, found.context_length) == ("chat", "live", 131_000)
        assert found.tool_calling
        assert found.structured_output
        assert found.image_inputs
        assert found.max_images_per_request == 4
        assert found.aliases == ("new/New-VL-7B",)

    def test_leaves_what_it_does_not_say(self) -> None:
        before = model("Qwen3.8-27B")

        assert described([before], [{"id": "x", "name": "Qwen3.8-27B"}]) == [before]

    def test_end_of_life_is_a_grace_period(self) -> None:
        metadata = {**DESCRIBED["metadata"], "publishing_information": {"model_eol_date": "01/03/2027"}}

        assert described([], [{**DESCRIBED, "metadata": metadata}])[0].status == "grace"

    @pytest.mark.parametrize("params", [[], None, {"max_images_per_prompt": "5"}, {"output_dimension": -1}])
    def test_parameters_may_be_anything(self, params: Any) -> None:
        specs = {"model_parameters": {"parameters_type": "image_generation", "params": params}}

        assert described([], [{"name": "x", "metadata": {"model_specs": specs}}])[0] == Model(id="x", status="live")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text() | st.floats(),
            lambda x: (
                st.lists(x)
                | st.dictionaries(
                    st.sampled_from(
                        ["name", "metadata", "model_specs", "capabilities", "params", "aliases", "category"]
                    ),
                    x,
                )
            ),
            max_leaves=20,
        )
    )
    def test_anything_is_read_or_a_typed_error(self, value: Any) -> None:
        for read in (
            lambda: described([], value),
            lambda: described([], [value]),
            lambda: merged([], {"data": [value]}),
        ):
            with contextlib.suppress(service.InvalidResponseError):
                table(read())


def test_document_is_read_as_it_was_written() -> None:
    models = bundled_models()
    written = json.loads(json.dumps(document(models, {}, date="2026-10-05")))

    assert [found.id for found in read_models(written["models"])] == [found.id for found in models]
    assert read_models(written["models"])[0].reasoning_efforts == models[0].reasoning_efforts


class TestListModels:
    @pytest.fixture(autouse=True)
    def _forgotten(self) -> Iterator[None]:
        _model_list._lists.clear()
        yield
        _model_list._lists.clear()

    @pytest.fixture(params=["sync", "async"])
    def listing(self, request: pytest.FixtureRequest) -> Any:
        if request.param == "sync":
            return service.list_models
        return lambda **options: asyncio.run(service.alist_models(**options))

    def test_asks_the_service_once_and_without_a_key(self, environ: LocalEndpoints, listing: Any) -> None:
        first, second = listing(), listing()

        assert first == second
        assert [found.id for found in first] == [found.id for found in bundled_models()]
        assert [(request.method, request.path, request.api_key) for request in environ.requests] == [
            ("GET", "/v1/models", None)
        ]

    def test_asks_nobody_when_told(self, environ: LocalEndpoints, listing: Any) -> None:
        assert listing(offline=True) == bundled_models()
        assert environ.requests == []

    def test_refreshes_with_the_catalogue(
        self, environ: LocalEndpoints, listing: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with LocalEndpoints() as other:
            monkeypatch.setattr(_model_list, "CATALOGUE_URL", other.base_url.removesuffix("/v1") + "/rest/v1")
            other.reply(body=[{"name": "gpt-oss-20b", "metadata": {"aliases": ["oss"]}}])
            listing()

            found = {model.id: model for model in listing(refresh=True)}

            assert "oss" in found["gpt-oss-20b"].aliases
            assert len(environ.requests) == 2
            assert [(request.path, request.api_key) for request in other.requests] == [("/rest/v1/models_v2", None)]

            assert {model.id: model for model in listing(refresh=True)}["gpt-oss-20b"].tool_calling

    def test_failure_is_typed(self, environ: LocalEndpoints, listing: Any) -> None:
        environ.reply(status=403)

        with pytest.raises(service.PermissionDeniedError):
            listing()

    def test_is_printed_by_the_command(self, environ: LocalEndpoints) -> None:
        for options, said in (([], "`bge-m3`"), (["--offline"], "`bge-m3`"), (["--json"], '"id": "bge-m3"')):
            ran = subprocess.run(
                [sys.executable, "-m", "ovhcloud_ai_endpoints", "models", *options],
                capture_output=True,
                text=True,
                check=True,
            )
            assert said in ran.stdout
        assert len(environ.requests) == 2

    def test_command_says_what_to_do_without_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OVHCLOUD_API_BASE", "http://127.0.0.1:9/v1")

        ran = subprocess.run(
            [sys.executable, "-m", "ovhcloud_ai_endpoints", "models"], capture_output=True, text=True, check=False
        )

        assert ran.returncode == 1
        assert "--offline" in ran.stderr
