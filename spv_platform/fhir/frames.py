"""Rows to typed frames: `pl.DataFrame`s with exactly the schema of a table.

Most columns of most rows are absent, so a row comes as its system columns and the few cells that it may have. Cells
that are the same object are made into a value once. Frames are made by way of Arrow, which takes nested values as
tuples; polars itself reads them a hundred times slower.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from spv_platform.lake.describe import SYSTEM_COLUMNS, Table

#: Rows of Python values that are held before they become a frame.
CHUNK_ROWS = 10_000

#: The values of the physical columns of one logical column; None: the row has none.
Cell = tuple[Any, ...] | None

_ENTRY, _VERSIONED, _TIME = map(list(SYSTEM_COLUMNS).index, ("source_entry", "versioned", "version_time"))


class Row(msgspec.Struct, gc=False, eq=False):
    """A row of a table.

    Attributes:
        systems: the values of the system columns.
        columns: numbers of the logical columns of the cells; of two cells of one column at most one has a value.
        cells: beside the columns.
    """

    systems: tuple[Any, ...]
    columns: tuple[int, ...]
    cells: Sequence[Cell]


class TableRows:
    """Rows of one table, which become frames as they grow."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: list[Row] = []
        self._frames: list[pl.DataFrame] = []

    def __len__(self) -> int:
        return len(self._rows) + sum(frame.height for frame in self._frames)

    def add(self, row: Row) -> None:
        """Take a row."""
        self._rows.append(row)
        if len(self._rows) >= CHUNK_ROWS:
            self._flush()

    def extend(self, other: "TableRows") -> None:
        """Take all rows of another, which is not to be used any more."""
        if other._frames or len(self._rows) + len(other._rows) > CHUNK_ROWS:
            self._flush()
        self._frames += other._frames
        self._rows += other._rows

    def keep(self, entries: Set[int]) -> None:
        """Drop the rows of all other entries."""
        self._rows = [row for row in self._rows if row.systems[_ENTRY] in entries]
        if self._frames:
            kept = pl.Series(sorted(entries), dtype=pl.Int64).implode()
            self._frames = [frame.filter(pl.col("source_entry").is_in(kept)) for frame in self._frames]

    def redate(self, times: Mapping[int, datetime | None]) -> None:
        """Give the rows the times of their entries."""
        for row in self._rows:
            systems = list(row.systems)
            systems[_TIME] = times[systems[_ENTRY]]
            systems[_VERSIONED] = systems[_TIME] is not None
            row.systems = tuple(systems)
        if self._frames:
            stated = pl.DataFrame(
                list(times.items()), {"source_entry": pl.Int64, "version_time": pl.Datetime("us")}, orient="row"
            )
            time = pl.col("source_entry").replace_strict(stated["source_entry"], stated["version_time"])
            self._frames = [
                frame.with_columns(version_time=time, versioned=time.is_not_null()) for frame in self._frames
            ]

    def sort(self) -> None:
        """Put the rows in the order of their entries."""
        if self._frames:
            self._frames = [self.frame().sort("source_entry", maintain_order=True)]
        else:
            self._rows.sort(key=lambda row: row.systems[_ENTRY])

    def frame(self) -> pl.DataFrame:
        """All rows, in the order in which they came."""
        self._flush()
        if not self._frames:
            return pl.DataFrame(schema=self._table.schema)
        return pl.concat(self._frames)

    def _flush(self) -> None:
        if self._rows:
            self._frames.append(_frame(self._table, self._rows))
            self._rows = []


class _Column:
    """The cells of one logical column: each that is another object once, and which one each row has."""

    def __init__(self, height: int) -> None:
        self._cells: dict[int, Any] = {}
        self._which = np.full(height, id(None))

    def put(self, rows: Any, cells: tuple[Cell, ...]) -> None:
        ids = list(map(id, cells))
        self._cells.update(zip(ids, cells, strict=True))
        places = np.array(ids)
        given = places != id(None)
        self._which[rows[given]] = places[given]

    def arrays(self, kinds: Sequence[Any]) -> list[Any]:
        self._cells.pop(id(None), None)
        number = {each: place for place, each in enumerate(self._cells)}
        number[id(None)] = -1
        places = np.fromiter(map(number.__getitem__, self._which.tolist()), np.int64, len(self._which))
        taken = pa.array(places, mask=places < 0)
        return [
            pa.array([cell[place] for cell in self._cells.values()], type=kind).take(taken)
            for place, kind in enumerate(kinds)
        ]


def _frame(table: Table, rows: list[Row]) -> pl.DataFrame:
    height = len(rows)
    schema = [(name, _arrow(dtype)) for name, dtype in table.schema.items()]
    kinds = [kind for _, kind in schema]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        alike[row.columns].append(number)
    found: dict[int, _Column] = {}
    for columns, numbers in alike.items():
        places = np.array(numbers)
        for each, cells in zip(columns, zip(*(rows[number].cells for number in numbers), strict=True), strict=True):
            if each not in found:
                found[each] = _Column(height)
            found[each].put(places, cells)
    systems = zip(*(row.systems for row in rows), strict=True)
    arrays = [pa.array(values, type=kind) for values, kind in zip(systems, kinds, strict=False)]
    for number, column in enumerate(table.columns):
        of_column = kinds[len(arrays) : len(arrays) + len(column.physical)]
        if number in found:
            arrays += found[number].arrays(of_column)
        else:
            arrays += [pa.nulls(height, kind) for kind in of_column]
    return pl.DataFrame(pa.table(arrays, schema=pa.schema(schema)))


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
