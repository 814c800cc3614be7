"""Rows as Arrow tables: from the batches of Ray Data, and with more columns.

Pure. Arrow is imported by the first rows, since it takes a tenth of a second.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(batch: Any) -> "pa.Table":
    """The rows of a batch, which is an Arrow table, a dict of arrays or a DataFrame.

    Raises:
        ImportError: Arrow is not installed.
        TypeError: it is none of these.
        ValueError: a column holds values of several types.
    """
    arrow = _arrow()
    if isinstance(batch, arrow.Table):
        return batch
    if isinstance(batch, Mapping):
        return arrow.table({name: _array(name, values) for name, values in batch.items()})
    if not hasattr(batch, "columns"):
        kind = type(batch).__name__
        raise TypeError(f"batch must be an Arrow table, a dict of arrays or a DataFrame; got a {kind}; use map_batches")
    return arrow.Table.from_pandas(batch, preserve_index=False)


def column_of(table: "pa.Table", name: str) -> "pa.ChunkedArray":
    """A column of a table.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in table.column_names:
        raise ValueError(f"The rows have no column {name!r}; their columns are {', '.join(table.column_names)}")
    return table[name]


def texts_of(table: "pa.Table", name: str) -> list[str | None]:
    """A column of texts; null is None.

    Raises:
        ValueError: there is no such column, or it holds something else.
    """
    column, types = column_of(table, name), _arrow().types
    if not (types.is_string(column.type) or types.is_large_string(column.type) or types.is_null(column.type)):
        raise ValueError(f"The column {name!r} must hold texts; its type is {column.type}")
    found: list[str | None] = column.to_pylist()
    return found


def with_column(table: "pa.Table", name: str, kind: str, values: Sequence[Any], width: int | None) -> "pa.Table":
    """The table with one more column, whose type does not depend on the values, so that all blocks fit together.

    Args:
        kind: Arrow's name of the type, or "vector".
        width: of the vectors; None if it is not known.
    """
    arrow = _arrow()
    type_ = arrow.list_(arrow.float32(), width or -1) if kind == "vector" else getattr(arrow, kind)()
    return table.append_column(arrow.field(name, type_), arrow.array(values, type_))


def _arrow() -> Any:
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - as above
    except ModuleNotFoundError as error:
        raise ImportError('ovhcloud_ai_endpoints.ray needs Ray: pip install "ovhcloud-ai-endpoints[ray]"') from error
    return pyarrow


def _array(name: str, values: Any) -> Any:
    """A column of a dict; rows that are arrays become lists, and floats that are all NaN become null.

    Of a column without any value, NumPy makes such floats.
    """
    arrow = _arrow()
    try:
        found = arrow.array(values if getattr(values, "ndim", 1) == 1 else values.tolist())
    except arrow.ArrowException as error:
        raise ValueError(f"The column {name!r} can't be a column of Arrow: {error}") from error
    is_empty = arrow.types.is_floating(found.type) and all(one is None or one != one for one in found.to_pylist())  # noqa: PLR0124
    return arrow.nulls(len(found)) if is_empty else found
