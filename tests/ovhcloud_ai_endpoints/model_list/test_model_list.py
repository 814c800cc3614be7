"""What the service says of its models, and `list_models`."""

import asyncio
import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints.__main__ import main
from ovhcloud_ai_endpoints._catalogue.models import Model, bundled_models, catalogue_date, model, read_models
from ovhcloud_ai_endpoints._model_list import asking
from ovhcloud_ai_endpoints._model_list.reading import described, merged
from ovhcloud_ai_endpoints._model_list.report import aligned, document, table
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
        "usage_information": {
            "avg_throughtput": 2,
            "pricing": [{"price": 0.04, "price_unit": "million_input_tokens"}],
            "rate_limit": {
                "rate_limit_api": [{"rate_limit_unit": "req/m", "rate_limit_value": 100}],
                "rate_limit_api_anonymous": [{"rate_limit_unit": "req/d", "rate_limit_value": 9}],
            },
        },
    },
}


def one(*entries: Any, date: str | None = None) -> Model:
    return merged(bundled_models(), {"data": list(entries)}, date=date)[0]


class TestTheServicesList:
    def test_keeps_what_was_known_and_brings_windows_and_prices(self) -> None:
        pricing = {"currency_unit": "USD", "prompt": "0.0000005", "completion": "0.000004"}
        found = one({**LISTED, "context_length": 1_000, "pricing": pricing}, date="2026-11-23")

        assert found.context_length == 1_000
        assert found.usd_per_million_tokens == {"input": 0.5, "output": 4.0}
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
        assert merged([], {"data": [None, 5, {}, {"id": None}, {"id": 5}, {"id": ""}, {"id": "a"}]}) == [
            Model(id="a", status="live")
        ]

    @pytest.mark.parametrize("body", [[], None, {"data": None}, {}, "x"])
    def test_something_else_is_an_error(self, body: Any) -> None:
        with pytest.raises(service.InvalidResponseError, match=r"^The answer to GET /models is not a list"):
            merged([], body)

    @pytest.mark.parametrize("length", [0, -1, True, math.inf, math.nan, "9", None])
    def test_length_that_is_none_leaves_what_was_known(self, length: Any) -> None:
        found = one({"id": "gpt-oss-20b", "context_length": length, "max_completion_tokens": 1})

        assert (found.context_length, found.max_completion_tokens) == (131_072, 1)

    def test_price_of_one_direction_leaves_that_of_the_other(self) -> None:
        before = model("Qwen3.8-27B").usd_per_million_tokens
        found = one({"id": "Qwen3.8-27B", "pricing": {"prompt": "0.00000012345678"}}, date="2026-11-23")

        assert found.usd_per_million_tokens == {**before, "input": 0.123457}
        assert found.prices_as_of == "2026-11-23"

    def test_price_of_an_unknown_day_has_no_day(self) -> None:
        assert one(LISTED).prices_as_of is None

    def test_one_direction_may_be_free(self) -> None:
        pricing = {"prompt": "0.000001", "completion": "0"}

        assert one({"id": "new", "pricing": pricing}).usd_per_million_tokens == {"input": 1.0, "output": 0.0}

    def test_model_that_is_listed_as_free_keeps_its_price(self) -> None:
        before = model("Qwen3.8-27B")

        assert one({"id": "Qwen3.8-27B", "pricing": {"prompt": "0", "completion": "0"}}) == before
        assert one({"id": "Qwen3.8-27B", "pricing": ["0.1"]}) == before


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
        assert (found.available, found.requests_per_minute, found.anonymous_requests_per_minute) == (True, 100, None)

    def test_knows_what_is_out_of_service_and_when_it_goes(self) -> None:
        metadata = {**DESCRIBED["metadata"], "publishing_information": {"model_eol_date": "01/10/2026"}}
        (found,) = described([], [{**DESCRIBED, "available": False, "metadata": metadata}])

        assert (found.available, found.status, found.retires_on) == (False, "grace", "2026-10-01")

    @pytest.mark.parametrize("limit", [None, {}, [], [None], [{"rate_limit_unit": "req/m", "rate_limit_value": "400"}]])
    def test_knows_no_limit_that_is_none(self, limit: Any) -> None:
        metadata = {"usage_information": {"rate_limit": {"rate_limit_api": limit}}}

        assert described([], [{"name": "new", "metadata": metadata}])[0].requests_per_minute is None

    def test_knows_how_large_vectors_and_batches_are(self) -> None:
        params = {"output_dimension": 4096, "output_dimension_min": 32, "max_batch_size": 25.0, "context_size_k": 32}
        capabilities = {
            "reasoning": True,
            "function_calling": "yes",
            "response_format": ["raw_text"],
            "input_modality": ["text"],
        }
        specs = {"capabilities": capabilities, "model_parameters": {"params": params}}
        entry = {"name": "new", "category": "Embeddings", "metadata": {"model_specs": specs}}

        assert described([], [entry]) == [
            Model(
                id="new",
                kind="embedding",
                status="live",
                context_length=32_000,
                dimensions=4096,
                min_dimensions=32,
                max_batch_size=25,
                reasoning=True,
            )
        ]

    def test_knows_windows_less_exactly_than_the_list(self) -> None:
        before = Model(id="New-VL-7B", context_length=131_072, aliases=("vl", "new/New-VL-7B"))

        found = described(
            [before], [DESCRIBED, None, {"name": ""}, {"name": 5}, {"name": "b", "metadata": {"aliases": ["", 1]}}]
        )

        assert [one.id for one in found] == ["New-VL-7B", "b"]
        assert found[0].context_length == 131_072
        assert found[0].aliases == ("vl", "new/New-VL-7B")
        assert found[1].aliases == ()

    @pytest.mark.parametrize("catalogue", [{}, "x", None, 5])
    def test_something_else_is_an_error(self, catalogue: Any) -> None:
        with pytest.raises(service.InvalidResponseError, match=r"^The answer of the catalogue is not an array"):
            described([], catalogue)

    def test_leaves_what_it_does_not_say(self) -> None:
        before = model("Qwen3.8-27B")

        assert described([before], [{"id": "x", "name": "Qwen3.8-27B"}]) == [before]

    @pytest.mark.parametrize("date", ["01/03/2027", "29/02/2028", "31/12/2026", "01/01/0001"])
    def test_end_of_life_is_a_grace_period(self, date: str) -> None:
        metadata = {**DESCRIBED["metadata"], "publishing_information": {"model_eol_date": date}}

        assert described([], [{**DESCRIBED, "metadata": metadata}])[0].status == "grace"

    @pytest.mark.parametrize(
        "date",
        [
            "None",
            None,
            "",
            "31/06/2024",
            "29/02/2027",
            "00/01/2027",
            "01/00/2027",
            "01/13/2027",
            "01/01/0000",
            "2027-01-01",
            "01/01/20277",
        ],
    )
    def test_date_that_no_calendar_has_is_none(self, date: Any) -> None:
        metadata = {**DESCRIBED["metadata"], "publishing_information": {"model_eol_date": date}}

        assert described([], [{**DESCRIBED, "metadata": metadata}])[0].status == "live"

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


