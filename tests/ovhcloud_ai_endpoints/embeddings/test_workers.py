"""Runs of several requests: once with threads, once with tasks."""

import asyncio
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ovhcloud_ai_endpoints import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    EmbeddingsInterruptedError,
    InternalServerError,
    OVHCloudError,
    PayloadTooLargeError,
)
from ovhcloud_ai_endpoints._embeddings.capacity import longest
from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions
from ovhcloud_ai_endpoints._embeddings.workers import aembed, aembed_iter, embed, embed_iter
from ovhcloud_ai_endpoints._http.refusals import status_error
from ovhcloud_ai_endpoints.testing import LocalEndpoints

MODEL = "bge-m3"
TEXTS = [f"text number {at}" for at in range(60)]

Embedding = Callable[..., list[list[float]]]


@pytest.fixture(params=["sync", "async"])
def embedding(request: pytest.FixtureRequest, server: LocalEndpoints) -> Embedding:
    """Embeds texts, and waits for them."""

    def run(
        texts: list[str], *, size: int = 25, acquire: Any = None, keep: Any = None, **settings: Any
    ) -> list[list[float]]:
        where = {"api_key": server.api_key, "base_url": server.base_url, "max_retries": 0}
        options = EmbeddingOptions(**(where | settings))
        planned = options._ovhcloud_run(texts, model=MODEL, size=size, instruction=options.document_instruction)
        if request.param == "sync":
            return embed(planned, options, acquire=acquire, keep=keep)

        async def awaited_acquire() -> None:
            await asyncio.to_thread(acquire)

        return asyncio.run(aembed(planned, options, acquire=awaited_acquire if acquire else None))

    return run


@pytest.fixture
def right(embedding: Embedding) -> Callable[[list[str]], list[list[float]]]:
    """The vectors that a server without faults gives."""

    def vectors(texts: list[str]) -> list[list[float]]:
        with LocalEndpoints() as another:
            return embedding(texts, base_url=another.base_url)

    return vectors


def counts(server: LocalEndpoints) -> list[int]:
    return sorted(len(request.json["input"]) for request in server.requests)


