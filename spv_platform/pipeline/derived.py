"""Rows of derived tables as a publication brings them: new rows, and tombstones for keys that have none any more."""

import polars as pl

from spv_platform.lake.spec import TableSpec
from spv_platform.pipeline.catalog import DERIVED_TABLES
from spv_platform.pipeline.reading import TenantReader


def with_tombstones(spec: TableSpec, rows: pl.DataFrame, gone: pl.DataFrame, seq: int) -> pl.DataFrame:
    """Rows of a derived table at a publication, with a tombstone for every key that has no row any more.

    Args:
        spec: of the table.
        rows: its rows, without `deleted` and `_seq`.
        gone: the keys that are gone.
        seq: the publication.
    """
    frames = [rows.with_columns(deleted=pl.lit(value=False)), gone.with_columns(deleted=pl.lit(value=True))]
    both = pl.concat(frames, how="diagonal_relaxed").with_columns(_seq=pl.lit(seq, pl.Int64))
    return both.select(pl.col(name).cast(dtype) for name, dtype in spec.schema.items())


def gone(published: TenantReader, frames: dict[str, pl.DataFrame], known: frozenset[str]) -> dict[str, pl.DataFrame]:
    """By table, the keys of current rows of the known persons that are not among the new ones.

    Nothing is read when nobody is known.
    """
    found = {name: frame.select(DERIVED_TABLES[name].key).clear() for name, frame in frames.items()}
    names = [name for name in frames if known and name in published.tables()]
    rows = [
        published.current(name, pl.col("person_id").is_in(known))
        .select(DERIVED_TABLES[name].key)
        .join(frames[name].lazy(), on=DERIVED_TABLES[name].key, how="anti")
        for name in names
    ]
    return found | dict(zip(names, pl.collect_all(rows), strict=True))
