import asyncio
from array import array
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints import BadRequestError
from ovhcloud_ai_endpoints._embeddings.encoding import decoded_vector
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REFUSALS = [
    (400, {"error": {"message": "ovhcloud does not support parameters: ['encoding_format'], for model=bge-m3."}}),
    (400, {"message": 'feature \'extra arguments: {"encoding_format":"base64"}\' is not currently supported'}),
    (422, {"detail": [{"loc": ["body", "encoding_format"], "msg": "Extra inputs are not permitted"}]}),
]
WAYS: dict[str, Any] = {
    "langchain": lambda **options: lc.OVHCloudEmbeddings(**options).embed_documents(["a", "b"]),
    "langchain awaited": lambda **options: asyncio.run(lc.OVHCloudEmbeddings(**options).aembed_documents(["a", "b"])),
    "llama_index": lambda **options: li.OVHCloudEmbeddings(**options).get_text_embedding_batch(["a", "b"]),
}


def encoded(numbers: list[float]) -> str:
    return b64encode(array("f", numbers).tobytes()).decode()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_both_forms_hold_the_same_numbers(numbers: list[float]) -> None:
    assert decoded_vector(encoded(numbers)) == decoded_vector(numbers) == numbers


def test_integers_become_numbers_of_the_right_type() -> None:
    assert [type(number) for number in decoded_vector([1, 2.5])] == [float, float]


def test_largest_numbers_are_finite() -> None:
    assert decoded_vector([1.7e308, 1.7e308]) == [1.7e308, 1.7e308]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("form", [list, encoded])
def test_numbers_that_are_not_finite_are_errors(number: float, form: Any) -> None:
    with pytest.raises(ValueError, match="a number is not finite"):
        decoded_vector(form([1.0, number]))


@pytest.mark.parametrize("value", [None, 5, {"a": 1}, ["1"], [True], [None]])
def test_something_else_is_an_error(value: Any) -> None:
    with pytest.raises(TypeError, match="expected a list of numbers, or base64"):
        decoded_vector(value)


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
class TestRequests:
    def test_ask_for_base64(self, server: LocalEndpoints, way: Any) -> None:
        assert [len(vector) for vector in way()] == [1024, 1024]
        assert server.requests[0].json["encoding_format"] == "base64"

    def test_read_what_comes(self, server: LocalEndpoints, way: Any) -> None:
        data = [{"index": 0, "embedding": [1.0, 2.0]}, {"index": 1, "embedding": encoded([3.0, 4.0])}]
        server.reply(body={"data": data})

        assert way() == [[1.0, 2.0], [3.0, 4.0]]

    @pytest.mark.parametrize(("status", "body"), REFUSALS)
    def test_do_without_where_it_is_refused_and_that_is_remembered(
        self, server: LocalEndpoints, way: Any, status: int, body: Any
    ) -> None:
        server.reply(status=status, body=body)

        assert [len(way(max_retries=0)) for _ in range(2)] == [2, 2]
        assert [request.json.get("encoding_format") for request in server.requests] == ["base64", None, None]

    def test_are_still_asked_for_with_another_model(self, server: LocalEndpoints, way: Any) -> None:
        """A proxy has a route of its own for each."""
        server.reply(status=400, body=REFUSALS[0][1])
        way(max_retries=0)
        way(model="Qwen3-Embedding-8B", max_retries=0)

        assert [request.json.get("encoding_format") for request in server.requests] == ["base64", None, "base64"]

    def test_do_not_go_again_for_another_refusal(self, server: LocalEndpoints, way: Any) -> None:
        server.reply(status=400, body={"message": "no such thing"})

        with pytest.raises(BadRequestError):
            way()
        assert len(server.requests) == 1

    def test_fail_where_it_was_asked_for_by_name(self, server: LocalEndpoints, way: Any) -> None:
        server.reply(status=400, body=REFUSALS[0][1])

        with pytest.raises(BadRequestError):
            way(encoding_format="base64")

    def test_may_ask_for_numbers(self, server: LocalEndpoints, way: Any) -> None:
        assert len(way(encoding_format="float")) == 2
        assert "encoding_format" not in server.requests[0].json
