"""Rows of Python values to typed frames: `pl.DataFrame`s with exactly the schema that was asked for.

It goes by way of Arrow, which takes nested rows as tuples; polars itself reads them a hundred times slower.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa


def arrow_schema(schema: dict[str, pl.DataType]) -> pa.Schema:
    """The Arrow schema that becomes a polars schema without a cast."""
    return pa.schema([(name, _arrow(dtype)) for name, dtype in schema.items()])


def frame_of(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pl.DataFrame:
    """A frame of rows whose values stand in the order of the schema; structs are tuples in the order of their fields.

    Args:
        rows: at least one.
        schema: of `arrow_schema`.

    Raises:
        pyarrow.ArrowInvalid: a value is not of its column's type.
    """
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pl.DataFrame(pa.table(arrays, schema=schema))


_SCALARS: dict[Any, Any] = {
    pl.String: pa.large_string(),
    pl.Boolean: pa.bool_(),
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
}


def _arrow(dtype: Any) -> Any:
    if isinstance(dtype, pl.List):
        return pa.large_list(_arrow(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pa.struct([(field.name, _arrow(field.dtype)) for field in dtype.fields])
    if isinstance(dtype, pl.Datetime):
        return pa.timestamp(dtype.time_unit)
    return _SCALARS[dtype.base_type()]