def test_document_holds_what_is_known_and_nothing_else() -> None:
    prices = {"input": 1.0}
    models = [
        Model(id="a", kind="chat", usd_per_million_tokens=prices, prices_as_of="2026-11-23"),
        Model(id="b", usd_per_million_tokens=prices, prices_as_of="2026-11-01"),
    ]

    assert document(models, {"old": "a"}, date="2026-11-23") == {
        "as_of": "2026-11-23",
        "source": "GET /v1/models and the catalogue's models_v2, over what was known before",
        "models": [
            {"id": "a", "kind": "chat", "usd_per_million_tokens": prices},
            {"id": "b", "usd_per_million_tokens": prices, "prices_as_of": "2026-11-01"},
        ],
        "retired": {"old": "a"},
    }


def test_columns_of_a_terminal_are_aligned() -> None:
    models = [Model(id="a", kind="chat", context_length=1024), Model(id="longer", kind="embedding", dimensions=8)]

    header, first, second = aligned(models).splitlines()

    assert (header.index("kind"), first.index("chat"), second.index("embedding")) == (8, 8, 8)
    assert not any(line.endswith(" ") for line in (header, first, second))


def test_table_has_a_row_for_each_model() -> None:
    models = [
        Model(
            id="a",
            kind="chat",
            status="live",
            context_length=131_072,
            max_completion_tokens=8_192,
            tool_calling=True,
            image_inputs=True,
            reasoning_efforts=("low", "high"),
            usd_per_million_tokens={"input": 0.5, "output": 1.25},
            note="Fine.",
        ),
        Model(id="b", kind="embedding", status="grace", dimensions=1024, usd_per_million_tokens={"input": 0.01}),
        Model(
            id="c", status="grace", structured_output=True, image_inputs=True, max_images_per_request=5, replaced_by="a"
        ),
    ]

    assert table(models).splitlines() == [
        (
            "| model | kind | context | longest answer | tools | objects | images | reasoning effort | vectors | "
            "$ per million tokens in, out |  |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| `a` | chat | 131,072 | 8,192 | yes |  | up to any number | low, high |  | 0.5, 1.25 | Fine. |",
        "| `b` | embedding |  |  |  |  |  |  | 1,024 | 0.01 | about to be retired |",
        "| `c` | unknown |  |  |  | yes | up to 5 |  |  |  | about to be retired; use `a` |",
    ]


class TestListModels:
    @pytest.fixture(autouse=True)
    def _forgotten(self) -> Iterator[None]:
        asking._lists.forget()
        yield
        asking._lists.forget()

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
            monkeypatch.setattr(asking, "CATALOGUE_URL", other.base_url.removesuffix("/v1") + "/rest/v1")
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
        for options, said in (([], "\nbge-m3  "), (["--offline"], "\nbge-m3  "), (["--json"], '"id": "bge-m3"')):
            ran = subprocess.run(
                [sys.executable, "-m", "ovhcloud_ai_endpoints", "models", *options],
                capture_output=True,
                text=True,
                check=True,
            )
            assert said in ran.stdout
        assert len(environ.requests) == 2

    def test_command_ends_quietly_with_its_reader(self) -> None:
        command = f"{sys.executable} -m ovhcloud_ai_endpoints models --offline | head -1"

        ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)

        assert ran.stdout.startswith("model ")
        assert ran.stderr == ""

    @pytest.mark.parametrize(
        ("target", "status", "said"),
        [(">/dev/full", 1, "The output can't be written: No space left on device\n"), (">&-", 0, "")],
    )
    def test_output_that_nobody_takes_is_no_traceback(self, target: str, status: int, said: str) -> None:
        command = f"{sys.executable} -m ovhcloud_ai_endpoints models --offline {target}"

        ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

        assert (ran.returncode, ran.stderr) == (status, said)

    def test_offline_list_is_of_the_catalogues_day(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "--offline", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["as_of"] == catalogue_date()
        assert main(["models", "--offline"]) == 0
        assert capsys.readouterr().out.endswith(f"\nAs of {catalogue_date()}.\n")

    def test_command_says_what_to_do_without_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OVHCLOUD_API_BASE", "http://127.0.0.1:9/v1")

        ran = subprocess.run(
            [sys.executable, "-m", "ovhcloud_ai_endpoints", "models"], capture_output=True, text=True, check=False
        )

        assert ran.returncode == 1
        assert "--offline" in ran.stderr