class TestSizes:
    @pytest.mark.parametrize(
        ("status", "said", "largest"),
        [
            (400, "batch size 25 > maximum allowed batch size 10", 10),  # Text Embeddings Inference
            (413, "batch size 25 > maximum allowed batch size 10", 10),
            (422, "Too many inputs: at most 10 are allowed", 10),
            (400, "batch size is invalid, it should not be larger than 10", 10),  # DashScope
            (400, "array too long. Expected an array with maximum length 20, but got 25", 20),  # OpenAI
            (400, "the batch size is too large", 12),
            (400, "batch size limit reached, pod 1", 12),
            (422, "Too many inputs for v1 of this API", 12),
            (413, "Batch size exceeded", 12),
        ],
    )
    def test_number_of_texts_is_learned_from_a_refusal(
        self, server: LocalEndpoints, embedding: Embedding, right: Any, status: int, said: str, largest: int
    ) -> None:
        server.reply(status=status, body={"error": {"message": said}})

        assert embedding(TEXTS, max_concurrency=1) == right(TEXTS)
        assert counts(server)[-2:] == [largest, 25]
        server.requests.clear()
        embedding(TEXTS)
        assert counts(server)[-1] == largest
        assert len(server.requests) == -(-60 // largest)

    def test_size_in_bytes_is_learned_from_a_refusal(
        self, server: LocalEndpoints, embedding: Embedding, right: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        texts = [f"{'word ' * 1000} {at}" for at in range(24)]
        server.reply(status=413, body={"message": "Request size limit exceeded"})

        assert embedding(texts, max_concurrency=1) == right(texts)
        assert counts(server) == [2, 11, 11, 24]
        assert "requests now hold at most" in caplog.text

    def test_refusal_of_what_is_surely_not_too_large_teaches_nothing(
        self, server: LocalEndpoints, embedding: Embedding, right: Any
    ) -> None:
        server.reply(status=413, body={"message": "Request size limit exceeded"}, times=3)

        assert embedding(TEXTS[:24], max_concurrency=1) == right(TEXTS[:24])
        server._replies.clear()
        server.requests.clear()
        embedding(TEXTS[:24])
        assert counts(server) == [24]

    def test_several_at_once_learn_together(self, server: LocalEndpoints, embedding: Embedding, right: Any) -> None:
        said = {"message": "batch size 25 > maximum allowed batch size 4"}
        server.reply(status=400, body=said, until=lambda: len(server.requests) >= 8, times=8)
        texts = [f"text {at}" for at in range(25 * 12)]

        assert embedding(texts) == right(texts)
        assert counts(server)[-8:] == [25] * 8
        assert max(counts(server)[:-8]) <= 4

    def test_one_text_that_is_too_large_is_an_error_that_names_it(
        self, server: LocalEndpoints, embedding: Embedding
    ) -> None:
        texts = [*TEXTS[:30], "x" * 2_100_000, *TEXTS[30:]]

        with pytest.raises(EmbeddingsInterruptedError, match="Text number 30, of 2,100,000 characters") as caught:
            embedding(texts, max_concurrency=1)

        assert isinstance(caught.value.__cause__, PayloadTooLargeError)
        assert 30 in caught.value.remaining

    def test_other_refusals_are_no_matter_of_size(self, server: LocalEndpoints, embedding: Embedding) -> None:
        server.reply(status=400, body={"message": "feature 'x' is not currently supported"})

        with pytest.raises(BadRequestError, match="not currently supported"):
            embedding(TEXTS[:25])
        assert len(server.requests) == 1


class TestLongTexts:
    LONG = "word " * 10_000  # 12,500 tokens, as the local server counts them; the model takes 8,192

    def test_are_an_error_that_names_them(self, server: LocalEndpoints, embedding: Embedding) -> None:
        texts = [*TEXTS[:17], self.LONG, *TEXTS[17:]]

        with pytest.raises(
            EmbeddingsInterruptedError, match=r"Text number 17, of 50,000 characters.* 8,192 tokens"
        ) as caught:
            embedding(texts, max_concurrency=1)

        error = caught.value
        assert isinstance(error.__cause__, ContextOverflowError)
        assert "truncate=True" in str(error)
        assert error.vectors.keys() | error.remaining.keys() == set(range(61))
        assert 17 in error.remaining

    def test_are_cut_when_that_is_asked(
        self, server: LocalEndpoints, embedding: Embedding, right: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        vectors = embedding([*TEXTS[:17], self.LONG, *TEXTS[17:]], truncate=True)

        assert vectors[:17] + vectors[18:] == right(TEXTS)
        assert "Text number 17 was cut from 50000 to" in caplog.text
        sent = [text for request in server.requests for text in request.json["input"]]
        cut = min((text for text in sent if text.startswith("word word")), key=len)
        assert vectors[17] == right([cut])[0]
        assert len(cut) > 20_000

    @pytest.mark.parametrize(
        ("said", "most"),
        [
            ("maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens", 4096),
            ("2026-11-23: maximum context length is 8,192 tokens; there are at least 8,193", 65_536),
            ("at least 10 texts are too long", sys.maxsize),
            ("maximum context length is 8192 tokens, however you requested 9102 tokens", sys.maxsize),
        ],
    )
    def test_are_cut_at_once_to_what_a_window_can_hold(self, said: str, most: int) -> None:
        assert longest(status_error(400, {}, said.encode())) == most

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("maximum context length is 8192 tokens, however you requested 9102 tokens", 873),
            ("maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens", 700),
            ("maximum context length is 8,192 tokens, however you requested 81,920 tokens", 500),
            ("Error 400: the input is too long, 512 tokens at most", 757),
            ("[2026-11-23] request 123456789012: input is too long", 678),
            ("input is too long: at most 512 tokens", 678),
            ("context length exceeded: 8193 of 8192 tokens", 900),
        ],
    )
    def test_are_cut_by_no_more_than_the_refusal_says(
        self, server: LocalEndpoints, embedding: Embedding, said: str, kept: int
    ) -> None:
        server.reply(status=400, body={"error": {"message": said}})

        embedding(["a" * 1000], truncate=True)

        assert len(server.requests[-1].json["input"][0]) == kept

    def test_are_cut_as_often_as_it_takes(self, server: LocalEndpoints, embedding: Embedding) -> None:
        server.reply(status=400, body={"error": {"message": "input is too long"}}, times=3)

        embedding(["a" * 1000], truncate=True)

        assert [len(request.json["input"][0]) for request in server.requests] == [1000, 678, 460, 312]

    def test_that_can_not_be_cut_short_enough_are_an_error(self, server: LocalEndpoints, embedding: Embedding) -> None:
        server.reply(status=400, body={"error": {"message": "input is too long"}}, times=100)

        with pytest.raises(ContextOverflowError):
            embedding(["a" * 1000], truncate=True)
        assert len(server.requests) < 30

    def test_position_counts_from_the_first_text_of_an_iterator(self, server: LocalEndpoints) -> None:
        options = EmbeddingOptions(api_key=server.api_key, base_url=server.base_url, max_concurrency=1)

        def planned(texts: list[str], start: int) -> Any:
            return options._ovhcloud_run(texts, model=MODEL, size=2, start=start)

        with pytest.raises(EmbeddingsInterruptedError, match="Text number 3,") as caught:
            list(embed_iter(iter(["a", "b", "c", self.LONG]), options, model=MODEL, size=2, planned=planned))
        assert caught.value.remaining == {3: self.LONG}


def test_empty_text_has_the_vector_of_a_blank(server: LocalEndpoints, embedding: Embedding) -> None:
    vectors = embedding(["", "a", " "])

    assert server.requests[-1].json["input"] == [" ", "a", " "]
    assert vectors[0] == vectors[2]


def test_empty_text_with_an_instruction_is_the_instruction(server: LocalEndpoints, embedding: Embedding) -> None:
    embedding([""], document_instruction="passage: ")

    assert server.requests[-1].json["input"] == ["passage: "]


class TestFailures:
    def test_what_is_done_and_what_is_left_are_the_whole(
        self, server: LocalEndpoints, embedding: Embedding, right: Any
    ) -> None:
        texts = [f"text {at}" for at in range(25 * 10)]
        server.reply()
        server.reply()
        server.reply(status=500)

        with pytest.raises(EmbeddingsInterruptedError) as caught:
            embedding(texts, max_concurrency=1)

        error, expected = caught.value, right(texts)
        assert error.vectors == {at: expected[at] for at in range(50)}
        assert error.remaining == {at: texts[at] for at in range(50, 250)}
        rest = embedding(list(error.remaining.values()))
        assert [*error.vectors.values(), *rest] == expected

    def test_nobody_waits_for_a_limiter_when_another_has_failed(
        self, server: LocalEndpoints, embedding: Embedding
    ) -> None:
        server.reply(status=401, body={"message": "revoked"})
        waits: list[float] = []

        def acquire() -> None:
            waits.append(time.monotonic())
            threading.Event().wait(0.1)

        with pytest.raises(AuthenticationError):
            embedding(TEXTS * 10, acquire=acquire)

        assert len(waits) <= 3
        assert len(server.requests) <= 2

    def test_nobody_tries_again_when_another_has_failed(self, server: LocalEndpoints, embedding: Embedding) -> None:
        server.reply(status=503, headers={"Retry-After": "8"}, times=3)
        server.reply(status=401, until=lambda: len(server.requests) == 4)
        began = time.monotonic()

        with pytest.raises(OVHCloudError) as caught:
            embedding(TEXTS * 10, max_concurrency=4, max_retries=5)

        assert isinstance(caught.value, AuthenticationError)
        assert time.monotonic() - began < 4
        assert len(server.requests) == 4

    def test_a_limiter_that_fails_ends_the_run(self, server: LocalEndpoints, embedding: Embedding) -> None:
        def acquire() -> None:
            raise KeyError("bucket")

        with pytest.raises(KeyError, match="bucket"):
            embedding(TEXTS, acquire=acquire)
        assert server.requests == []


class TestIterators:
    @pytest.fixture
    def options(self, server: LocalEndpoints) -> EmbeddingOptions:
        return EmbeddingOptions(api_key=server.api_key, base_url=server.base_url, max_concurrency=2, max_retries=0)

    @staticmethod
    def planned(options: EmbeddingOptions) -> Any:
        return lambda texts, start: options._ovhcloud_run(texts, model=MODEL, size=25, start=start)

    def test_that_break_lose_nothing_of_what_they_have_given(
        self, server: LocalEndpoints, options: EmbeddingOptions
    ) -> None:
        def texts() -> Iterator[str]:
            yield from TEXTS
            raise KeyError("line 61")

        done: list[list[float]] = []
        with pytest.raises(KeyError, match="line 61"):
            done.extend(embed_iter(texts(), options, model=MODEL, size=25, planned=self.planned(options)))
        assert len(done) == 60

    async def test_that_break_asynchronously_do_neither(
        self, server: LocalEndpoints, options: EmbeddingOptions
    ) -> None:
        async def texts() -> Any:
            for text in TEXTS:
                yield text
            raise KeyError("line 61")

        done: list[list[float]] = []

        async def read() -> None:
            async for vector in aembed_iter(texts(), options, model=MODEL, size=25, planned=self.planned(options)):
                done.append(vector)  # noqa: PERF401 - so that they stay when it raises

        with pytest.raises(KeyError, match="line 61"):
            await read()
        assert len(done) == 60

    @pytest.mark.parametrize("wrong", ["one text", 5, None])
    def test_are_no_single_text(self, options: EmbeddingOptions, wrong: Any) -> None:
        with pytest.raises(TypeError):
            list(embed_iter(wrong, options, model=MODEL, size=25, planned=self.planned(options)))

    def test_read_no_further_than_needed(self, server: LocalEndpoints, options: EmbeddingOptions) -> None:
        read = []

        def texts() -> Iterator[str]:
            for text in TEXTS * 10:
                read.append(text)
                yield text

        found = embed_iter(texts(), options, model=MODEL, size=25, planned=self.planned(options))
        next(found)

        assert len(read) == 50

    @pytest.mark.timeout(60)
    def test_hold_little_however_many_there_are(self, options: EmbeddingOptions) -> None:
        """Each vector alone takes 32 KB, so that 800 that were held would take 26 MB."""
        with LocalEndpoints(requests_per_minute=10**6) as server:
            options.base_url = server.base_url
            peaks = []
            for count in (100, 800):
                found = embed_iter(
                    (f"text {at}" for at in range(count)), options, model=MODEL, size=25, planned=self.planned(options)
                )
                tracemalloc.start()
                assert sum(1 for _ in found) == count
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
                server.reset()

        assert peaks[1] < peaks[0] + 4_000_000

    async def test_may_be_asynchronous(self, server: LocalEndpoints, options: EmbeddingOptions) -> None:
        async def texts() -> Any:
            for text in TEXTS:
                yield text

        found = aembed_iter(texts(), options, model=MODEL, size=25, planned=self.planned(options))

        assert len([vector async for vector in found]) == 60

    def test_interrupted_say_positions_in_the_whole(self, server: LocalEndpoints, options: EmbeddingOptions) -> None:
        server.reply()
        server.reply()
        server.reply(status=500, times=2)
        found = embed_iter(iter(TEXTS * 4), options, model=MODEL, size=25, planned=self.planned(options))
        done: list[list[float]] = []

        with pytest.raises(EmbeddingsInterruptedError) as caught:
            done.extend(found)

        assert len(done) == 50
        assert set(caught.value.remaining) == set(range(50, 100))
        assert isinstance(caught.value.__cause__, InternalServerError)
