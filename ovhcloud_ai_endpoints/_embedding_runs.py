"""Sends the requests of an embedding run, several at once: with threads, or with tasks.

A driver: what is sent and what failing means is `_embeddings.Run`'s to say.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial

from ovhcloud_ai_endpoints._embeddings import PATH, Run, embedding_body
from ovhcloud_ai_endpoints._options import EmbeddingOptions
from ovhcloud_ai_endpoints._transport import AsyncClient, Client

log = logging.getLogger("ovhcloud_ai_endpoints")


def embed(texts: Sequence[str], options: EmbeddingOptions, *, model: str) -> Run:
    """The finished run over these texts.

    Raises:
        EmbeddingsInterruptedError: it failed on the way; the error has what is done and what is left.
        OVHCloudError: nothing could be embedded.
    """
    settings = options.ovhcloud_settings
    client = Client(settings)
    with _run(texts, options, model) as run:
        workers = min(settings.max_concurrency, len(run.batches))
        if workers < 2:
            _work(client, run)
        else:
            with ThreadPoolExecutor(workers, "ovhcloud-embeddings") as pool:
                wait([pool.submit(_work, client, run) for _ in range(workers)])
    return run


async def aembed(texts: Sequence[str], options: EmbeddingOptions, *, model: str) -> Run:
    """The same as `embed`, to be awaited."""
    settings = options.ovhcloud_settings
    client = AsyncClient(settings)
    with _run(texts, options, model) as run:
        workers = min(settings.max_concurrency, len(run.batches))
        await asyncio.gather(*(_awork(client, run) for _ in range(workers)))
    return run


def _work(client: Client, run: Run) -> None:
    while (work := run.next_batch()) is not None:
        batch, body = work
        try:
            answer, raw, _ = client.post(PATH, body)
            run.take(batch, answer, raw)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other workers must stop and `result` raises it
            run.fail(error)


async def _awork(client: AsyncClient, run: Run) -> None:
    while (work := run.next_batch()) is not None:
        batch, body = work
        try:
            answer, raw, _ = await client.post(PATH, body)
            run.take(batch, answer, raw)
        except Exception as error:  # noqa: BLE001 - as above
            run.fail(error)


@contextmanager
def _run(texts: Sequence[str], options: EmbeddingOptions, model: str) -> Iterator[Run]:
    body = partial(embedding_body, model=model, base_url=options.base_url, dimensions=options.dimensions)
    with _progress(len(texts), shown=options.show_progress) as on_progress:
        run = Run(texts, size=options.batch_size, body=body, on_progress=on_progress)
        try:
            yield run
        except BaseException as error:  # Ctrl-C and cancellation too: no request may be begun after them
            run.fail(error)
            raise
    log.info(
        "%d text(s) embedded with %d request(s), %s tokens",
        run.done,
        len(run.batches),
        run.usage.get("total_tokens", "?"),
    )


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], object] | None]:
    if not shown:
        yield None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415 - only who wants a progress bar needs it

    with tqdm(total=total, unit="text") as bar:
        yield bar.update
