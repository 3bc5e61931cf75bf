"""Person states: the facts of the winning resource versions, and their form as bytes.

The rule of who wins is `lake.winners`; this module applies it to facts. What belongs here: folding, and the canonical
serialisation of a record's state. What does not: sealing and storing the bytes (`envelope`, `ledger`).

A fold has to give the same state for any order, repetition and chunking of versions. Two things make that hard:

- A version that a source did not date takes its place from its first landing, and an earlier landing may still turn
  up. So while no version of a resource is dated, the losing ones stay in the state with kind `none` and their kind in
  `held_kind`: no reader sees them, a later fold can bring them back. Of a deletion without a date and the best dated
  version the loser stays too: which of them landed first decides, and either may yet have another rival.
- A resource may move to another patient, or be deleted by a request that names no patient. Its key has no patient, so
  the version wins over the old one, but only in states that see it. Within one call `fold` sees to that: every record
  that any version of the resource names keeps a fact of kind `none` of the winning version. Across calls the caller
  must bring the version to the other records with `facts.displaced`.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.lake.winners import contenders
from spv_platform.view.order import sort_rows
from spv_platform.view.rows import fact_rows
from spv_platform.view.schema import SCHEMA, VERSION_COLUMNS

_KEY = list(RESOURCE_KEY)
_VERSION = [name for name in VERSION_COLUMNS if name != "patient_id"]
#: What a state is sorted by; the lists come last because most facts differ before.
_ORDER = sorted(SCHEMA, key=lambda name: (isinstance(SCHEMA[name], pl.List), list(SCHEMA).index(name)))
#: So many of them name the resource, and few resources have several facts.
_FIRST = 4


def fold(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The state after `new` facts came to `old` states.

    Args:
        old: facts of any number of records, as an earlier fold returned them.
        new: facts of further versions of any resources.
            Both have `SCHEMA`; further columns may stand beside it and must depend on `source` and `patient_id` only.

    Returns:
        Facts of the same columns, distinct and sorted. Every version that counts is there in every record that it
        or another version of its resource names. `_landing_seq` is that of its first landing.
    """
    both = pl.concat([old, new], how="diagonal_relaxed")
    if both.is_empty():
        return both
    facts = both.with_columns(kind=pl.coalesce("held_kind", "kind"), held_kind=pl.lit(None, pl.String))
    contested = _contested(facts)
    settled = facts.join(contested, on=_KEY, how="anti") if contested.height else facts
    quiet = pl.col("kind") == "none"
    decided = _decided(facts.join(contested, on=_KEY, how="semi"))
    silent = _silent(settled.filter(quiet)).select(facts.columns)
    return sort(pl.concat([settled.filter(~quiet), silent, *decided]))


def _contested(facts: pl.DataFrame) -> pl.DataFrame:
    """The keys of resources of which there is more than one version: few, and slow to decide."""
    several = facts.select(*VERSION_COLUMNS, silent=pl.col("kind") == "none").filter(pl.struct(_KEY).is_duplicated())
    distinct = several.unique()
    return distinct.filter(pl.struct(_KEY).is_duplicated()).select(_KEY).unique()


def _decided(facts: pl.DataFrame) -> list[pl.DataFrame]:
    """What the winning versions of these facts say, and the losing ones that may win yet."""
    if facts.is_empty():
        return []
    found = contenders(facts.select(_VERSION).unique().lazy()).collect()
    won = pl.col("decided_by").is_not_null()
    winning, held = found.filter(won).drop("decided_by"), found.filter(~won).drop("decided_by")
    return [_told(facts, winning), _told(facts, held).with_columns(held_kind="kind", kind=pl.lit("none"))]


def sort(facts: pl.DataFrame) -> pl.DataFrame:
    """The facts in canonical order, without repetitions."""
    further = [name for name in facts.columns if name not in SCHEMA]
    return sort_rows(facts, [*_ORDER, *further], _FIRST, distinct=True)


