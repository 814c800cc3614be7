"""Classes for `Dataset.map_batches` of Ray Data: vectors of texts, answers to prompts, and what a chain makes of rows.

    import ray
    from ovhcloud_ai_endpoints.ray import EmbedTexts

    ray.data.read_parquet("documents").map_batches(
        EmbedTexts,
        fn_constructor_kwargs={"model": "bge-m3"},
        batch_size=200,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_parquet("vectors")

Each class takes a batch and returns an Arrow table: all columns of the rows, and new ones whose types never change. If
a row fails, its column `error` says why, and the other rows are kept. An error that every row would get, such as a
wrong key or an unknown model, is raised. The key is read from the environment of the workers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from inspect import isasyncgenfunction, isawaitable, iscoroutinefunction, isgenerator, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field
from pydantic_core import to_json

from ovhcloud_ai_endpoints._arrow import column_of, table_of, texts_of, with_column
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._chat import ChatOptions
from ovhcloud_ai_endpoints._embeddings import BATCH_SIZE, EmbeddingOptions, embed
from ovhcloud_ai_endpoints._errors import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    PermissionDeniedError,
)
from ovhcloud_ai_endpoints._http import Client
from ovhcloud_ai_endpoints._metering import metered
from ovhcloud_ai_endpoints._options import ConnectionOptions
from ovhcloud_ai_endpoints._wire import WireMessage

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AnswerPrompts", "ApplyFunction", "EmbedTexts"]

CALLS_AT_ONCE = 32  # of an actor
FATAL = (AuthenticationError, PermissionDeniedError, NotFoundError)  # every row would fail so
NO_KEY = (
    "There is no key in the environment of this worker: set OVHCLOUD_API_KEY where Ray's processes start. "
    'To ask without a key, twice a minute, or a server that wants none, pass api_key="".'
)

T = TypeVar("T")
R = TypeVar("R")
Row = dict[str, Any]  # values by column; what is missing is null


class EmbedTexts:
    """Adds the vector of a text to each row.

    Columns that are added:

    - vector: 32-bit floats, of the model's width if the catalogue knows it; null if the text is null, or has an error.
    - error: why there is no vector; null if all is well.
    - tokens: the service counts them by request, and here they are spread over the rows of a batch.

    Args:
        model: name of the embedding model.
        text_column: name of the column that holds the texts.
        rename: other names for the columns that are added, such as {"vector": "embedding"}.
        texts_per_request: how many at most; 25 is the service's limit.
        arguments: those that the embedding classes of both frameworks have, such as `dimensions`, `max_concurrency`,
            `max_retries` and `share_limits`.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called; no row would have a vector.
        BadRequestError: when called; all rows of the first batch were refused.
        InvalidResponseError: when called; the vectors are not as wide as the catalogue says.
        ValueError: there is no such column, it does not hold texts, or a column would be overwritten.
    """

    def __init__(
        self,
        model: str = "bge-m3",
        *,
        text_column: str = "text",
        rename: Mapping[str, str] | None = None,
        texts_per_request: int = BATCH_SIZE,
        **arguments: Any,
    ) -> None:
        self._input, self._size = text_column, _positive("texts_per_request", texts_per_request)
        self._options = _Embeddings(model=model, **arguments)
        self._width = self._options.dimensions or model_facts(self._options.model).dimensions
        self._added = _Added({"vector": "vector", "error": "string", "tokens": "int64"}, rename, self._width)

    def __call__(self, batch: Any) -> "pa.Table":
        table = self._added.checked(table_of(batch))
        _check_key(self._options)
        texts = texts_of(table, self._input)
        given = {place: text for place, text in enumerate(texts) if text is not None}
        places = list(given)
        rows: list[Row] = [{"tokens": 0} for _ in texts]
        run = self._options._ovhcloud_run(  # noqa: SLF001 - this package's own
            list(given.values()),
            model=self._options.model,
            size=self._size,
            instruction=self._options.document_instruction,
            goes_on=lambda error: self._added.has_succeeded or not isinstance(error, FATAL),
        )
        embed(run, self._options)
        share, rest = divmod(run.usage.tokens, max(len(run.vectors), 1))
        for at, (position, vector) in enumerate(run.vectors.items()):
            if self._width and len(vector) != self._width:
                problem = f"The vectors have {len(vector)} dimensions, though those of {self._options.model} have"
                raise InvalidResponseError(f"{problem} {self._width}.")
            rows[places[position]] = {"vector": vector, "tokens": share + (at < rest)}
        for position, error in run.errors.items():
            rows[places[position]]["error"] = error
        return self._added.to(table, rows)


class AnswerPrompts:
    """Adds a chat model's answer to the prompt of each row.

    Columns that are added:

    - answer: the text; null if the prompt is null, or has an error.
    - reasoning: what the model thought, if it shows that.
    - finish_reason: "stop", or "length" for an answer that was cut.
    - error: why there is no answer, such as a refusal; null if all is well.
    - prompt_tokens, completion_tokens: what was paid.

    Args:
        model: name of the chat model.
        prompt_column: name of the column that holds the prompts.
        system: text of a system message before each prompt.
        rename: other names for the columns that are added, such as {"answer": "summary"}.
        max_concurrency: calls of an actor at once.
        arguments: those that the chat classes of both frameworks have, such as `temperature`, `max_tokens` and
            `share_limits`.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called; no row would have an answer.
        BadRequestError: when called; all rows of the first batch were refused.
        ValueError: there is no such column, it does not hold texts, or a column would be overwritten.
    """

    _COLUMNS: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("answer", "reasoning", "finish_reason", "error"), "string"),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), "int64"),
    }

    def __init__(
        self,
        model: str,
        *,
        prompt_column: str = "prompt",
        system: str | None = None,
        rename: Mapping[str, str] | None = None,
        max_concurrency: int = CALLS_AT_ONCE,
        **arguments: Any,
    ) -> None:
        self._input, self._concurrency = prompt_column, _positive("max_concurrency", max_concurrency)
        self._before: list[WireMessage] = [] if system is None else [{"role": "system", "content": system}]
        self._options = _Chats(model=model, max_concurrency=max_concurrency, **arguments)
        self._added = _Added(self._COLUMNS, rename)

    def __call__(self, batch: Any) -> "pa.Table":
        table = self._added.checked(table_of(batch))
        _check_key(self._options)
        return self._added.to(table, _at_once(self._answered, texts_of(table, self._input), self._concurrency))

    def _answered(self, prompt: str | None) -> Row:
        if prompt is None:
            return {"prompt_tokens": 0, "completion_tokens": 0}
        row: Row = {}
        with metered() as meter:
            try:
                request = self._options._ovhcloud_request(  # noqa: SLF001 - this package's own
                    [*self._before, {"role": "user", "content": prompt}], {}
                )
                message = Client(self._options._ovhcloud_settings).send(request).messages[0]  # noqa: SLF001 - as above
                row = {
                    "answer": message.text or None,
                    "reasoning": message.reasoning or None,
                    "finish_reason": message.finish_reason,
                }
                if not message.text:
                    row["error"] = (
                        message.refusal or f"The answer is empty; its finish reason is {message.finish_reason}"
                    )
            except OVHCloudError as error:
                if isinstance(error, FATAL) and not self._added.has_succeeded:
                    raise
                row["error"] = error
        return row | {"prompt_tokens": meter.prompt_tokens, "completion_tokens": meter.completion_tokens}


class ApplyFunction:
    """Adds to each row what a function makes of it, such as a chain's `invoke`.

    Columns that are added:

    - output: a text as it is, None as null, anything else as JSON.
    - error: what the function raised; null if all is well.
    - prompt_tokens, completion_tokens: those of all calls of our classes that the function made, in its own thread or
        by what passes the context on, as LangChain and asyncio do.

    Args:
        function: takes an input and returns the output; it is called from several threads. Ray pickles it, and the key
            stays behind: objects that come from a pickle read it from the environment of the worker.
        input_columns: names of the columns that make the input. One name gives its value: for null the function is not
            called. Several give a dict of values; so do all columns, which is the default.
        rename: other names for the columns that are added, such as {"output": "summary"}.
        max_concurrency: calls of the function at once, by an actor.

    Raises:
        AuthenticationError, PermissionDeniedError, NotFoundError: when called; no row would have an output.
        TypeError: the function can't be called, must be awaited, or returns a generator.
        ValueError: there is no such column, or a column would be overwritten.
    """

    _COLUMNS: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("output", "error"), "string"),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), "int64"),
    }

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        input_columns: str | Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        max_concurrency: int = CALLS_AT_ONCE,
    ) -> None:
        if not callable(function) or any(
            is_other(function) for is_other in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
        ):
            raise TypeError(f"function must be one that blocks, such as chain.invoke; got {type(function).__name__}")
        self._function, self._input = function, input_columns
        self._concurrency = _positive("max_concurrency", max_concurrency)
        self._added = _Added(self._COLUMNS, rename)

    def __call__(self, batch: Any) -> "pa.Table":
        table = self._added.checked(table_of(batch))
        return self._added.to(table, _at_once(self._applied, self._inputs(table), self._concurrency))

    def _inputs(self, table: "pa.Table") -> list[Any]:
        if isinstance(self._input, str):
            found: list[Any] = column_of(table, self._input).to_pylist()
            return found
        names = table.column_names if self._input is None else self._input
        if not names:
            raise ValueError("input_columns must name a column")
        columns = [column_of(table, name).to_pylist() for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _applied(self, value: Any) -> Row:
        if value is None:
            return {"prompt_tokens": 0, "completion_tokens": 0}
        row: Row = {}
        with metered() as meter:
            try:
                row["output"] = _output(self._function(value))
            except _NoOutputError:
                raise
            except Exception as error:  # whatever a function raises is its row's
                if isinstance(error, FATAL) and not self._added.has_succeeded:
                    raise
                row["error"] = error
        return row | {"prompt_tokens": meter.prompt_tokens, "completion_tokens": meter.completion_tokens}


class _NoOutputError(TypeError):
    """The function returned what has yet to be run."""


class _Embeddings(EmbeddingOptions):
    model: str = Field(default="bge-m3")


class _Chats(ChatOptions):
    pass


_Embeddings.__name__, _Chats.__name__ = "EmbedTexts", "AnswerPrompts"  # for errors about arguments


class _Added:
    """The columns that a class adds, that of the value first.

    Attributes:
        has_succeeded: whether a row ever had a value; before that, one error that every row would get ends the run.

    Args:
        kinds: Arrow's name of the type of each, or "vector".
        rename: other names for some of them.
        width: of the vectors, if it is known.
    """

    def __init__(self, kinds: Mapping[str, str], rename: Mapping[str, str] | None, width: int | None = None) -> None:
        self._kinds, self._width, self.has_succeeded = kinds, width, False
        self._names = {name: name for name in kinds} | dict(rename or {})
        if unknown := self._names.keys() - kinds.keys():
            raise ValueError(f"rename has {sorted(unknown)}; the columns are {', '.join(kinds)}")
        if len({*self._names.values()}) < len(kinds):
            raise ValueError(f"rename gives two columns one name: {', '.join(self._names.values())}")

    def checked(self, table: "pa.Table") -> "pa.Table":
        """The table, which must have none of these columns yet."""
        if present := sorted({*self._names.values()} & {*table.column_names}):
            raise ValueError(f"The rows have a column {present[0]!r} already; give ours another name by rename=")
        return table

    def to(self, table: "pa.Table", rows: Sequence[Row]) -> "pa.Table":
        """The table with these columns.

        Raises:
            AuthenticationError, PermissionDeniedError, NotFoundError: all rows have such an error.
            BadRequestError: all rows were refused, and none has succeeded before.
        """
        value = next(iter(self._kinds))
        errors = [error for row in rows if (error := row.get("error")) is not None]
        if any(row.get(value) is not None for row in rows):
            self.has_succeeded = True
        elif errors:
            is_of_all = _is_fatal if self.has_succeeded else _is_fatal_or_refusal
            if all(map(is_of_all, errors)):
                raise errors[0]
        for name, kind in self._kinds.items():
            values = [row.get(name) for row in rows]
            if kind == "string":
                values = [None if value is None else _text(value) for value in values]
            table = with_column(table, self._names[name], kind, values, self._width)
        return table


def _output(found: Any) -> str | None:
    if isgenerator(found) or isawaitable(found) or hasattr(found, "__aiter__"):
        getattr(found, "close", lambda: None)()  # or Python warns that it was never awaited
        raise _NoOutputError(f"function must return its output; got a {type(found).__name__}")
    return found if isinstance(found, str | None) else to_json(found, inf_nan_mode="strings").decode()


def _is_fatal(error: object) -> bool:
    return isinstance(error, FATAL)


def _is_fatal_or_refusal(error: object) -> bool:
    """Also whether the request itself was refused, and not for its length."""
    return _is_fatal(error) or (isinstance(error, BadRequestError) and not isinstance(error, ContextOverflowError))


def _text(value: Any) -> str:
    """A text or an error as Arrow can hold it, which is in UTF-8."""
    text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    return text.encode("utf-8", "replace").decode()


def _positive(name: str, number: int) -> int:
    if number < 1:
        raise ValueError(f"{name} must be positive; got {number}")
    return number


def _check_key(options: ConnectionOptions) -> None:
    if options.api_key is None:
        raise AuthenticationError(NO_KEY)


def _at_once(function: Callable[[T], R], values: Iterable[T], count: int) -> list[R]:
    """What the function returns for each value, so many at once; each call has a context of its own.

    Once a call raises, no further one begins.
    """
    with ThreadPoolExecutor(count, thread_name_prefix="ovhcloud-ray") as pool:
        calls = [pool.submit(copy_context().run, function, value) for value in values]
        done, _ = wait(calls, return_when=FIRST_EXCEPTION)
        for call in done:
            if (error := call.exception()) is not None:
                pool.shutdown(cancel_futures=True)
                raise error
    return [call.result() for call in calls]
