import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import (
    BadRequestError,
    EmbeddingsInterruptedError,
    InternalServerError,
    InvalidResponseError,
)
from ovhcloud_ai_endpoints._embeddings import Run, batches, embedding_body, read_vectors
from ovhcloud_ai_endpoints._sizes import MAX_BATCH_BYTES


@given(st.lists(st.text(max_size=30), max_size=80), st.integers(1, 30))
def test_batches_keep_order_and_size(texts: list[str], size: int) -> None:
    found = list(batches(texts, size=size))

    assert [text for batch in found for text in batch.texts] == texts
    assert all(0 < len(batch.texts) <= size for batch in found)
    assert [position for batch in found for position in batch.positions] == list(range(len(texts)))


@given(st.lists(st.text(max_size=30), max_size=40), st.sets(st.integers(0, 39)), st.integers(1, 9))
def test_batches_leave_out_what_is_known(texts: list[str], known: set[int], size: int) -> None:
    found = list(batches(texts, size=size, known=known))

    sent = {position: text for batch in found for position, text in zip(batch.positions, batch.texts, strict=True)}
    assert sent == {position: text for position, text in enumerate(texts) if position not in known}
    assert all(0 < len(batch.texts) <= size for batch in found)


@pytest.mark.parametrize("letter", ["a", "é", '"', "\x00", "🎉"])
def test_batches_stay_below_the_limit_in_bytes(letter: str) -> None:
    texts = [letter * 100_000] * 30

    for batch in batches(texts, size=25):
        assert len(json.dumps(batch.texts, ensure_ascii=False).encode()) <= MAX_BATCH_BYTES + 2


def test_batches_leave_room_for_the_instruction() -> None:
    for batch in batches(["a" * 70_000] * 30, size=25, instruction="b" * 70_000):
        assert len(embedding_body(batch.texts, model="m", base_url="http://h", instruction="b" * 70_000)["input"]) <= 13


def test_text_that_is_too_large_alone_is_sent_alone() -> None:
    assert [len(batch.texts) for batch in batches(["a", "b" * 3_000_000, "c"], size=25)] == [1, 1, 1]


def test_tokens_are_no_text() -> None:
    with pytest.raises(TypeError, match="number 1, from 0, is of type list"):
        list(batches(["a", [1, 2]], size=25))  # type: ignore[list-item]


def body(*items: Any) -> dict[str, Any]:
    return {"data": list(items), "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def item(*numbers: Any, index: int | None = None) -> dict[str, Any]:
    return {"embedding": list(numbers)} | ({} if index is None else {"index": index})


def test_vectors_are_ordered_by_index_and_are_floats() -> None:
    found = read_vectors(body(item(3, 4, index=1), item(1, 2, index=0)), b"", count=2)[0]

    assert found == [[1.0, 2.0], [3.0, 4.0]]
    assert all(type(number) is float for vector in found for number in vector)


def test_vectors_without_index_are_in_order() -> None:
    assert read_vectors(body(item(1), item(2)), b"", count=2)[0] == [[1.0], [2.0]]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": []},
        body(item(1)),
        body(item(1), item(2), item(3)),
        body(item(1, index=0), item(2, index=0)),
        body(item(1), item(2, 3)),
        body(item(), item()),
        body(item(1), item(float("nan"))),
        body(item(1), item(float("inf"))),
        body(item("x"), item(1)),
        body(item("1_000"), item(1)),
        body(item(True), item(1)),
        body(item(10**400), item(1)),
        body({"embedding": {"1": 2}}, item(1)),
        body({"embedding": "12"}, item(1)),
        body({"embedding": "AAAAgD8="}, item(1)),
        body({"embedding": None}, item(1)),
        body(5, 6),
    ],
)
def test_answer_that_is_not_what_was_asked_for_is_an_error(answer: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError):
        read_vectors(answer, b"{}", count=2)


def test_error_with_status_200_is_an_error() -> None:
    with pytest.raises(InternalServerError, match="boom"):
        read_vectors({"error": {"message": "boom"}}, b'{"error":{"message":"boom"}}', count=1)


def run(count: int, size: int = 2, **options: Any) -> Run:
    return Run([f"text {at}" for at in range(count)], model="m", base_url="http://h", size=size, **options)


def test_run_gives_vectors_in_order_and_adds_up_tokens() -> None:
    embedding = run(3)
    first, second = embedding.next_batch(), embedding.next_batch()
    assert first is not None
    assert second is not None
    assert embedding.next_batch() is None

    embedding.take(second[0], [[3.0]], 3)
    embedding.take(first[0], [[1.0], [2.0]], 3)

    assert embedding.result() == [[1.0], [2.0], [3.0]]
    assert (embedding.usage.texts, embedding.usage.requests, embedding.usage.tokens) == (3, 2, 6)


def test_run_that_fails_keeps_what_is_done() -> None:
    embedding = run(4)
    first = embedding.next_batch()
    assert first is not None
    embedding.take(first[0], [[1.0], [2.0]], 3)
    embedding.fail(InternalServerError("boom", status=500))

    assert embedding.next_batch() is None
    with pytest.raises(EmbeddingsInterruptedError, match="2 of 4 texts are embedded, then: boom") as caught:
        embedding.result()
    assert caught.value.vectors == {0: [1.0], 1: [2.0]}
    assert caught.value.remaining == {2: "text 2", 3: "text 3"}
    assert caught.value.status == 500


def test_run_goes_on_from_what_is_known() -> None:
    embedding = run(4, known={1: [1.5], 3: [3.5]})
    batch = embedding.next_batch()
    assert batch is not None
    assert batch[1]["input"] == ["text 0", "text 2"]

    embedding.take(batch[0], [[0.0], [2.0]], 3)

    assert embedding.next_batch() is None
    assert embedding.result() == [[0.0], [1.5], [2.0], [3.5]]
    assert embedding.usage.texts == 2


def test_run_that_adds_nothing_to_what_is_known_raises_what_happened() -> None:
    embedding = run(2, known={0: [1.0]})
    embedding.fail(BadRequestError("no"))

    with pytest.raises(BadRequestError):
        embedding.result()


@pytest.mark.parametrize("usage", [5, "x", {"total_tokens": "3"}, None])
def test_usage_that_can_not_be_counted_loses_no_vectors(usage: Any) -> None:
    embedding = run(2)
    first = embedding.next_batch()
    assert first is not None

    embedding.take(first[0], *read_vectors(body(item(1), item(2)) | {"usage": usage}, b"", count=2))

    assert embedding.result() == [[1.0], [2.0]]


def test_run_that_fails_by_a_bug_keeps_what_is_done_too() -> None:
    embedding = run(4)
    first = embedding.next_batch()
    assert first is not None
    embedding.take(first[0], [[1.0], [2.0]], 3)
    embedding.fail(KeyError("vault"))

    with pytest.raises(EmbeddingsInterruptedError, match=r"KeyError\('vault'\)"):
        embedding.result()


def test_run_that_fails_at_once_raises_what_happened() -> None:
    embedding = run(4)
    embedding.fail(BadRequestError("no"))

    with pytest.raises(BadRequestError):
        embedding.result()


def test_vectors_of_another_width_than_before_are_an_error() -> None:
    embedding = run(3)
    first, second = embedding.next_batch(), embedding.next_batch()
    assert first is not None
    assert second is not None
    embedding.take(first[0], [[1.0], [2.0]], 3)

    with pytest.raises(InvalidResponseError, match="2 wide, those before were 1"):
        embedding.take(second[0], [[3.0, 4.0]], 3)
