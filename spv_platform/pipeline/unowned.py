"""Versions that name no patient, such as deletes: finding the records that they take a resource from.

They are few, and kept in a small table of their own, so that a version that is processed after its tombstone meets it.
"""

from dataclasses import dataclass

import polars as pl

from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.lake.tables import TABLES, table_of
from spv_platform.pipeline.catalog import UNOWNED_VERSION
from spv_platform.pipeline.reading import TenantReader
from spv_platform.view.facts import displaced, versions_without_patient
from spv_platform.view.schema import VERSION_COLUMNS

_KEY = list(RESOURCE_KEY)
_HOME = [*_KEY, "patient_id"]


@dataclass(frozen=True)
class Unowned:
    """What a batch's own and earlier unowned versions come to.

    Attributes:
        rows: the batch's own, for the table.
        facts: silent facts for the records that hold, or will hold, another version of the same resource.
    """

    rows: pl.DataFrame
    facts: pl.DataFrame


def find_unowned(published: TenantReader, tables: dict[str, pl.DataFrame]) -> Unowned:
    """Unowned versions among the batch's rows, and every record of the batch or of the lake that they concern."""
    own = versions_without_patient(tables)
    earlier = (
        published.lake_reader.versions(UNOWNED_VERSION.name).select(VERSION_COLUMNS).collect()
        if UNOWNED_VERSION.name in published.tables()
        else own.clear()
    )
    owned = [frame.filter(pl.col("patient_id").is_not_null()).select(_HOME) for frame in tables.values()]
    homes = pl.concat([own.clear().select(_HOME), *owned, *_homes_in_lake(published, own)]).unique()
    return Unowned(own, displaced(pl.concat([own, earlier]).unique(), homes))


def _homes_in_lake(published: TenantReader, own: pl.DataFrame) -> list[pl.DataFrame]:
    found = []
    names = {table_of(resource_type).name for resource_type in own["resource_type"].unique()}
    for table in TABLES:
        if table.name in names and table.name in published.tables():
            rows = published.lake_reader.versions(table.name).filter(pl.col("patient_id").is_not_null())
            found.append(rows.select(_HOME).join(own.lazy().select(_KEY), on=_KEY, how="semi").unique().collect())
    return found
