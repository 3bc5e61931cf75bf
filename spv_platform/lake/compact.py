"""Compaction: the rows that readers need, written as a new version of `current/<table>`.

`current/<table>` is also what analysts' own tools read. Its rows with `current` are the current rows. The others are
there so that a version that arrives late is judged right: tombstones (`deleted`) and versions that lost.

What belongs here: when to compact, and how. What does not: pinning the new version (a publication of the ledger).
"""

from dataclasses import dataclass
from uuid import uuid4

import polars as pl

from spv_platform import faults
from spv_platform.errors import TransientError
from spv_platform.lake.publish import commit_files
from spv_platform.lake.read import Reader
from spv_platform.lake.stage import StagedFile
from spv_platform.lake.store import Lake, store_errors

#: A base is rewritten when the tail is as large: each row is rewritten once in the long run, whatever the table's size.
_TAIL_SHARE = 1.0
_LEAST_TAIL_ROWS = 20_000
_MOST_TAIL_FILES = 500
#: Rows whose keys are decided at once, and that are written into one file: it takes about two kilobytes a row.
ROWS_AT_ONCE = 250_000
#: Rows that a reader holds at once of each file that it reads.
_ROW_GROUP = 65_536


@dataclass(frozen=True)
class Base:
    """A compacted table: its version, and its rows and bytes."""

    version: int
    rows: int
    bytes: int


def should_compact(*, tail_rows: int, base_rows: int, tail_files: int) -> bool:
    """Whether a table's tail has grown so much that reading pays for a new base."""
    if tail_files >= _MOST_TAIL_FILES:
        return True
    return tail_rows >= max(_TAIL_SHARE * base_rows, _LEAST_TAIL_ROWS)


def compact(lake: Lake, tenant: str, table: str, reader: Reader) -> Base:
    """Write the base of a table as of the reader's publication, as a new version of `current/<table>`.

    It changes nothing that a reader gets until a publication pins the version with `base_seq` = `reader.seq`. May run
    beside publishes, and beside itself: every version is complete.

    Raises:
        TransientError: `store_unavailable`, also when another compaction committed first.
    """
    from deltalake.exceptions import CommitFailedError

    place = f"table {table}"
    try:
        with store_errors(place):
            files = [
                _write(lake, tenant, table, rows) for rows in reader.merged_in_slices(table, rows_at_once=ROWS_AT_ONCE)
            ]
            faults.point("base_files_written", table)
            handle = lake.ensure_table(tenant, "current", table)
            version = commit_files(lake, tenant, "current", handle, files, "overwrite")
    except CommitFailedError as error:
        raise TransientError("store_unavailable", f"{place}: another compaction committed first") from error
    return Base(version, sum(file.rows for file in files), sum(file.bytes for file in files))


def _write(lake: Lake, tenant: str, table: str, rows: pl.LazyFrame) -> StagedFile:
    path = f"{uuid4().hex}.parquet"
    url = lake.url(tenant, "current", table, path)
    rows.sink_parquet(
        url,
        compression="zstd",
        compression_level=1,
        row_group_size=_ROW_GROUP,
        statistics=True,
        maintain_order=False,
        storage_options=lake.storage_options(tenant),
    )
    written = pl.scan_parquet(url, glob=False, storage_options=lake.storage_options(tenant))
    return StagedFile(table, path, int(written.select(pl.len()).collect().item()), lake.size(tenant, url))
