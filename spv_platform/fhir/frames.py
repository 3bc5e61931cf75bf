"""Rows to typed frames: `pl.DataFrame`s with exactly the schema of a table.

Most columns of most rows are absent, so a row comes as its system columns and the few cells that it has. Frames are
made by way of Arrow, which takes nested values as tuples; polars itself reads them a hundred times slower.
"""

from collections.abc import Set
from typing import Any

import polars as pl
import pyarrow as pa

from spv_platform.lake.describe import Table

#: Rows of Python values that are held before they become a frame.
CHUNK_ROWS = 10_000

#: The values of the system columns; by number of the logical column, the values of its physical ones.
Row = tuple[tuple[Any, ...], list[tuple[int, tuple[Any, ...]]]]


class TableRows:
    """Rows of one table, which become frames as they grow."""

    def __init__(self, table: Table) -> None:
        self._table = table
        schema = [(name, _arrow(dtype)) for name, dtype in table.schema.items()]
        self._types = [kind for _, kind in schema]
        self._schema = pa.schema(schema)
        self._frames: list[pl.DataFrame] = []
        self._clear()

    def __len__(self) -> int:
        return len(self._systems) + sum(frame.height for frame in self._frames)

    def add(self, row: Row) -> None:
        """Take a row."""
        systems, cells = row
        number = len(self._systems)
        self._systems.append(systems)
        for column, values in cells:
            self._cells[column].append((number, values))
        if number + 1 >= CHUNK_ROWS:
            self._flush()

    def extend(self, other: "TableRows") -> None:
        """Take all rows of another, which is not to be used any more."""
        if other._frames or len(self._systems) + len(other._systems) > CHUNK_ROWS:
            self._flush()
        self._frames += other._frames
        first = len(self._systems)
        self._systems += other._systems
        for mine, theirs in zip(self._cells, other._cells, strict=True):
            mine += [(first + number, values) for number, values in theirs]

    def keep(self, entries: Set[int]) -> None:
        """Drop the rows of all other entries."""
        self._flush()
        kept = pl.Series(sorted(entries), dtype=pl.Int64).implode()
        self._frames = [frame.filter(pl.col("source_entry").is_in(kept)) for frame in self._frames]

    def sort(self) -> None:
        """Put the rows in the order of their entries."""
        self._frames = [self.frame().sort("source_entry", maintain_order=True)]

    def frame(self) -> pl.DataFrame:
        """All rows, in the order in which they came."""
        self._flush()
        if not self._frames:
            return pl.DataFrame(schema=self._table.schema)
        return pl.concat(self._frames)

    def _clear(self) -> None:
        self._systems: list[tuple[Any, ...]] = []
        self._cells: list[list[tuple[int, tuple[Any, ...]]]] = [[] for _ in self._table.columns]

    def _flush(self) -> None:
        if not self._systems:
            return
        height = len(self._systems)
        arrays = [
            pa.array(values, type=kind)
            for values, kind in zip(zip(*self._systems, strict=True), self._types, strict=False)
        ]
        for column, cells in zip(self._table.columns, self._cells, strict=True):
            kinds = self._types[len(arrays) : len(arrays) + len(column.physical)]
            if not cells:
                arrays += [pa.nulls(height, kind) for kind in kinds]
                continue
            for place, kind in enumerate(kinds):
                values = [None] * height
                for number, cell in cells:
                    values[number] = cell[place]
                arrays.append(pa.array(values, type=kind))
        self._frames.append(pl.DataFrame(pa.table(arrays, schema=self._schema)))
        self._clear()


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
