"""Sends the requests of an embedding run, several at once: with threads, or with tasks.

A driver: `run.EmbeddingRun` decides what to send, and what a failure means.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions
from ovhcloud_ai_endpoints._embeddings.request import batch_size
from ovhcloud_ai_endpoints._embeddings.run import EmbeddingRun
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import AsyncClient, Client, Settings, Waiting, has_sender, running_loop

log = logging.getLogger("ovhcloud_ai_endpoints")
T = TypeVar("T")
Planned = Callable[
    [list[str], int], EmbeddingRun
]  # makes the run for a piece of the input, given the position of its first text


def embed(
    run: EmbeddingRun,
    options: EmbeddingOptions,
    *,
    show_progress: bool = False,
    acquire: Callable[[], object] | None = None,
    keep: Callable[[Mapping[int, list[float]]], object] | None = None,
) -> list[list[float]]:
    """A vector for each text, in order.

    Args:
        keep: called with the vectors of each request, by position, as soon as they arrive; from several threads.
        show_progress: whether to show a progress bar even if the options don't ask for one.
        acquire: called before each request, to wait until it may be sent.

    Raises:
        EmbeddingsInterruptedError: it failed midway; the error has the finished vectors and the remaining texts.
        OVHCloudError: nothing could be embedded.
    """
    acquire = None if has_sender() else acquire  # of a limit that batch jobs don't count against
    abandoned, turn = threading.Event(), threading.Lock()
    client = Client(_settings(options, run), abandoned)
    work = partial(_work, client, run, abandoned, turn, acquire, keep)
    with _progress(run, shown=options.show_progress or show_progress):
        if run.workers < 2 or has_sender():  # nobody is waited for who answers in a later batch
            work()
        else:
            with _stopping(run, abandoned):
                _in_threads(run.workers, work)
    return _vectors(run, options)


async def aembed(
    run: EmbeddingRun,
    options: EmbeddingOptions,
    *,
    show_progress: bool = False,
    acquire: Callable[[], Awaitable[object]] | None = None,
    keep: Callable[[Mapping[int, list[float]]], Awaitable[object]] | None = None,
) -> list[list[float]]:
    """The same as `embed`, to be awaited."""
    loop = running_loop()
    acquire = None if has_sender() else acquire
    abandoned, turn = asyncio.Event(), asyncio.Lock()
    client = AsyncClient(_settings(options, run), abandoned)
    with _progress(run, shown=options.show_progress or show_progress), _stopping(run, abandoned):
        count = run.requests if has_sender() else run.workers
        tasks = [loop.create_task(_awork(client, run, abandoned, turn, acquire, keep)) for _ in range(count)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
    return _vectors(run, options)


def embed_iter(
    texts: Iterable[str], options: EmbeddingOptions, *, model: str, size: int, planned: Planned
) -> Iterator[list[float]]:
    """Yields the vectors of texts that are read as needed, a few requests' worth at a time.

    Args:
        size: texts in a request, at most; the model's own limit may be lower.
    """
    start, rest, broken = 0, iter(_not_one(texts)), None
    while not broken:
        piece: list[str] = []
        try:
            piece.extend(islice(rest, batch_size(size, model) * options.max_concurrency))
        except Exception as error:  # noqa: BLE001 - whatever it is, the texts read before it must not be lost
            broken = error
        if not piece:
            break
        yield from embed(planned(piece, start), options)
        start += len(piece)
    if broken:
        raise broken


async def aembed_iter(
    texts: Iterable[str] | AsyncIterable[str], options: EmbeddingOptions, *, model: str, size: int, planned: Planned
) -> AsyncIterator[list[float]]:
    """The same as `embed_iter`, for `async for`; the texts may come asynchronously too."""
    start, rest, broken = 0, _asynchronous(_not_one(texts)), None
    while not broken:
        piece: list[str] = []
        try:
            await _read(rest, piece, batch_size(size, model) * options.max_concurrency)
        except Exception as error:  # noqa: BLE001 - as above
            broken = error
        if not piece:
            break
        for vector in await aembed(planned(piece, start), options):
            yield vector
        start += len(piece)
    if broken:
        raise broken


def _in_threads(count: int, work: Callable[[], None]) -> None:
    """Runs `work` in this many threads. After Ctrl-C nobody waits for them; each ends after its current request."""
    threads = [
        threading.Thread(target=copy_context().run, args=(work,), name="ovhcloud-embeddings", daemon=True)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _not_one(texts: T) -> T:
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings; got a single str")
    return texts


async def _asynchronous(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text


async def _read(texts: AsyncIterator[str], piece: list[str], count: int) -> None:
    async for text in texts:
        piece.append(text)
        if len(piece) == count:
            break


def _work(
    client: Client,
    run: EmbeddingRun,
    abandoned: threading.Event,
    turn: threading.Lock,
    acquire: Callable[[], object] | None,
    keep: Callable[[Mapping[int, list[float]]], object] | None,
) -> None:
    try:
        while (work := run.next_batch()) is not None:
            batch, request = work
            with turn:  # one at a time, so that no worker still waits after another has failed
                if acquire and not abandoned.is_set():
                    acquire()
            if abandoned.is_set():
                return
            try:
                found = run.take(batch, client.send(request))
            except OVHCloudError as error:
                run.refused(batch, error)
                continue
            except Waiting as waiting:  # the other requests are to be written down, too
                run.wait(waiting)
                continue
            if keep:
                keep(found)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other workers must stop, and `result` raises it
        run.fail(error)
        abandoned.set()


async def _awork(
    client: AsyncClient,
    run: EmbeddingRun,
    abandoned: asyncio.Event,
    turn: asyncio.Lock,
    acquire: Callable[[], Awaitable[object]] | None,
    keep: Callable[[Mapping[int, list[float]]], Awaitable[object]] | None,
) -> None:
    try:
        while (work := run.next_batch()) is not None:
            batch, request = work
            async with turn:
                if acquire and not abandoned.is_set():
                    await acquire()
            if abandoned.is_set():
                return
            try:
                found = run.take(batch, await client.send(request))
            except OVHCloudError as error:
                run.refused(batch, error)
                continue
            except Waiting as waiting:  # the other requests are to be written down, too
                run.wait(waiting)
                continue
            if keep:
                await keep(found)
    except BaseException as error:
        run.fail(error)
        abandoned.set()
        if not isinstance(error, Exception):
            raise


def _settings(options: EmbeddingOptions, run: EmbeddingRun) -> Settings:
    return replace(options._ovhcloud_settings, max_concurrency=run.concurrency)  # noqa: SLF001 - this package's own


def _vectors(run: EmbeddingRun, options: EmbeddingOptions) -> list[list[float]]:
    vectors, usage = run.result(), run.usage
    if usage.texts:
        tokens = usage.tokens or "unknown"
        log.info("%d text(s) embedded with %d request(s), %s tokens", usage.texts, usage.requests, tokens)
        if options.on_usage:
            options.on_usage(usage)
    return vectors


@contextmanager
def _stopping(run: EmbeddingRun, abandoned: threading.Event | asyncio.Event) -> Iterator[None]:
    """Stops the run on Ctrl-C or a cancellation: no request is started or retried."""
    try:
        yield
    except BaseException as error:
        run.fail(error)
        abandoned.set()
        raise


@contextmanager
def _progress(run: EmbeddingRun, *, shown: bool) -> Iterator[None]:
    if not shown:
        yield
        return
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - only a progress bar needs it
    except ModuleNotFoundError as error:
        raise ImportError("show_progress=True needs tqdm: pip install tqdm") from error

    with tqdm(total=run.total, initial=run.known, unit="text", desc="Embedding") as bar:
        run.on_progress = bar.update
        yield
