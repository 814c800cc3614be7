"""Classes for `Dataset.map_batches` of Ray Data: vectors of texts, answers to prompts, and what a chain makes of rows.

    import ray
    from ovhcloud_ai_endpoints.ray import EmbedTexts

    ray.data.read_parquet("documents").map_batches(
        EmbedTexts, fn_constructor_kwargs={"model": "bge-m3"}, batch_size=200,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_parquet("vectors")

They take batches of any format, and return tables of Arrow with all columns of the rows and some more, whose types are
always the same. A row that fails has the reason in the column `error`, and the rows beside it are not lost. What would
fail for every row ends the run: a wrong key, an unknown model. The key is read from the environment of the workers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic_core import to_json

from ovhcloud_ai_endpoints._batches import body_of
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._chat import ChatOptions
from ovhcloud_ai_endpoints._embeddings import BATCH_SIZE, EmbeddingOptions, embed
from ovhcloud_ai_endpoints._errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    PermissionDeniedError,
)
from ovhcloud_ai_endpoints._http import (
    AsyncClient,
    Client,
    Content,
    Request,
    Settings,
    Whole,
    no_sender,
    set_sender,
)
from ovhcloud_ai_endpoints._wire import Usage, WireMessage

if TYPE_CHECKING:
    import pyarrow as pa

CONCURRENCY = 32  # calls of an actor at once
OF_EVERY_ROW = (AuthenticationError, PermissionDeniedError, NotFoundError)  # what would fail for each
OF_ONE_TEXT = (BadRequestError, PayloadTooLargeError)  # what may be the fault of one text in a request

__all__ = ["AnswerPrompts", "ApplyFunction", "EmbedTexts"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class _Row:
    """What a row gets.

    Attributes:
        value: a vector, an answer or an output.
        tokens: of what was asked, and of what was answered.
    """

    value: Any = None
    finish_reason: str | None = None
    error: str | None = None
    tokens: tuple[int, int] = (0, 0)


class EmbedTexts:
    """Adds the vector of a text to each row.

    The columns are `vector` (32-bit floats, a list of the model's width if the catalogue knows it), `error` (a text, or
    null) and `tokens` (those of a request are spread over its rows). A text that is null gets no vector and no error.

    Args:
        model: name of the embedding model.
        text: name of the column with the texts.
        vector: name for the column of vectors.
        error: name for the column of errors.
        tokens: name for the column of tokens.
        batch_size: texts in a request, at most.
        arguments: those of `OVHCloudEmbeddings`, such as `dimensions`, `max_concurrency` and `share_limits`.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called, since no row would have a vector.
        TypeError: when called, if a text is none.
        ValueError: when called, if there is no column of texts, or a column of ours is there already.
    """

    def __init__(
        self,
        model: str = "bge-m3",
        *,
        text: str = "text",
        vector: str = "vector",
        error: str = "error",
        tokens: str = "tokens",
        batch_size: int = BATCH_SIZE,
        **arguments: Any,
    ) -> None:
        self._model, self._text, self._columns, self._size = model, text, (vector, error, tokens), batch_size
        self._options = EmbeddingOptions(**arguments)
        self._width = self._options.dimensions or model_facts(model).dimensions

    def __call__(self, batch: Any) -> "pa.Table":
        """The rows with the columns; `batch` may be an Arrow table, a dict of arrays or a DataFrame."""
        import pyarrow as pa  # noqa: PLC0415 - not needed where such an object is only made

        table = _table(batch, self._columns)
        texts = _column(table, self._text).to_pylist()
        given = [(place, text) for place, text in enumerate(texts) if text is not None]
        parts = [given[start : start + self._size] for start in range(0, len(given), self._size)]
        rows = {place: _Row() for place in range(len(texts))}
        for part in _at_once(self._embedded, parts, self._options.max_concurrency):
            rows |= part
        vector = pa.list_(pa.float32(), self._width) if self._width else pa.list_(pa.float32())
        kinds = (vector, pa.string(), pa.int64())
        values = [(row.value, row.error, sum(row.tokens)) for row in rows.values()]
        return _with(table, dict(zip(self._columns, kinds, strict=True)), values)

    def _embedded(self, part: Sequence[tuple[int, str]]) -> dict[int, _Row]:
        places, texts = zip(*part, strict=True)
        run = self._options._ovhcloud_run(  # noqa: SLF001 - this package's own
            texts, model=self._model, size=self._size, instruction=self._options.document_instruction
        )
        try:
            vectors = embed(run, self._options)
        except OF_EVERY_ROW:
            raise
        except OVHCloudError as error:
            cause = error.__cause__ or error
            if isinstance(cause, OF_EVERY_ROW):
                raise
            if isinstance(cause, OF_ONE_TEXT) and len(part) > 1:
                half = len(part) // 2
                return self._embedded(part[:half]) | self._embedded(part[half:])
            return {place: _Row(error=_shown(cause)) for place in places}
        if self._width and len(vectors[0]) != self._width:
            have = f"The vectors have {len(vectors[0])} dimensions, though those of {self._model} have {self._width}"
            raise ValueError(have)
        share, rest = divmod(run.usage.tokens, len(texts))
        return {
            place: _Row(vector, tokens=(share + (at < rest), 0))
            for at, (place, vector) in enumerate(zip(places, vectors, strict=True))
        }


class AnswerPrompts:
    """Adds a chat model's answer to the prompt of each row.

    The columns are `answer` (a text), `finish_reason` ("length" if the answer was cut), `error` (a text, or null),
    `prompt_tokens` and `completion_tokens`. A prompt that is null gets no answer and no error.

    Args:
        model: name of the chat model.
        prompt: name of the column with the prompts.
        system: text of a system message before each prompt.
        answer: name for the column of answers; and so on.
        max_concurrency: calls of an actor at once.
        arguments: those of `ChatOVHCloud`, such as `temperature`, `max_tokens` and `share_limits`.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called, since no row would have an answer.
        ValueError: when called, if there is no column of prompts, or a column of ours is there already.
    """

    def __init__(
        self,
        model: str,
        *,
        prompt: str = "prompt",
        system: str | None = None,
        answer: str = "answer",
        finish_reason: str = "finish_reason",
        error: str = "error",
        prompt_tokens: str = "prompt_tokens",
        completion_tokens: str = "completion_tokens",
        max_concurrency: int = CONCURRENCY,
        **arguments: Any,
    ) -> None:
        self._prompt, self._concurrency = prompt, max_concurrency
        self._columns = (answer, finish_reason, error, prompt_tokens, completion_tokens)
        self._before: list[WireMessage] = [] if system is None else [{"role": "system", "content": system}]
        self._options = ChatOptions(model=model, max_concurrency=max_concurrency, **arguments)

    def __call__(self, batch: Any) -> "pa.Table":
        """The rows with the columns; `batch` may be an Arrow table, a dict of arrays or a DataFrame."""
        import pyarrow as pa  # noqa: PLC0415 - as above

        table = _table(batch, self._columns)
        prompts = _column(table, self._prompt).to_pylist()
        rows = list(_at_once(self._answered, prompts, self._concurrency))
        kinds = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64())
        values = [(row.value, row.finish_reason, row.error, *row.tokens) for row in rows]
        return _with(table, dict(zip(self._columns, kinds, strict=True)), values)

    def _answered(self, prompt: Any) -> _Row:
        if prompt is None:
            return _Row()
        try:
            request = self._options._ovhcloud_request(  # noqa: SLF001 - this package's own
                [*self._before, {"role": "user", "content": str(prompt)}], {}
            )
            answer = Client(self._options._ovhcloud_settings).send(request)  # noqa: SLF001 - as above
        except OF_EVERY_ROW:
            raise
        except OVHCloudError as error:
            return _Row(error=_shown(error))
        message = answer.messages[0]
        return _Row(message.text + message.refusal, message.finish_reason, tokens=_tokens(answer.usage))


class ApplyFunction:
    """Adds to each row what a function makes of it, such as a chain's `invoke`.

    The columns are `output` (a text as it is; anything else as JSON), `error` (a text, or null), `prompt_tokens` and
    `completion_tokens`, which are those of all calls of our classes that the function made.

    Args:
        function: takes an input and returns the output; it is called from several threads. Ray pickles it, and the key
            stays behind: objects that come from a pickle read it from the environment of the worker.
        input: name of the column whose value is the input; or several names, or None for all columns, for a dict of
            values. A single value that is null is not asked for.
        output: name for the column of outputs; and so on.
        max_concurrency: calls of the function at once, of each actor.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called, since no row would have an output.
        TypeError: the function is none, or must be awaited.
        ValueError: when called, if a column of the input is missing, or a column of ours is there already.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        input: str | Sequence[str] | None = "input",  # noqa: A002 - the opposite of output
        output: str = "output",
        error: str = "error",
        prompt_tokens: str = "prompt_tokens",
        completion_tokens: str = "completion_tokens",
        max_concurrency: int = CONCURRENCY,
    ) -> None:
        if not callable(function) or iscoroutinefunction(function):
            raise TypeError(f"function must be one that blocks, such as chain.invoke; got {type(function).__name__}")
        self._function, self._input, self._concurrency = function, input, max_concurrency
        self._columns = (output, error, prompt_tokens, completion_tokens)

    def __call__(self, batch: Any) -> "pa.Table":
        """The rows with the columns; `batch` may be an Arrow table, a dict of arrays or a DataFrame."""
        import pyarrow as pa  # noqa: PLC0415 - as above

        table = _table(batch, self._columns)
        if isinstance(self._input, str):
            inputs = _column(table, self._input).to_pylist()
        else:
            names = table.column_names if self._input is None else self._input
            columns = [_column(table, name).to_pylist() for name in names]
            inputs = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        rows = list(_at_once(self._applied, inputs, self._concurrency))
        kinds = (pa.string(), pa.string(), pa.int64(), pa.int64())
        return _with(
            table,
            dict(zip(self._columns, kinds, strict=True)),
            [(row.value, row.error, *row.tokens) for row in rows],
        )

    def _applied(self, value: Any) -> _Row:
        if value is None:
            return _Row()
        meter = _Meter()
        set_sender(meter)  # of this call's own context
        row = _Row()
        try:
            found = self._function(value)
            row.value = found if isinstance(found, str) else to_json(found).decode()
        except OF_EVERY_ROW:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the function raises, the rows beside this one must not be lost
            row.error = _shown(error)
        row.tokens = meter.tokens
        return row


