"""Splits texts into requests within the service's limits, and puts their vectors back in order, losing none.

No I/O: `EmbeddingRun` hands out the next request and takes its answer; `workers` sends it.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from json.encoder import encode_basestring
from typing import Any

from ovhcloud_ai_endpoints._embeddings.capacity import Capacity, allowed, begin_run, learn, longest, share
from ovhcloud_ai_endpoints._embeddings.options import BATCH_SIZE, EncodingFormat
from ovhcloud_ai_endpoints._embeddings.request import (
    EmbeddingRequest,
    Vectors,
    batch_size,
    embedding_request,
)
from ovhcloud_ai_endpoints._errors import (
    BadRequestError,
    ContextOverflowError,
    EmbeddingsInterruptedError,
    InvalidResponseError,
    OVHCloudError,
    PayloadTooLargeError,
)
from ovhcloud_ai_endpoints._http import Waiting
from ovhcloud_ai_endpoints._notices import say_replaced
from ovhcloud_ai_endpoints._surrogates import with_lone_surrogates
from ovhcloud_ai_endpoints._values import EmbeddingUsage

MOST_CUTS = 12  # of one text
MOST_REFUSALS = 8  # in a run without a vector, after which it is not the fault of one text

log = logging.getLogger("ovhcloud_ai_endpoints")


@dataclass(frozen=True, slots=True)
class Batch:
    """The texts of one request, and their positions in the whole input."""

    positions: tuple[int, ...]
    texts: tuple[str, ...]


def batches(
    texts: Sequence[str], *, size: int, instruction: str = "", known: Collection[int] = frozenset(), start: int = 0
) -> Iterator[Batch]:
    """Packs the texts, in order, into batches within the limits on number and bytes.

    A text that is too large by itself gets its own batch, so that the service refuses it in its own words.

    Args:
        known: positions of texts to leave out.
        start: number of the first text, for error messages.

    Raises:
        TypeError: an item is not a string, but for example a list of tokens.
    """
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"texts must be strings; texts[{start + position}] is of type {kind}")
    left = ((position, text) for position, text in enumerate(texts) if position not in known)
    return _packed(left, Capacity(size), instruction)


def _packed(texts: Iterable[tuple[int, str]], capacity: Capacity, instruction: str) -> Iterator[Batch]:
    batch: dict[int, str] = {}
    weight = 0
    before = _weight(instruction)
    for position, text in texts:
        own = before + _weight(text)
        if batch and (len(batch) >= capacity.texts or weight + own > capacity.bytes):
            yield Batch(tuple(batch), tuple(batch.values()))
            batch, weight = {}, 0
        batch[position] = text
        weight += own
    if batch:
        yield Batch(tuple(batch), tuple(batch.values()))


def _weight(text: str) -> int:
    return len(encode_basestring(text).encode("utf-8", "surrogatepass")) + 1


class EmbeddingRun:
    """The state of embedding one list of texts, shared by several workers.

    Args:
        size: texts in a request, at most; the model's own limit may be lower.
        concurrency: requests at once, at most.
        instruction: put before each text that is sent.
        truncate: whether to cut a text that is too long instead of raising.
        start: position of the first text in the whole input, if this is only a part of it; errors then name it.
        known: vectors already at hand, by position; their texts are not sent.
        goes_on: whether to go on after an error, and keep it in `errors`; by default, each ends the run.

    Attributes:
        concurrency: how many requests may run at once.
        requests: how many requests there are in the beginning.
        workers: how many workers to start.
        total: number of texts.
        known: number of vectors that were given.
        vectors: all vectors so far, by position.
        errors: why a text has no vector, by position.
        on_progress: called after each request with the number of texts that it embedded.
    """

    def __init__(
        self,
        texts: Sequence[str],
        *,
        model: str,
        base_url: str,
        size: int = BATCH_SIZE,
        concurrency: int = 1,
        instruction: str = "",
        dimensions: int | None = None,
        encoding_format: EncodingFormat = "auto",
        extra_body: Mapping[str, Any] | None = None,
        truncate: bool = False,
        start: int | None = None,
        known: Mapping[int, list[float]] | None = None,
        goes_on: Callable[[OVHCloudError], bool] = lambda _: False,
    ) -> None:
        self.vectors = dict(known or {})
        self.errors: dict[int, OVHCloudError] = {}
        self._goes_on, self._refusals = goes_on, 0
        if isinstance(texts, str) or not hasattr(texts, "__len__"):
            kind = type(texts).__name__
            hint = "For one text, pass [text]" if isinstance(texts, str) else "LangChain's embed_iter takes iterators"
            raise TypeError(f"texts must be a list of strings; got a {kind}. {hint}")
        self.total, self.known = len(texts), len(self.vectors)
        say_replaced("texts", [place + (start or 0) for place in with_lone_surrogates(texts)])
        self._server = (base_url, model)
        self._instruction = instruction
        self._size = batch_size(size, model)
        self._truncate = truncate
        self._pending = deque(
            batches(texts, size=self._size, instruction=instruction, known=self.vectors.keys(), start=start or 0)
        )
        if (capacity := begin_run(self._server)) is not None:
            self._pack_again(capacity)
        self._requests = 0
        self.concurrency, self.requests = concurrency, len(self._pending)
        self.workers = min(concurrency, self.requests)
        self.on_progress: Callable[[int], object] | None = None
        self._request = partial(
            embedding_request,
            model=model,
            base_url=base_url,
            instruction=instruction,
            dimensions=dimensions,
            encoding_format=encoding_format,
            extra_body=extra_body,
        )
        self._model, self._dimensions = model, dimensions
        self._tokens = 0
        self._cuts: Counter[int] = Counter()  # by position, of texts that were too long
        self._texts = texts
        self._start = start
        self._error: BaseException | None = None
        self._waiting: Waiting | None = None
        self._lock = threading.Lock()

    @property
    def usage(self) -> EmbeddingUsage:
        """Requests made so far, and the texts and tokens that are done."""
        return EmbeddingUsage(self._model, len(self.vectors) - self.known, self._requests, self._tokens)

    def next_batch(self) -> tuple[Batch, EmbeddingRequest] | None:
        """The next pending batch and its request; None if none is left, or after a request has failed."""
        with self._lock:
            if self._error or not self._pending:
                return None
            batch = self._pending.popleft()
            self._requests += 1
        return batch, self._request(batch.texts)

    def refused(self, batch: Batch, error: OVHCloudError) -> None:
        """Puts a batch that was refused for its size back in smaller ones, and remembers the limit.

        Raises:
            OVHCloudError: the given error, if a smaller request would not help, and the run does not go on after it; it
                names a text that is too long.
        """
        try:
            self._split(batch, error)
        except OVHCloudError as final:
            if not self._goes_on(final):
                raise
            with self._lock:
                self.errors |= dict.fromkeys(batch.positions, final)

    def _split(self, batch: Batch, error: OVHCloudError) -> None:
        is_too_long = isinstance(error, ContextOverflowError | PayloadTooLargeError)
        goes_on = isinstance(error, BadRequestError) and self._goes_on(error)
        count = len(batch.texts)
        with self._lock:
            self._refusals += 1
            may_be_of_one = is_too_long or (goes_on and (self.vectors or self._refusals < MOST_REFUSALS))
            smaller = allowed(error, count, sum(map(_weight, batch.texts))) if count > 1 else None
            if smaller is not None:
                self._learn(smaller, batch)
            elif count > 1 and may_be_of_one:
                half = count // 2
                parts = (slice(half), slice(half, None))
                self._pending.extendleft(Batch(batch.positions[part], batch.texts[part]) for part in reversed(parts))
            elif is_too_long:
                self._pending.appendleft(Batch(batch.positions, (self._shorter(batch, error),)))
            else:
                raise error

    def _learn(self, capacity: Capacity, batch: Batch) -> None:
        most = learn(self._server, capacity)
        shown = f"{min(most.texts, self._size)} texts and {most.bytes:,} bytes"
        log.warning("A request to %s was refused for its size; requests now hold at most %s", self._model, shown)
        self._pending.appendleft(batch)
        self._pack_again(most)

    def _pack_again(self, most: Capacity) -> None:
        capacity = Capacity(min(most.texts, self._size), most.bytes)
        texts = [pair for batch in self._pending for pair in zip(batch.positions, batch.texts, strict=True)]
        self._pending = deque(_packed(texts, capacity, self._instruction))

    def _shorter(self, batch: Batch, error: OVHCloudError) -> str:
        """The beginning of a text that was refused as too long.

        Raises:
            OVHCloudError: the text must not be cut, or cutting it has not helped.
        """
        (text,), place = batch.texts, batch.positions[0]
        position = (self._start or 0) + place
        length = min(int(len(text) * share(error)), longest(error))
        if not self._truncate or not length or self._cuts[place] == MOST_CUTS:
            hint = "Split it, or set truncate=True to embed its beginning."
            if self._truncate:
                hint = f"Cutting it {self._cuts[place]} times has not helped."
            name = "The text" if self.total == 1 and self._start is None else f"Text number {position}"
            error.message = f"{name}, of {len(text):,} characters, is too long: {error.message} {hint}"
            raise error
        self._cuts[place] += 1
        log.warning("Text number %d was cut from %d to %d characters: %s", position, len(text), length, error.message)
        return text[:length]

    def take(self, batch: Batch, answer: Vectors) -> dict[int, list[float]]:
        """Keeps the vectors of an answer, and returns them by position.

        Raises:
            InvalidResponseError: they are not as wide as requested, or as those before.
        """
        found = answer.vectors
        with self._lock:
            width = len(next(iter(self.vectors.values()), found[0]))
            if self._dimensions is not None and len(found[0]) != self._dimensions:
                asked = f"{self._dimensions} were asked for"
                raise InvalidResponseError(f"The vectors have {len(found[0])} dimensions, though {asked}.")
            if len(found[0]) != width:
                raise InvalidResponseError(f"The vectors have {len(found[0])} dimensions; those before had {width}.")
            new = dict(zip(batch.positions, found, strict=True))
            self.vectors |= new
            self._tokens += answer.tokens
            if self.on_progress:
                self.on_progress(len(batch.texts))
        return new

    def fail(self, error: BaseException) -> None:
        """Stops the run: no further request starts. If several fail, the first error counts."""
        with self._lock:
            self._error = self._error or error

    def wait(self, waiting: Waiting) -> None:
        """Takes note that the vectors of a batch come later; the run goes on with the others."""
        self._waiting = waiting

    def result(self) -> list[list[float]]:
        """The vectors, in the order of the texts, but for those that have an error.

        Raises:
            Waiting: some come later.
            EmbeddingsInterruptedError: a request failed after others had succeeded.
            OVHCloudError: a request failed before any other had succeeded.
        """
        is_part = self._start is not None
        if isinstance(self._error, Exception) and (len(self.vectors) > self.known or is_part):
            raise self._interrupted(self._error) from self._error
        if (problem := self._error or self._waiting) is not None:
            raise problem
        return [self.vectors[position] for position in range(len(self._texts)) if position not in self.errors]

    def _interrupted(self, error: Exception) -> EmbeddingsInterruptedError:
        start = self._start or 0
        whole = f"{len(self._texts)} texts" + ("" if self._start is None else f" from number {start} on")
        said = error.message if isinstance(error, OVHCloudError) else repr(error)
        ours = EmbeddingsInterruptedError(
            f"Embedded {len(self.vectors)} of {whole}, then failed: {said} "
            "The vectors are in this error's .vectors; to go on, embed the texts in its .remaining.",
            vectors={start + place: vector for place, vector in self.vectors.items()},
            remaining={start + place: text for place, text in enumerate(self._texts) if place not in self.vectors},
        )
        ours.usage = self.usage
        if isinstance(error, OVHCloudError):
            ours.status, ours.request_id, ours.retry_after = error.status, error.request_id, error.retry_after
            ours.attempts, ours.waited = error.attempts, error.waited
        return ours
