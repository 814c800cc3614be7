"""Sends the requests of an embedding run, several at once: with threads, or with tasks.

A driver: what is sent and what failing means is `_embeddings.Run`'s to say.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice

from ovhcloud_ai_endpoints._embeddings import EmbeddingUsage, Run, batch_size, embedding_body
from ovhcloud_ai_endpoints._options import EmbeddingOptions
from ovhcloud_ai_endpoints._transport import AsyncClient, Client

log = logging.getLogger("ovhcloud_ai_endpoints")


def embed(
    texts: Sequence[str],
    options: EmbeddingOptions,
    *,
    model: str,
    instruction: str | None = None,
    start: int | None = None,
) -> list[list[float]]:
    """A vector for each text, in order.

    Args:
        instruction: put before each text that is sent.
        start: position of the first text, if they are a part of a longer input.

    Raises:
        EmbeddingsInterruptedError: it failed on the way; the error has what is done and what is left.
        OVHCloudError: nothing could be embedded.
    """
    client = Client(options.ovhcloud_settings)
    with _progress(len(texts), shown=options.show_progress) as on_progress:
        run = _run(texts, options, model, instruction or "", on_progress, start)
        workers = min(options.max_concurrency, len(run.batches))
        if workers < 2:
            _work(client, run)
        else:
            with ThreadPoolExecutor(workers, "ovhcloud-embeddings") as pool, _stopping(run):
                wait([pool.submit(_work, client, run) for _ in range(workers)])
    return _vectors(run, options, model)


async def aembed(
    texts: Sequence[str],
    options: EmbeddingOptions,
    *,
    model: str,
    instruction: str | None = None,
    start: int | None = None,
) -> list[list[float]]:
    """The same as `embed`, to be awaited."""
    client = AsyncClient(options.ovhcloud_settings)
    with _progress(len(texts), shown=options.show_progress) as on_progress:
        run = _run(texts, options, model, instruction or "", on_progress, start)
        workers = min(options.max_concurrency, len(run.batches))
        with _stopping(run):
            await asyncio.gather(*(_awork(client, run) for _ in range(workers)))
    return _vectors(run, options, model)


def embed_iter(texts: Iterable[str], options: EmbeddingOptions, *, model: str) -> Iterator[list[float]]:
    """The vectors of texts that are read as they are needed, a few requests' worth at a time."""
    start, rest = 0, iter(texts)
    while piece := list(islice(rest, _piece(options, model))):
        yield from embed(piece, options, model=model, instruction=options.document_instruction, start=start)
        start += len(piece)


async def aembed_iter(
    texts: Iterable[str] | AsyncIterable[str], options: EmbeddingOptions, *, model: str
) -> AsyncIterator[list[float]]:
    """The same as `embed_iter`, for `async for`; the texts may come asynchronously too."""
    start, rest = 0, _asynchronous(texts)
    while piece := await _next_piece(rest, _piece(options, model)):
        instruction = options.document_instruction
        for vector in await aembed(piece, options, model=model, instruction=instruction, start=start):
            yield vector
        start += len(piece)


def _piece(options: EmbeddingOptions, model: str) -> int:
    return batch_size(options.batch_size, model) * options.max_concurrency


async def _asynchronous(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text


async def _next_piece(texts: AsyncIterator[str], count: int) -> list[str]:
    piece: list[str] = []
    async for text in texts:
        piece.append(text)
        if len(piece) == count:
            break
    return piece


def _work(client: Client, run: Run) -> None:
    try:
        while (work := run.next_batch()) is not None:
            batch, body = work
            run.take(batch, *client.embeddings(body, count=len(batch.texts)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other workers must stop, and `result` raises it
        run.fail(error)


async def _awork(client: AsyncClient, run: Run) -> None:
    try:
        while (work := run.next_batch()) is not None:
            batch, body = work
            run.take(batch, *await client.embeddings(body, count=len(batch.texts)))
    except Exception as error:  # noqa: BLE001 - as above
        run.fail(error)


def _run(
    texts: Sequence[str],
    options: EmbeddingOptions,
    model: str,
    instruction: str,
    on_progress: Callable[[int], object] | None,
    start: int | None,
) -> Run:
    body = partial(
        embedding_body,
        model=model,
        base_url=options.base_url,
        instruction=instruction,
        dimensions=options.dimensions,
        extra_body=options.extra_body,
    )
    size = batch_size(options.batch_size, model)
    return Run(texts, size=size, instruction=instruction, body=body, on_progress=on_progress, start=start)


def _vectors(run: Run, options: EmbeddingOptions, model: str) -> list[list[float]]:
    vectors = run.result()
    if vectors:
        usage = EmbeddingUsage(model, len(vectors), len(run.batches), run.tokens)
        tokens = usage.tokens or "unknown"
        log.info("%d text(s) embedded with %d request(s), %s tokens", usage.texts, usage.requests, tokens)
        if options.on_usage:
            options.on_usage(usage)
    return vectors


@contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """After Ctrl-C or a cancellation no request is begun; those that threads have sent are waited for."""
    try:
        yield
    except BaseException as error:
        run.fail(error)
        raise


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], object] | None]:
    if not shown:
        yield None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415 - only who wants a progress bar needs it

    with tqdm(total=total, unit="text") as bar:
        yield bar.update
