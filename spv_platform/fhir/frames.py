"""Rows to typed frames: `pl.DataFrame`s with exactly the schema of a table.

Rows come as blocks, a column at a time, and each value of a column once with the numbers of the rows that have it: the
elements of resources say the same again and again, and most columns of most rows are absent. Frames are made by way of
Arrow, which takes nested values as tuples; polars itself reads them a hundred times slower.
"""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from spv_platform.lake.describe import SYSTEM_COLUMNS, Table

#: Rows that are held as blocks before they become a frame.
CHUNK_ROWS = 10_000

#: The values of the physical columns of one logical column; None: the row has none.
Cell = tuple[Any, ...] | None
#: For each row the number of its value; negative: it has none.
Codes = npt.NDArray[np.int64]

_ENTRY, _VERSIONED, _TIME = map(list(SYSTEM_COLUMNS).index, ("source_entry", "versioned", "version_time"))


class Cells(msgspec.Struct, gc=False, eq=False):
    """One logical column of some rows: the values, and which one each row has."""

    values: Sequence[Cell]
    codes: Codes

    def first_of(self, other: "Cells") -> "Cells":
        """These, and where a row has none the other's."""
        given = np.array([value is not None for value in self.values] + [False])[self.codes]
        codes = np.where(given, self.codes, np.where(other.codes < 0, -1, other.codes + len(self.values)))
        return Cells([*self.values, *other.values], codes)


class Block(msgspec.Struct, gc=False, eq=False):
    """Some rows of a table.

    Attributes:
        systems: the values of each system column, by row.
        columns: by number of the logical column; those without a value may be left out.
        places: where each row stands among all of its object, whose tables share them.
    """

    systems: list[Sequence[Any]]
    columns: dict[int, Cells]
    places: Codes

    def __len__(self) -> int:
        return len(self.places)

    @property
    def entries(self) -> Sequence[int]:
        """The entry of each row."""
        return self.systems[_ENTRY]

    def only(self, kept: list[int]) -> "Block":
        """The rows with these numbers."""
        if len(kept) == len(self):
            return self
        return Block(
            [[values[number] for number in kept] for values in self.systems],
            {column: Cells(cells.values, cells.codes[kept]) for column, cells in self.columns.items()},
            self.places[kept],
        )


class TableRows:
    """Rows of one table, which become frames as they grow."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._blocks: list[Block] = []
        self._height = 0
        self._places = 0
        self._frames: list[pl.DataFrame] = []
        self._framed = 0
        self._late = False

    def __len__(self) -> int:
        return self._height + sum(frame.height for frame in self._frames)

    def add(self, block: Block) -> None:
        """Take rows of the object."""
        self._late = self._late or int(block.places.min()) < self._framed
        self._blocks.append(block)
        self._height += len(block)
        self._places = max(self._places, int(block.places.max()) + 1)

    def frame_if_many(self) -> None:
        """Make a frame of the object's rows so far if they are many."""
        if self._height >= CHUNK_ROWS:
            framed = self._places
            self._flush()
            self._framed = max(self._framed, framed)

    def sort(self) -> None:
        """Put the object's rows in the order of their places, if some came after a frame was made."""
        if self._late:
            self._frames = [self.frame().sort("source_entry", maintain_order=True)]

    def extend(self, other: "TableRows") -> None:
        """Take all rows of another object, after these; it is not to be used any more."""
        if other._frames or self._height + other._height > CHUNK_ROWS:
            self._flush()
        self._frames += other._frames
        for block in other._blocks:
            block.places = block.places + self._places
        self._blocks += other._blocks
        self._height += other._height
        self._places += other._places

    def keep(self, entries: Set[int]) -> None:
        """Drop the rows of all other entries."""
        kept = [[number for number, entry in enumerate(block.entries) if entry in entries] for block in self._blocks]
        self._blocks = [block.only(numbers) for block, numbers in zip(self._blocks, kept, strict=True) if numbers]
        self._height = sum(map(len, self._blocks))
        if self._frames:
            wanted = pl.Series(sorted(entries), dtype=pl.Int64).implode()
            self._frames = [frame.filter(pl.col("source_entry").is_in(wanted)) for frame in self._frames]

    def redate(self, times: Mapping[int, datetime | None]) -> None:
        """Give the rows the times of their entries."""
        for block in self._blocks:
            stated = block.systems[_TIME] = [times[entry] for entry in block.entries]
            block.systems[_VERSIONED] = [time is not None for time in stated]
        if self._frames:
            told = pl.DataFrame(
                list(times.items()), {"source_entry": pl.Int64, "version_time": pl.Datetime("us")}, orient="row"
            )
            time = pl.col("source_entry").replace_strict(told["source_entry"], told["version_time"])
            self._frames = [
                frame.with_columns(version_time=time, versioned=time.is_not_null()) for frame in self._frames
            ]

    def frame(self) -> pl.DataFrame:
        """All rows, in the order of their places."""
        self._flush()
        if not self._frames:
            return pl.DataFrame(schema=self._table.schema)
        return pl.concat(self._frames)

    def _flush(self) -> None:
        if self._height:
            self._frames.append(_frame(self._table, self._blocks))
        self._blocks, self._height, self._places = [], 0, 0


class _Column:
    """The cells of one logical column: each that is another object once, and which one each row has."""

    def __init__(self, height: int) -> None:
        self._cells: list[tuple[Any, ...]] = []
        self._numbers: dict[int, int] = {id(None): -1}
        self._which = np.full(height, -1)

    def put(self, rows: Codes, cells: Cells) -> None:
        numbers = self._numbers
        for cell in cells.values:
            if cell is not None and id(cell) not in numbers:
                numbers[id(cell)] = len(self._cells)
                self._cells.append(cell)
        # the last is for the rows that have none
        own = np.array([*(numbers[id(cell)] for cell in cells.values), -1])
        self._which[rows] = own[cells.codes]

    def arrays(self, kinds: Sequence[Any]) -> list[Any]:
        taken = pa.array(self._which, mask=self._which < 0)
        return [
            pa.array([cell[place] for cell in self._cells], type=kind).take(taken) for place, kind in enumerate(kinds)
        ]


def _frame(table: Table, blocks: list[Block]) -> pl.DataFrame:
    places = np.concatenate([block.places for block in blocks])
    height, order = len(places), np.argsort(places, kind="stable")
    rank = np.empty(height, np.int64)
    rank[order] = np.arange(height)
    schema = [(name, _arrow(dtype)) for name, dtype in table.schema.items()]
    kinds = [kind for _, kind in schema]
    found: dict[int, _Column] = {}
    begin = 0
    for block in blocks:
        rows = rank[begin : begin + len(block)]
        begin += len(block)
        for number, cells in block.columns.items():
            if number not in found:
                found[number] = _Column(height)
            found[number].put(rows, cells)
    systems = zip(*(block.systems for block in blocks), strict=True)
    ordered = pa.array(order)
    arrays = [
        pa.array(list(chain.from_iterable(values)), type=kind).take(ordered)
        for values, kind in zip(systems, kinds, strict=False)
    ]
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
