"""Reading: the exact current rows of a table, as of a publication.

Current rows are decided over the compacted base (`current/<table>` at its pinned version) and the tail, the files
published after the base was made. Only keys that the tail touches are decided again. The decision runs over the few
columns it needs and the rows are picked by their position, so wide rows are neither sorted nor held.

What belongs here: from files to rows. What does not: which row wins (`lake.winners`), when to compact
(`lake.compact`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from operator import xor

import polars as pl

from spv_platform.lake.spec import TableSpec
from spv_platform.lake.store import Kind, Lake, store_errors
from spv_platform.lake.winners import DECIDED_BY, RULE_COLUMNS, latest, survivors

_ROW = "__row"
#: So many keys are decided at once for each row that is picked at once: a key takes a tenth of the memory, and for each
#: part of them all are read.
_KEYS_PER_ROW = 3

#: What a publication pins of a table: `log` and `current`, versions of the Delta tables (`current` is None or absent
#: before the first compaction), and `base_seq`, the publication that `current` was made at.
Pins = Mapping[str, int | None]


def read(
    lake: Lake, tenant: str, table: str, *, base: int | None, tail: Sequence[str], keys: pl.Expr | None = None
) -> pl.LazyFrame:
    """The exact current rows of a table, in no particular order; no tombstones.

    `base` is the version of `current/<table>`, or None; `tail` the paths, relative to `log/<table>`, of the files
    published after it. A file listed twice counts once, and files that the base holds already change nothing. `keys` is
    a condition on the key's columns: no more is decided than what it holds for.

    Returns:
        The columns of `TableSpec.read_schema`. Columns that a file does not have yet are null.
    """
    spec = lake.spec(table)
    rows = merged(lake, tenant, spec, base, tail, keys)
    return rows.filter("current").select(*spec.read_schema)


def merged(
    lake: Lake,
    tenant: str,
    spec: TableSpec,
    base: int | None,
    tail: Sequence[str],
    keys: pl.Expr | None = None,
) -> pl.LazyFrame:
    """The rows of the next base: current rows, and what must be remembered beside them; see `TableSpec.base_schema`.

    Only keys for which `keys`, a condition on the key's columns, holds.
    """
    return _Merge(lake, tenant, spec, base, tail, keys).whole()


def merged_in_slices(
    lake: Lake, tenant: str, spec: TableSpec, base: int | None, tail: Sequence[str], rows_at_once: int
) -> Iterator[pl.LazyFrame]:
    """The rows of the next base, so many at a time; the memory it takes grows by some ten bytes a row.

    First so many keys at a time are decided, then so many rows at a time are picked.
    """
    merge = _Merge(lake, tenant, spec, base, tail, None)
    heights = [int(rows.select(pl.len()).collect().item()) for rows in (merge.old, merge.new)]
    if sum(heights) <= rows_at_once:
        yield merge.whole()
        return
    parts = ceil(sum(heights) / (rows_at_once * _KEYS_PER_ROW))
    number = reduce(xor, (pl.col(name).hash() for name in spec.key)) % parts
    small = [pl.col(pl.String).cast(pl.Enum(DECIDED_BY))]
    chosen = pl.concat(
        merge.chosen(merge.rows.filter(number == part)).with_columns(small).collect(engine="streaming")
        for part in range(parts)
    ).sort(_ROW)
    start = 0
    for scan, height in zip((merge.old, merge.new), heights, strict=True):
        for first in range(0, height, rows_at_once):
            piece = scan.slice(first, rows_at_once).with_row_index(_ROW, offset=start + first)
            here = pl.col(_ROW).is_between(start + first, start + first + rows_at_once - 1)
            yield merge.picked(piece, chosen.filter(here).lazy().with_columns(pl.col(pl.Enum).cast(pl.String)))
        start += height


class _Merge:
    """A base and its tail, and which of their rows the next base has.

    Attributes:
        old: the rows of the base.
        new: those of the tail, in the same columns.
        rows: both, with their numbers; in the same order each time.
    """

    def __init__(
        self,
        lake: Lake,
        tenant: str,
        spec: TableSpec,
        base: int | None,
        tail: Sequence[str],
        keys: pl.Expr | None,
    ) -> None:
        urls = [lake.url(tenant, "log", spec.name, path) for path in set(tail)]
        self._spec, self._has_base, self._has_tail = spec, base is not None, bool(tail)
        self._flags = [name for name in spec.base_schema if name not in spec.schema]
        unflagged = [pl.lit(None, dtype=spec.base_schema[name]).alias(name) for name in self._flags]
        self.old = _where(_base(lake, tenant, spec, base), keys)
        self.new = _where(_scan(lake, tenant, "log", spec.name, urls), keys).with_columns(unflagged)
        self.rows = pl.concat([self.old, self.new]).with_row_index(_ROW)

    def whole(self) -> pl.LazyFrame:
        """All rows of the next base."""
        return self.picked(self.rows, self.chosen(self.rows)) if self._has_tail else self.old

    def chosen(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The numbers of the rows that are kept, with flags and first landings, decided over the rule's columns.

        Args:
            rows: of base and tail with their numbers, all versions of a key or none.
        """
        rule = RULE_COLUMNS if self._spec.order == "resource" else ("_seq", "deleted")
        present = rows.collect_schema()
        needed = dict.fromkeys((*self._spec.key, *(name for name in (*rule, *self._flags) if name in present)))
        narrow = rows.select(_ROW, *needed)
        if not self._has_base:
            return self._set(_decide(self._spec, narrow.drop(self._flags)))
        # only keys that the tail touches are decided again
        touched = self.new.select(self._spec.key).unique()
        kept = narrow.join(touched, on=self._spec.key, how="anti")
        again = narrow.join(touched, on=self._spec.key, how="semi").drop(self._flags)
        return pl.concat([self._set(kept), self._set(_decide(self._spec, again))])

    def picked(self, rows: pl.LazyFrame, chosen: pl.LazyFrame) -> pl.LazyFrame:
        """The wide rows of the chosen numbers."""
        wide = rows.drop(name for name in chosen.collect_schema() if name in rows.collect_schema() and name != _ROW)
        # Left to itself the join may hold the wide side in memory.
        joined = wide.join(chosen, on=_ROW, how="inner", build_side="force_right")
        return joined.select(*self._spec.schema, *self._flags)

    def _set(self, decided: pl.LazyFrame) -> pl.LazyFrame:
        """The row numbers of a decision, and the columns that it sets."""
        return decided.select(_ROW, *self._flags, *(["_landing_seq"] if self._spec.order == "resource" else []))


