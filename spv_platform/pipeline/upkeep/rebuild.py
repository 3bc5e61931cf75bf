"""Making the states of all records of a tenant anew from every version that was ever published.

Records are folded a slice at a time. A resource that versions of name more than one patient, or none, is looked up
first, so that each record hears of all of them, as it would have batch by batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil

import polars as pl

from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.lake.tables import TABLES
from spv_platform.lake.winners import versions
from spv_platform.ledger import audit, batches, records, tenants
from spv_platform.pipeline import homes
from spv_platform.pipeline.catalog import UNOWNED_VERSION
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader
from spv_platform.pipeline.states import States
from spv_platform.view.facts import bearing, displaced, facts_of, movable
from spv_platform.view.fold import fold
from spv_platform.view.schema import VERSION_COLUMNS

#: Rows that are folded at once, how often as many are read at once (each reading goes through all files), and keys that
#: are compared at once.
SLICE_ROWS = 50_000
SLICES_PER_READ = 2
KEYS_AT_ONCE = 1_000_000
_KEY = list(RESOURCE_KEY)
_HOME = [*_KEY, "patient_id"]


@dataclass(frozen=True)
class Remade:
    """What a rebuild made, beside the candidates in the ledger.

    Attributes:
        records: how many records.
        unowned: versions that name no patient and are missing in their table.
        homes: which records hold which resources, sealed; see `pipeline.homes`.
    """

    records: int = 0
    unowned: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UNOWNED_VERSION.schema))
    homes: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What a rebuild has before it.

    Attributes:
        records: in force now.
        persons: whom they are.
        versions: rows of resource tables that it reads.
        batch: carries the rebuild; None in a dry run.
    """

    records: int
    persons: int
    versions: int
    batch: str | None


def ask(platform: Platform, tenant: str, *, dry_run: bool, who: str) -> Asked:
    """Ask for a rebuild of a tenant's view, which becomes an ordinary batch; one that waits already is enough.

    Args:
        platform: the installation.
        tenant: whose.
        dry_run: only say what it would have before it.
        who: for the audit trail.

    Raises:
        UsageError: there is no such tenant.
    """
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
        found = records.count(cur, tenant)
    published = reader(platform, tenant)
    rows = sum(published.stored_rows(name) for name in _tables(published))
    if dry_run:
        return Asked(*found, rows, None)
    with platform.db.transaction() as cur:
        batch_id = batches.form_rebuild(cur, tenant)
        audit.write(cur, who, "rebuild", tenant, f"batch {batch_id}")
    return Asked(*found, rows, batch_id)


def remake(platform: Platform, holding: Holding, published: TenantReader) -> Remade:
    """Fold all published versions into candidates, which have no persons yet.

    Raises:
        LeaseLostError: the batch is no longer ours.
        TransientError: a store did not answer.
    """
    claim, keys = holding.claim, platform.tenant_keys(holding.claim.tenant)
    tables = _tables(published)
    told = _told(tables, published)
    slices = max(1, ceil(sum(published.stored_rows(name) for name in tables) / SLICE_ROWS))
    states, made, sealed = States(platform, claim.tenant), 0, list[bytes]()
    for number, rows in _slices(tables, slices):
        holding.check()
        facts = states.named(pl.concat([facts_of(rows), told.filter(_bucket("patient_id", slices) == number)]))
        with platform.db.transaction() as cur:
            made += records.add_candidates(cur, claim, states.unlinked(fold(facts.clear(), facts)))
        places = [frame.select(_HOME) for frame in movable(rows).values()]
        pairs = homes.pairs_of(keys, pl.concat([told.clear().select(_HOME), *places]))
        sealed += homes.seal(keys, claim.tenant, published.seq + 1, pairs, len(sealed))
    return Remade(made, _unowned(tables, published), sealed)


def _tables(published: TenantReader) -> dict[str, pl.LazyFrame]:
    """The tables that facts come from, with all rows that were ever published."""
    return bearing({table.name: published.stored(table.name) for table in TABLES if table.name in published.tables()})


def _slices(tables: Mapping[str, pl.LazyFrame], slices: int) -> Iterator[tuple[int, dict[str, pl.DataFrame]]]:
    """The versions of all records, so many records at a time; each once for each record that it names."""
    bucket = _bucket("patient_id", slices)
    for first in range(0, slices, SLICES_PER_READ):
        mine = pl.col("patient_id").is_not_null() & bucket.is_between(first, first + SLICES_PER_READ - 1)
        read = pl.collect_all([rows.filter(mine) for rows in tables.values()], engine="streaming")
        for number in range(first, min(first + SLICES_PER_READ, slices)):
            parts = {name: rows.filter(bucket == number) for name, rows in zip(tables, read, strict=True)}
            yield (
                number,
                {
                    name: versions(rows.lazy(), [*_HOME, "container"]).collect()
                    for name, rows in parts.items()
                    if rows.height
                },
            )


def _told(tables: Mapping[str, pl.LazyFrame], published: TenantReader) -> pl.DataFrame:
    """What records have to hear of versions that do not name them."""
    nothing = pl.DataFrame(schema=UNOWNED_VERSION.schema)
    found = [nothing]
    for name, rows in movable(tables).items():
        parts = max(1, ceil(published.stored_rows(name) / KEYS_AT_ONCE))
        contested = [
            rows.filter(_bucket("resource_id", parts) == part)
            .select(_HOME)
            .unique()
            .group_by(_KEY)
            .agg(named=pl.len())
            .filter(pl.col("named") > 1)
            .select(_KEY)
            .collect(engine="streaming")
            for part in range(parts)
        ]
        if any(keys.height for keys in contested):
            theirs = rows.join(pl.concat(contested).lazy(), on=_KEY, how="semi")
            found.append(theirs.select(VERSION_COLUMNS).unique().collect(engine="streaming"))
    every = pl.concat(found)
    return displaced(every, every.filter(pl.col("patient_id").is_not_null()).select(_HOME))


def _unowned(tables: Mapping[str, pl.LazyFrame], published: TenantReader) -> pl.DataFrame:
    """Versions that name no patient and that their table lacks."""
    nobodys = (pl.col("patient_id").is_null()) & (pl.col("resource_type") != "Patient") & pl.col("container").is_null()
    rows = [frame.filter(nobodys).select(VERSION_COLUMNS) for frame in tables.values()]
    every = pl.concat([pl.LazyFrame(schema=UNOWNED_VERSION.schema), *rows]).unique().collect(engine="streaming")
    if UNOWNED_VERSION.name not in published.tables():
        return every
    there = published.stored(UNOWNED_VERSION.name).collect()
    return every.join(there, on=list(VERSION_COLUMNS), how="anti", nulls_equal=True)


def _bucket(column: str, buckets: int) -> pl.Expr:
    """One of so many numbers for each value of a column."""
    return pl.col(column).hash() % buckets
