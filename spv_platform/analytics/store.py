"""The analyst tables in the lake bucket: `<tenant>/analytics/<table>`, Delta tables under the analysts' key.

Each build replaces all rows in one commit per table. The files of earlier builds go after a day, which is time enough
for whoever is reading them: who has opted out must not stay.
"""

from typing import TYPE_CHECKING

import polars as pl

from spv_platform.analytics.tables import SHIFT_LABEL, TABLES
from spv_platform.lake.store import Lake, store_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

PREFIX = "analytics"
_KEPT_HOURS = 24
_DESCRIPTIONS = {table.name: table.description for table in TABLES}


def url(lake: Lake, tenant: str, table: str) -> str:
    """URL of an analyst table."""
    return lake.settings.lake_url(tenant, PREFIX, table)


def replace(
    lake: Lake, tenant: str, table: str, rows: "pl.DataFrame | pa.RecordBatchReader", *, publication: int
) -> None:
    """Make the rows of a table these.

    Args:
        lake: with the analysts' keys.
        tenant: whose table.
        table: its name.
        rows: all of them; a reader is written as it is read.
        publication: what they were made from; the commit says so, and how dates are to be read.

    Raises:
        TransientError: `store_unavailable`.
    """
    from deltalake import CommitProperties, DeltaTable, write_deltalake

    place, options = url(lake, tenant, table), lake.storage_options(tenant)
    with store_errors(f"analytics {table}"):
        write_deltalake(
            place,
            rows.to_arrow() if isinstance(rows, pl.DataFrame) else rows,
            mode="overwrite",
            schema_mode="overwrite",
            name=table,
            description=f"{_DESCRIPTIONS[table]} Dates: {SHIFT_LABEL}",
            storage_options=options,
            commit_properties=CommitProperties(custom_metadata={"publication": str(publication), "dates": SHIFT_LABEL}),
        )
        DeltaTable(place, storage_options=options).vacuum(
            retention_hours=_KEPT_HOURS, dry_run=False, enforce_retention_duration=False
        )


def open_table(lake: Lake, tenant: str, table: str) -> "DeltaTable":
    """The Delta log of a table at its head.

    Raises:
        deltalake.exceptions.TableNotFoundError: nothing is built yet.
    """
    from deltalake import DeltaTable

    return DeltaTable(url(lake, tenant, table), storage_options=lake.storage_options(tenant))