def to_bytes(facts: pl.DataFrame) -> bytes:
    """The facts as one document: equal facts give equal bytes. Columns beside `SCHEMA` are left out.

    The document is MessagePack, column by column. Arrow's own formats are not canonical: bytes under a null and the
    presence of a validity bitmap depend on how a frame came about.
    """
    ordered = sort(facts.select(list(SCHEMA)))
    return next(_documents(ordered, [ordered.height]))


def from_bytes(document: bytes) -> pl.DataFrame:
    """What `to_bytes` was given; a column that the document is older than is null."""
    return unpack([document])


def pack(facts: pl.DataFrame, *, folded: bool = False) -> dict[tuple[str, str], bytes]:
    """One document per record, by (source, patient id).

    Args:
        facts: of any number of records; columns beside `SCHEMA` are left out.
        folded: they are in the order in which `fold` returned them.
    """
    ordered = facts.select(list(SCHEMA))
    ordered = ordered if folded else sort(ordered)
    runs = ordered.select(record=pl.struct("source", "patient_id").rle()).unnest("record")
    records = runs["value"].struct.unnest().iter_rows()
    found = dict(zip(records, _documents(ordered, runs["len"]), strict=True))
    if len(found) < runs.height:
        raise ValueError("facts of one record do not stand together")
    return found


def unpack(documents: Iterable[bytes]) -> pl.DataFrame:
    """The facts of many documents, in their order."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    for document in documents:
        height, values = msgspec.msgpack.decode(document)
        for name, column in columns.items():
            column.extend(values[name] if name in values else [None] * height)
    return pl.DataFrame([_series(name, column) for name, column in columns.items()])


def _documents(ordered: pl.DataFrame, heights: Iterable[int]) -> Iterator[bytes]:
    """One document for each so many rows."""
    stated = ordered.select(column.to_physical() for column in ordered if column.null_count() < ordered.height)
    # Document by document: all values of a batch at once are millions of objects.
    start = 0
    for height in heights:
        rows = stated.slice(start, height)
        start += height
        values = {column.name: column.to_list() for column in rows if column.null_count() < height}
        yield msgspec.msgpack.encode((height, values))


def _series(name: str, values: list[Any]) -> pl.Series:
    if not isinstance(SCHEMA[name], pl.List):
        return pl.Series(name, values, dtype=SCHEMA[name])
    # Polars builds a list column from Python lists twenty times slower than from offsets and one flat column.
    lengths = pl.Series([None if value is None else len(value) for value in values], dtype=pl.Int64)
    offsets = pl.concat([pl.Series([0], dtype=pl.Int64), lengths.fill_null(0).cum_sum()])
    flat = pl.Series(list(chain.from_iterable(value or () for value in values)), dtype=pl.String)
    array = pa.LargeListArray.from_arrays(offsets.to_arrow(), flat.to_arrow(), mask=lengths.is_null().to_arrow())
    return pl.Series(name, array)


def _told(facts: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """What the chosen versions say to every record that any version of their resources names.

    To the records that they name themselves, their facts; to the others, that they are there: one fact of kind `none`.
    """
    # A version's row has the place of its first landing, which may be another row's.
    row = [name for name in _VERSION if name != "_landing_seq"]
    said = facts.filter(pl.col("kind") != "none").drop("_landing_seq")
    found = said.join(chosen, on=row, nulls_equal=True).select(facts.columns)
    further = [name for name in facts.columns if name not in SCHEMA]
    named = facts.select(*_KEY, "patient_id", *further).unique()
    silent = named.join(chosen, on=_KEY).join(found, on=[*_KEY, "digest", "patient_id"], how="anti")
    return pl.concat([found, _silent(silent).select(facts.columns)])


def _silent(versions: pl.DataFrame) -> pl.DataFrame:
    """One fact of kind `none` for each row, with the columns beside `SCHEMA`."""
    further = [name for name in versions.columns if name not in SCHEMA]
    return fact_rows(versions, "none", usable=pl.lit(False)).with_columns(versions.select(further))
