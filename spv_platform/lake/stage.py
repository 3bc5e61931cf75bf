"""Staging: final-form Parquet files that lie under a table's prefix while no table refers to them.

Nothing that is staged can be seen by a reader until `lake.publish` adds the file to the table.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import polars as pl

from spv_platform import faults
from spv_platform.errors import PermanentError
from spv_platform.lake.store import Lake

_MOST_THREADS = 4


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


def stage_all(
    lake: Lake, tenant: str, frames: Mapping[str, pl.DataFrame], *, batch_id: str, attempt: int
) -> list[StagedFile]:
    """Write each frame that has rows as the one file of its table, side by side; see `stage`."""

    def write(table: str) -> StagedFile:
        return stage(lake, tenant, table, frames[table], batch_id=batch_id, attempt=attempt, part=0)

    with ThreadPoolExecutor(_MOST_THREADS) as pool:
        return list(pool.map(write, (table for table, frame in frames.items() if not frame.is_empty())))


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
    # a file is one group of rows in the order of arrival, so its least and greatest values would tell readers nothing
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
    size = lake.put(tenant, lake.url(tenant, "log", table, path), buffer)
    faults.point("file_staged", table)
    return StagedFile(table, path, frame.height, size)
