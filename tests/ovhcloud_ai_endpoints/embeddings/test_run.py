import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import (
    BadRequestError,
    ContextOverflowError,
    EmbeddingsInterruptedError,
    InternalServerError,
    InvalidResponseError,
)
from ovhcloud_ai_endpoints._embeddings.capacity import (
    MAX_BATCH_BYTES,
    RUNS_OF_A_GUESS,
    Capacity,
    allowed,
    begin_run,
    forget,
    learn,
    learned,
    share,
)
from ovhcloud_ai_endpoints._embeddings.request import Vectors, embedding_request, read_vectors
from ovhcloud_ai_endpoints._embeddings.run import MOST_CUTS, EmbeddingRun, batches
from ovhcloud_ai_endpoints._http.refusals import status_error


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
        assert (
            len(embedding_request(batch.texts, model="m", base_url="http://h", instruction="b" * 70_000).body["input"])
            <= 13
        )


def test_text_that_is_too_large_alone_is_sent_alone() -> None:
    assert [len(batch.texts) for batch in batches(["a", "b" * 3_000_000, "c"], size=25)] == [1, 1, 1]


def test_tokens_are_no_text() -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] is of type list"):
        list(batches(["a", [1, 2]], size=25))  # type: ignore[list-item]


def body(*items: Any) -> dict[str, Any]:
    return {"data": list(items), "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def item(*numbers: Any, index: int | None = None) -> dict[str, Any]:
    return {"embedding": list(numbers)} | ({} if index is None else {"index": index})


def test_vectors_are_ordered_by_index_and_are_floats() -> None:
    found = read_vectors(body(item(3, 4, index=1), item(1, 2, index=0)), b"", count=2).vectors

    assert found == [[1.0, 2.0], [3.0, 4.0]]
    assert all(type(number) is float for vector in found for number in vector)


def test_vectors_without_index_are_in_order() -> None:
    assert read_vectors(body(item(1), item(2)), b"", count=2).vectors == [[1.0], [2.0]]


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


def run(count: int, size: int = 2, **options: Any) -> EmbeddingRun:
    return EmbeddingRun([f"text {at}" for at in range(count)], model="m", base_url="http://h", size=size, **options)


def test_run_gives_vectors_in_order_and_adds_up_tokens() -> None:
    embedding = run(3)
    first, second = embedding.next_batch(), embedding.next_batch()
    assert first is not None
    assert second is not None
    assert embedding.next_batch() is None

    embedding.take(second[0], Vectors([[3.0]], 3))
    embedding.take(first[0], Vectors([[1.0], [2.0]], 3))

    assert embedding.result() == [[1.0], [2.0], [3.0]]
    assert (embedding.usage.texts, embedding.usage.requests, embedding.usage.tokens) == (3, 2, 6)


def test_run_that_fails_keeps_what_is_done() -> None:
    embedding = run(4)
    first = embedding.next_batch()
    assert first is not None
    embedding.take(first[0], Vectors([[1.0], [2.0]], 3))
    embedding.fail(InternalServerError("boom", status=500))

    assert embedding.next_batch() is None
    with pytest.raises(EmbeddingsInterruptedError, match="Embedded 2 of 4 texts, then failed: boom") as caught:
        embedding.result()
    assert caught.value.vectors == {0: [1.0], 1: [2.0]}
    assert caught.value.remaining == {2: "text 2", 3: "text 3"}
    assert caught.value.status == 500


def test_run_goes_on_from_what_is_known() -> None:
    embedding = run(4, known={1: [1.5], 3: [3.5]})
    batch = embedding.next_batch()
    assert batch is not None
    assert batch[1].body["input"] == ["text 0", "text 2"]

    embedding.take(batch[0], Vectors([[0.0], [2.0]], 3))

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

    embedding.take(first[0], read_vectors(body(item(1), item(2)) | {"usage": usage}, b"", count=2))

    assert embedding.result() == [[1.0], [2.0]]


def test_run_that_fails_by_a_bug_keeps_what_is_done_too() -> None:
    embedding = run(4)
    first = embedding.next_batch()
    assert first is not None
    embedding.take(first[0], Vectors([[1.0], [2.0]], 3))
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
    embedding.take(first[0], Vectors([[1.0], [2.0]], 3))

    with pytest.raises(InvalidResponseError, match="2 dimensions; those before had 1"):
        embedding.take(second[0], Vectors([[3.0, 4.0]], 3))


def test_vectors_that_are_not_as_wide_as_was_asked_are_an_error() -> None:
    embedding = run(2, dimensions=3)
    first = embedding.next_batch()
    assert first is not None
    assert first[1].body["dimensions"] == 3

    with pytest.raises(InvalidResponseError, match=r"^The vectors have 2 dimensions, though 3 were asked for\.$"):
        embedding.take(first[0], Vectors([[1.0, 2.0]] * 2, 3))

    embedding.take(first[0], Vectors([[1.0, 2.0, 3.0]] * 2, 3))
    with pytest.raises(ValueError, match="zip"):
        embedding.take(first[0], Vectors([[1.0, 2.0, 3.0]], 3))


def test_body_holds_what_was_set_and_nothing_else() -> None:
    base_url = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"

    assert embedding_request(["a", ""], model="BAAI/bge-m3", base_url=base_url).body == {
        "model": "bge-m3",
        "input": ["a", " "],
        "encoding_format": "base64",
    }
    assert embedding_request(
        ["a", ""],
        model="m",
        base_url=base_url,
        instruction="q: ",
        dimensions=0,
        encoding_format="float",
        extra_body={"user": "u"},
    ).body == {"model": "m", "input": ["q: a", "q: "], "dimensions": 0, "user": "u"}


def test_run_sends_what_was_set() -> None:
    embedding = run(1, instruction="q: ", extra_body={"user": "u"})
    first = embedding.next_batch()

    assert first is not None
    assert first[1].body == {"model": "m", "input": ["q: text 0"], "encoding_format": "base64", "user": "u"}
    assert (embedding.concurrency, embedding.workers) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({}, "The answer does not hold a vector for each of 2 texts"),
        (body(item("x"), item(1)), "The answer does not hold a vector for each of 2 texts"),
        (body(item(1), item(2), item(3)), "The answer holds 3 vectors for 2 texts"),
        (body(item(), item()), "The vectors of the answer are empty or of different widths"),
        (body(item(1), item(float("nan"))), "A vector of the answer can't be read: a number is not finite"),
        (
            body({"embedding": "AAA="}, item(1)),
            "A vector of the answer can't be read: bytes length not a multiple of item size",
        ),
        (body({"embedding": "?"}, item(1)), "A vector of the answer can't be read: Only base64 data is allowed"),
    ],
)
def test_error_says_what_is_wrong_with_the_vectors(answer: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read_vectors(answer, b"{}", count=2)

    assert caught.value.message == f"{problem}. It begins with '{{}}'."


def test_tokens_are_what_the_service_counted() -> None:
    assert read_vectors(body(item(1, 2.5)), b"", count=1) == Vectors([[1.0, 2.5]], 3)
    assert read_vectors({"data": [item(1)]}, b"", count=1) == Vectors([[1.0]], 0)


@pytest.mark.parametrize(
    ("texts", "kind", "hint"),
    [
        ("text", "str", "For one text, pass [text]"),
        (iter(["a"]), "list_iterator", "LangChain's embed_iter takes iterators"),
    ],
)
def test_what_is_no_list_is_told_with_its_type(texts: Any, kind: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        EmbeddingRun(texts, model="m", base_url="http://h")

    assert str(caught.value) == f"texts must be a list of strings; got a {kind}. {hint}"


def test_part_of_a_longer_input_says_where_it_is() -> None:
    with pytest.raises(TypeError, match=r"texts\[100\] is of type int"):
        EmbeddingRun([5], model="m", base_url="http://h", start=100)  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"texts\[0\] is of type int"):
        EmbeddingRun([5], model="m", base_url="http://h")  # type: ignore[list-item]

    embedding = run(2, start=100)
    embedding.fail(InternalServerError("boom"))

    with pytest.raises(EmbeddingsInterruptedError) as caught:
        embedding.result()
    assert caught.value.message == (
        "Embedded 0 of 2 texts from number 100 on, then failed: boom "
        "The vectors are in this error's .vectors; to go on, embed the texts in its .remaining."
    )
    assert caught.value.remaining == {100: "text 0", 101: "text 1"}
    assert caught.value.usage == embedding.usage


def test_run_leaves_room_for_the_instruction() -> None:
    embedding = EmbeddingRun(["a" * 600_000] * 2, model="m", base_url="http://room", instruction="b" * 600_000)
    first = embedding.next_batch()
    assert first is not None
    assert len(first[0].texts) == 1

    try:
        learn(("http://room", "m"), Capacity(2))
        again = EmbeddingRun(["a" * 600_000] * 2, model="m", base_url="http://room", instruction="b" * 600_000)
        second = again.next_batch()
        assert second is not None
        assert len(second[0].texts) == 1
    finally:
        forget("http://room")


def test_run_sends_the_name_that_the_service_knows() -> None:
    found = EmbeddingRun(
        ["a"], model="BAAI/bge-m3", base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"
    ).next_batch()

    assert found is not None
    assert found[1].body["model"] == "bge-m3"


def test_progress_is_told_in_texts() -> None:
    told: list[int] = []
    embedding = run(2)
    embedding.on_progress = told.append
    first = embedding.next_batch()
    assert first is not None

    embedding.take(first[0], Vectors([[1.0], [2.0]], 3))

    assert told == [2]


def test_batches_are_as_large_as_the_service_takes() -> None:
    """A text weighs its JSON and a comma, and so does the instruction before it, even if it is empty."""
    texts = ["a" * (MAX_BATCH_BYTES // 2 - 6)] * 4

    assert [len(batch.texts) for batch in batches(texts, size=25)] == [2, 2]
    assert [len(batch.texts) for batch in batches([*texts[:2], texts[2] + "a", texts[3]], size=25)] == [2, 1, 1]


def refused(status: int, message: str) -> Any:
    return status_error(status, {}, json.dumps({"message": message}).encode())


@pytest.mark.parametrize(
    ("status", "said", "count", "weight", "capacity"),
    [
        (400, "batch size 4 > maximum allowed batch size 1", 4, 9, Capacity(1)),
        (400, "too many inputs: at most 0 are allowed", 4, 9, Capacity(2, is_named=False)),
        (400, "too many inputs: at most 4 are allowed", 4, 9, Capacity(2, is_named=False)),
        (413, "too many inputs", 5, 9, Capacity(2, is_named=False)),
        (413, "", 4, 64_000, None),
        (413, "", 4, 64_001, Capacity(bytes=32_000, is_named=False)),
        (400, "no such field", 4, 9, None),
        (500, "batch size 4 > maximum allowed batch size 1", 4, 9, None),
    ],
)
def test_refusal_tells_what_a_request_may_hold(status: int, said: str, count: int, weight: int, capacity: Any) -> None:
    assert allowed(refused(status, said), count, weight) == capacity


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("maximum context length is 8192 tokens, but you sent 10,000", 0.97 * 8192 / 10_000),
        ("at most 512 of the 768 tokens, in all 1000", 0.97 * 768 / 1000),
        ("too long", 0.97 * 0.7),
        ("at most 100 of 10000", 0.5),
        ("at most 9999 of 10000", 0.9),
        ("at most 8192", 0.97 * 0.7),
    ],
)
def test_refusal_tells_how_much_of_a_text_to_keep(said: str, part: float) -> None:
    assert share(refused(400, said)) == pytest.approx(part)


def test_the_least_that_was_learned_counts() -> None:
    server = ("http://learned", "m")
    try:
        assert learned(server) is None
        learn(server, Capacity(10, 500))
        learn(("http://other", "m"), Capacity(5, 100))
        assert learn(server, Capacity(20, 400)) == learned(server) == Capacity(10, 400)

        forget("http://other")
        assert learned(server) == Capacity(10, 400)
    finally:
        forget("http://learned")
    assert learned(server) is None


def test_request_of_two_that_is_refused_for_its_size_becomes_two() -> None:
    embedding = EmbeddingRun(["a", "b"], model="m", base_url="http://two", truncate=False)
    first = embedding.next_batch()
    assert first is not None
    try:
        embedding.refused(first[0], refused(400, "batch size 2 > maximum allowed batch size 1"))
        batches = [embedding.next_batch(), embedding.next_batch()]
        assert [batch[1].body["input"] for batch in batches if batch] == [["a"], ["b"]]
        assert [
            len(batch[1].body["input"])
            for batch in [EmbeddingRun(["a", "b"], model="m", base_url="http://two").next_batch()]
            if batch
        ] == [1]
    finally:
        forget("http://two")


def test_smaller_requests_are_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    embedding = run(4, size=4, truncate=True)
    first = embedding.next_batch()
    assert first is not None
    try:
        embedding.refused(first[0], refused(400, "batch size 4 > maximum allowed batch size 1"))
    finally:
        forget("http://h")
    alone = embedding.next_batch()
    assert alone is not None
    embedding.refused(alone[0], refused(400, "the input is too long: 10 tokens"))

    assert caplog.messages == [
        "A request to m was refused for its size; requests now hold at most 1 texts and 1,900,000 bytes",
        "Text number 0 was cut from 6 to 4 characters: the input is too long: 10 tokens.",
    ]


def test_text_that_is_too_long_is_told_with_its_place() -> None:
    embedding = run(1, start=7)
    first = embedding.next_batch()
    assert first is not None

    with pytest.raises(ContextOverflowError) as caught:
        embedding.refused(first[0], refused(400, "the input is too long"))

    assert caught.value.message == (
        "Text number 7, of 6 characters, is too long: the input is too long. "
        "Split it, or set truncate=True to embed its beginning."
    )


def test_number_that_the_server_named_is_kept() -> None:
    server = ("http://named", "m")
    learn(server, Capacity(10))

    assert [begin_run(server) for _ in range(3 * RUNS_OF_A_GUESS)] == [Capacity(10)] * 3 * RUNS_OF_A_GUESS


def test_guess_ages_with_the_runs_that_keep_to_it() -> None:
    server = ("http://guessed", "m")
    learn(server, Capacity(10))
    learn(server, Capacity(5, 1000, is_named=False))

    assert [begin_run(server) for _ in range(RUNS_OF_A_GUESS)] == [Capacity(5, 1000)] * RUNS_OF_A_GUESS
    assert begin_run(server) == Capacity(10)


def test_guess_that_is_refused_again_counts_anew() -> None:
    server = ("http://refused", "m")
    learn(server, Capacity(8, is_named=False))
    for _ in range(RUNS_OF_A_GUESS - 1):
        begin_run(server)
    learn(server, Capacity(4, is_named=False))

    assert [begin_run(server) for _ in range(RUNS_OF_A_GUESS + 1)] == [*[Capacity(4)] * RUNS_OF_A_GUESS, None]


def test_text_that_is_refused_however_short_is_given_up() -> None:
    embedding = EmbeddingRun(["x" * 1_000_000], model="m", base_url="http://short", truncate=True)
    sizes: list[int] = []

    def refuse_all() -> None:
        while (work := embedding.next_batch()) is not None:
            sizes.append(len(work[0].texts[0]))
            embedding.refused(work[0], refused(400, "the input is too long"))

    with pytest.raises(ContextOverflowError, match=f"Cutting it {MOST_CUTS} times has not helped"):
        refuse_all()
    assert len(sizes) == MOST_CUTS + 1
    assert sizes == sorted(sizes, reverse=True)
