"""Versions that do not name the record which holds a resource: deletes, and resources that move to another patient.

Such a version displaces the older one only if that record hears of it (`view.fold`). Versions that name no patient are
few, and kept in a small table of their own, so that a version that is processed after its tombstone meets it.
"""

from dataclasses import dataclass

import polars as pl

from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.ledger import records
from spv_platform.pipeline import homes
from spv_platform.pipeline.catalog import UNOWNED_VERSION
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader
from spv_platform.pipeline.states import States
from spv_platform.view.facts import displaced, movable, versions_without_patient
from spv_platform.view.schema import VERSION_COLUMNS

_KEY = list(RESOURCE_KEY)
_HOME = [*_KEY, "patient_id"]


@dataclass(frozen=True)
class Elsewhere:
    """What a batch has to say to records that its rows do not name, and what it has to hear from them.

    Attributes:
        unowned: versions of the batch that name no patient, for their table.
        facts: silent facts for the records that hold, or will hold, another version of the same resource.
        pairs: resources and records that belong together from now on, as far as that is new; see `homes`.
    """

    unowned: pl.DataFrame
    facts: pl.DataFrame
    pairs: pl.DataFrame


def find_elsewhere(platform: Platform, published: TenantReader, tables: dict[str, pl.DataFrame]) -> Elsewhere:
    """The records of the ledger that the batch's rows concern without naming them, and of the batch itself."""
    keys = platform.tenant_keys(published.tenant)
    own = versions_without_patient(tables)
    batch = pl.concat([own.clear(), *(frame.select(VERSION_COLUMNS) for frame in movable(tables).values())])
    pairs, known = homes.pairs_of(keys, batch), homes.known(platform, published.tenant)
    seen = known.lazy().join(pairs.lazy().select("key"), on="key", how="semi").collect()
    there = _held(platform, published.tenant, batch, seen.join(pairs, on=["key", "home"], how="anti"))
    places = pl.concat([pairs.select(_HOME), there.select(_HOME)]).filter(pl.col("patient_id").is_not_null())
    versions = [own, _earlier(published, places), batch.join(there, on=_KEY, how="semi"), there]
    facts = displaced(pl.concat(versions).unique(), places)
    new = pairs.drop_nulls("home").join(seen, on=["key", "home"], how="anti")
    return Elsewhere(own, facts, new)


def _earlier(published: TenantReader, places: pl.DataFrame) -> pl.DataFrame:
    """Published versions that name no patient, of the resources that have a place."""
    if UNOWNED_VERSION.name not in published.tables():
        return pl.DataFrame(schema=dict(UNOWNED_VERSION.schema))
    stored = published.stored(UNOWNED_VERSION.name).select(VERSION_COLUMNS)
    return stored.join(places.lazy(), on=_KEY, how="semi").collect()


def _held(platform: Platform, tenant: str, batch: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The versions of the batch's resources in the states of the records that the pairs name."""
    if pairs.is_empty():
        return batch.clear()
    names = [home.to_bytes(homes.BEGINNING) for home in pairs["home"].unique()]
    with platform.db.transaction() as cur:
        found = records.beginning(cur, tenant, names)
    held = States(platform, tenant).open(found).select(VERSION_COLUMNS)
    return held.join(batch, on=_KEY, how="semi").unique()
