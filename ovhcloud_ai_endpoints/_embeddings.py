"""Texts into requests within the service's limits, answers back into vectors: in order, counted, nothing lost.

No I/O: `Run` says which request is next and takes what was answered; `_embedding_runs.py` sends them.
"""

import json
import math
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ovhcloud_ai_endpoints._errors import (
    EmbeddingsInterruptedError,
    InvalidResponseError,
    OVHCloudError,
    event_error,
    invalid_response,
)
from ovhcloud_ai_endpoints._models import model as model_facts
from ovhcloud_ai_endpoints._models import wire_name
from ovhcloud_ai_endpoints._wire import Body

PATH = "/embeddings"
BATCH_SIZE = 25  # which all three models of the catalogue have as their limit
MAX_BATCH_BYTES = 1_900_000  # the gateway takes 2 MB (OVHcloud's capabilities guide); this leaves room for the rest


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """What a call for embeddings took.

    Attributes:
        tokens: as the service counted them; 0 if it did not say.
    """

    model: str
    texts: int
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The texts of one request, and their positions in the whole input."""

    positions: tuple[int, ...]
    texts: tuple[str, ...]


def batches(
    texts: Sequence[str], *, size: int, instruction: str = "", known: Collection[int] = frozenset()
) -> Iterator[Batch]:
    """The texts, in order, in batches that the service takes: by number and by bytes.

    A text that is too large alone is a batch of its own, for the service to refuse with its own words.

    Args:
        known: positions of texts that are left out.

    Raises:
        TypeError: something that is not a text, such as a list of tokens.
    """
    batch: dict[int, str] = {}
    weight = 0
    before = _weight(instruction)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"The service embeds texts; number {position} is of type {type(text).__name__}.")
        if position in known:
            continue
        own = before + _weight(text)
        if batch and (len(batch) == size or weight + own > MAX_BATCH_BYTES):
            yield Batch(tuple(batch), tuple(batch.values()))
            batch, weight = {}, 0
        batch[position] = text
        weight += own
    if batch:
        yield Batch(tuple(batch), tuple(batch.values()))


def _weight(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) + 1


def batch_size(asked: int, model: str) -> int:
    """How many texts to send in one request: what was asked for, but no more than the model is known to take."""
    return min(asked, model_facts(model).max_batch_size or asked)


def embedding_body(
    texts: Sequence[str],
    *,
    model: str,
    base_url: str,
    instruction: str = "",
    dimensions: int | None = None,
    extra_body: Mapping[str, Any] | None = None,
) -> Body:
    """The body of one request: strings, and floats back, which is the API's default form.

    Args:
        instruction: put before each text as it is.
    """
    body: Body = {"model": wire_name(model, base_url), "input": [instruction + text for text in texts]}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return body | dict(extra_body or {})


def read_vectors(body: Mapping[str, Any], raw: bytes, *, count: int) -> tuple[list[list[float]], int]:
    """The vectors of one answer, in the order of the texts, and how many tokens they took, 0 if it isn't said.

    Raises:
        OVHCloudError: the answer is an error in spite of its status.
        InvalidResponseError: there are too few, too many or doubled vectors, of different widths, or not of numbers.
    """
    if body.get("error"):
        raise event_error(body, body=raw)
    try:
        found = {item.get("index", place): item["embedding"] for place, item in enumerate(body["data"])}
        ordered = [_vector(found[place]) for place in range(count)]
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise invalid_response(f"The answer does not hold a vector for each of {count} texts", raw) from error
    if len(body["data"]) != count:
        raise invalid_response(f"The answer holds {len(body['data'])} vectors for {count} texts", raw)
    if len({len(vector) for vector in ordered}) != 1 or not ordered[0]:
        raise invalid_response("The vectors of the answer are empty or of different widths", raw)
    if not all(math.isfinite(number) for vector in ordered for number in vector):
        raise invalid_response("A vector of the answer holds a number that is not finite", raw)
    usage = body.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return ordered, tokens if isinstance(tokens, int) else 0


class Run:
    """One list of texts on its way to vectors, by several workers at once.

    Args:
        size: texts in a request, if the model is known to take as many.
        concurrency: requests at once, at most.
        instruction: put before each text that is sent.
        start: position of the first text in a longer input, if this is a part of one, so that an error must say where.
        known: vectors that there are already, by position.

    Attributes:
        batches: the requests that it takes.
        concurrency: how many of them may run at once.
        workers: how many of them are to run at once.
        total: number of texts.
        known: how many vectors there were already.
        vectors: all that there are so far, by position.
        on_progress: called with the number of texts that were embedded by a request.
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
        extra_body: Mapping[str, Any] | None = None,
        start: int | None = None,
        known: Mapping[int, list[float]] | None = None,
    ) -> None:
        self.vectors = dict(known or {})
        if isinstance(texts, str):
            raise TypeError("A list of texts is embedded; this is one text")
        self.total, self.known = len(texts), len(self.vectors)
        size = batch_size(size, model)
        self.batches = list(batches(texts, size=size, instruction=instruction, known=self.vectors.keys()))
        self.concurrency, self.workers = concurrency, min(concurrency, len(self.batches))
        self.on_progress: Callable[[int], object] | None = None
        self._body = partial(
            embedding_body,
            model=model,
            base_url=base_url,
            instruction=instruction,
            dimensions=dimensions,
            extra_body=extra_body,
        )
        self._model, self._dimensions = model, dimensions
        self._tokens = 0
        self._texts = texts
        self._start = start
        self._pending = iter(self.batches)
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    @property
    def usage(self) -> EmbeddingUsage:
        """What it takes: all its requests, and the texts and tokens that are done."""
        return EmbeddingUsage(self._model, len(self.vectors) - self.known, len(self.batches), self._tokens)

    def next_batch(self) -> tuple[Batch, Body] | None:
        """A batch that nobody works at, and its request; None when there is none, or when a request has failed."""
        with self._lock:
            batch = None if self._error else next(self._pending, None)
        return None if batch is None else (batch, self._body(batch.texts))

    def take(self, batch: Batch, found: Sequence[list[float]], tokens: int) -> dict[int, list[float]]:
        """Keeps the vectors of an answer, and gives them by position.

        Raises:
            InvalidResponseError: they are not as wide as those before.
        """
        with self._lock:
            width = len(next(iter(self.vectors.values()), found[0]))
            if self._dimensions is not None and len(found[0]) != self._dimensions:
                asked = f"{self._dimensions} were asked for"
                raise InvalidResponseError(f"The vectors are {len(found[0])} wide, though {asked}")
            if len(found[0]) != width:
                raise InvalidResponseError(f"The vectors are {len(found[0])} wide, those before were {width}")
            new = dict(zip(batch.positions, found, strict=True))
            self.vectors |= new
            self._tokens += tokens
            if self.on_progress:
                self.on_progress(len(batch.texts))
        return new

    def fail(self, error: BaseException) -> None:
        """Stops the run: requests on their way are waited for, no other is begun. The first error counts."""
        with self._lock:
            self._error = self._error or error

    def result(self) -> list[list[float]]:
        """The vectors, in the order of the texts.

        Raises:
            EmbeddingsInterruptedError: a request failed when others had succeeded.
            OVHCloudError: a request failed, and none had succeeded.
        """
        is_part = self._start is not None
        if isinstance(self._error, Exception) and (len(self.vectors) > self.known or is_part):
            raise self._interrupted(self._error) from self._error
        if self._error:
            raise self._error
        return [self.vectors[position] for position in range(len(self._texts))]

    def _interrupted(self, error: Exception) -> EmbeddingsInterruptedError:
        start = self._start or 0
        said = error.message if isinstance(error, OVHCloudError) else repr(error)
        ours = EmbeddingsInterruptedError(
            f"{len(self.vectors)} of {len(self._texts)} texts are embedded, then: {said} "
            "This error's vectors and remaining hold both; embed what remains to go on.",
            vectors={start + place: vector for place, vector in self.vectors.items()},
            remaining={start + place: text for place, text in enumerate(self._texts) if place not in self.vectors},
        )
        if isinstance(error, OVHCloudError):
            ours.status, ours.request_id, ours.retry_after = error.status, error.request_id, error.retry_after
            ours.attempts, ours.waited = error.attempts, error.waited
        return ours


def _vector(value: Any) -> list[float]:
    if not isinstance(value, list) or not set(map(type, value)) <= {int, float}:
        raise TypeError("a list of numbers was expected")
    return list(map(float, value))
