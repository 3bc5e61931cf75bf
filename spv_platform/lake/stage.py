"""Staging: final-form Parquet files that lie under a table's prefix while no table refers to them.

Nothing that is staged can be seen by a reader until `lake.publish` adds the file to the table.
"""

from dataclasses import dataclass
from io import BytesIO

import polars as pl

from spv_platform.errors import PermanentError
from spv_platform.lake.store import Lake


@dataclass(frozen=True)
class StagedFile:
    """One staged file.

    Attributes:
        path: relative to the root of the table `log/<table>`.
    """

    table: str
    path: str
    rows: int
    bytes: int


def stage(
    lake: Lake, tenant: str, table: str, frame: pl.DataFrame, *, batch_id: str, attempt: int, part: int
) -> StagedFile:
    """Write rows as one file of a table; the frame has exactly the table's columns, in order.

    The path follows from the names and numbers alone, so doing it again after a kill replaces the file.

    Raises:
        PermanentError: `internal_error`, the frame has not the table's columns.
        TransientError: `store_unavailable`.
    """
    schema = lake.spec(table).schema
    if list(frame.schema.items()) != list(schema.items()):
        wrong = sorted(name for name in {*frame.schema, *schema} if frame.schema.get(name) != schema.get(name))
        raise PermanentError("internal_error", f"table {table}: columns {', '.join(wrong) or 'in another order'}")
    path = f"{batch_id}/{attempt}-{part}.parquet"
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=True)
    size = lake.put(tenant, lake.url(tenant, "log", table, path), buffer)
    return StagedFile(table, path, frame.height, size)