class _Meter:
    """Has requests answered by the service itself, and counts the tokens that they took."""

    def __init__(self) -> None:
        self._usages: list[Usage] = []  # whose append needs no lock

    @property
    def tokens(self) -> tuple[int, int]:
        prompts, completions = zip((0, 0), *map(_tokens, self._usages), strict=True)
        return sum(prompts), sum(completions)

    def answer(self, settings: Settings, request: Request[Any]) -> Whole:
        with no_sender():
            return self._counted(Client(settings).send(_AsWhole(request)))

    async def aanswer(self, settings: Settings, request: Request[Any]) -> Whole:
        with no_sender():
            return self._counted(await AsyncClient(settings).send(_AsWhole(request)))

    def _counted(self, whole: Whole) -> Whole:
        self._usages.append(cast("Usage", whole.json_object().get("usage") or {}))
        return whole


class _AsWhole:
    """A request whose answer is read by someone else, and comes whole."""

    def __init__(self, request: Request[Any]) -> None:
        self.method, self.path, self.model = request.method, request.path, request.model
        self.may_repeat, self.largest = request.may_repeat, request.largest
        self._body = body_of(request)

    def content(self) -> Content:
        return Content(self._body, "application/json")

    def read(self, whole: Whole) -> Whole:
        return whole