@dataclass(frozen=True)
class Reader:
    """All tables of a tenant as one publication shows them.

    Attributes:
        seq: the publication.
        tables: what it pins, by table.
        files: gives the paths of a table's files that publications after the first and up to the second number
            added.
    """

    lake: Lake
    tenant: str
    seq: int
    tables: Mapping[str, Pins]
    files: Callable[[str, int, int], Sequence[str]]

    def current(self, table: str, keys: pl.Expr | None = None) -> pl.LazyFrame:
        """The exact current rows of a table; see `read`."""
        base, tail = self._parts(table)
        return read(self.lake, self.tenant, table, base=base, tail=tail, keys=keys)

    def added(self, table: str, after_seq: int) -> pl.LazyFrame:
        """The rows that publications after one wrote, as they are: superseded ones and tombstones too."""
        self.lake.spec(table)
        files = self.files(table, after_seq, self.seq)
        return _scan(self.lake, self.tenant, "log", table, [self.lake.url(self.tenant, "log", table, f) for f in files])

    def merged(self, table: str, keys: pl.Expr | None = None) -> pl.LazyFrame:
        """The rows of the table's next base; see the function of that name."""
        base, tail = self._parts(table)
        return merged(self.lake, self.tenant, self.lake.spec(table), base, tail, keys)

    def merged_in_slices(self, table: str, rows_at_once: int) -> Iterator[pl.LazyFrame]:
        """The same, so many rows at a time; see the function of that name."""
        base, tail = self._parts(table)
        return merged_in_slices(self.lake, self.tenant, self.lake.spec(table), base, tail, rows_at_once)

    def stored_rows(self, table: str) -> int:
        """Rows of the table's log at its pinned version, by the statistics of its files."""
        with store_errors(f"table {table}"):
            files = self.lake.open(self.tenant, "log", table, self.tables[table]["log"]).get_add_actions(flatten=True)
        return sum(files.column("num_records").to_pylist())

    def stored(self, table: str) -> pl.LazyFrame:
        """All rows that were ever published of a table, as they are: repetitions and tombstones too."""
        spec = self.lake.spec(table)
        pinned = self.tables.get(table, {}).get("log")
        if pinned is None:
            return pl.LazyFrame(schema=spec.schema)
        with store_errors(f"table {table}"):
            files = self.lake.open(self.tenant, "log", table, pinned).file_uris()
        return _scan(self.lake, self.tenant, "log", table, files)

    def _parts(self, table: str) -> tuple[int | None, Sequence[str]]:
        self.lake.spec(table)
        if table not in self.tables:
            return None, ()
        base = self.tables[table].get("current")
        after = self.tables[table].get("base_seq") or 0
        return base, self.files(table, after if base is not None else 0, self.seq)


def _base(lake: Lake, tenant: str, spec: TableSpec, version: int | None) -> pl.LazyFrame:
    if version is None:
        return pl.LazyFrame(schema=spec.base_schema)
    with store_errors(f"table {spec.name}"):
        files = lake.open(tenant, "current", spec.name, version).file_uris()
    return _scan(lake, tenant, "current", spec.name, files)


def _scan(lake: Lake, tenant: str, kind: Kind, table: str, urls: Sequence[str]) -> pl.LazyFrame:
    schema = lake.schema(kind, table)
    if not urls:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        sorted(urls),
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
        hive_partitioning=False,
        storage_options=lake.storage_options(tenant),
    )


def _where(rows: pl.LazyFrame, keys: pl.Expr | None) -> pl.LazyFrame:
    return rows if keys is None else rows.filter(keys)


def _decide(spec: TableSpec, rows: pl.LazyFrame) -> pl.LazyFrame:
    if spec.order == "resource":
        return survivors(rows, spec.key)
    alive = pl.col("deleted").ne_missing(True) if "deleted" in spec.schema else pl.lit(True)
    return latest(rows, spec.key).with_columns(current=alive)