def _tokens(usage: Usage | None) -> tuple[int, int]:
    counts = usage or {}
    return counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _at_once(function: Callable[[T], R], values: Iterable[T], count: int) -> Iterator[R]:
    """What the function returns for each value, in order, so many at once; each call has a context of its own.

    Once a call raises, no further one begins.
    """
    with ThreadPoolExecutor(count, thread_name_prefix="ovhcloud-ray") as pool:
        waiting = [pool.submit(copy_context().run, function, value) for value in values]
        try:
            for one in waiting:
                yield one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _table(batch: Any, added: Sequence[str]) -> "pa.Table":
    """The rows as an Arrow table, which has none of the columns that are to be added."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    if isinstance(batch, pa.Table):
        table = batch
    elif isinstance(batch, Mapping):  # of arrays, whose rows may be arrays
        table = pa.table({name: pa.array(list(values)) for name, values in batch.items()})
    else:
        table = pa.Table.from_pandas(batch, preserve_index=False)
    for name in added:
        if name in table.column_names:
            raise ValueError(f"The rows have a column {name!r} already; give ours another name")
    return table


def _column(table: "pa.Table", name: str) -> "pa.ChunkedArray":
    if name not in table.column_names:
        raise ValueError(f"The rows have no column {name!r}; their columns are {', '.join(table.column_names)}")
    return table[name]


def _with(table: "pa.Table", kinds: "Mapping[str, pa.DataType]", rows: Sequence[Sequence[Any]]) -> "pa.Table":
    """The table with more columns, of types that don't depend on the values, so that all blocks fit together."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    for at, (name, kind) in enumerate(kinds.items()):
        table = table.append_column(pa.field(name, kind), pa.array([row[at] for row in rows], kind))
    return table
