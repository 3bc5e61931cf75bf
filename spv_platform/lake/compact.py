"""Compaction: the rows that readers need, written as a new version of `current/<table>`.

`current/<table>` is also what analysts' own tools read. Its rows with `current` are the current rows. The others are
there so that a version that arrives late is judged right: tombstones (`deleted`) and versions that lost.

What belongs here: when to compact, and how. What does not: pinning the new version (a publication of the ledger).
"""

from dataclasses import dataclass
from uuid import uuid4

import polars as pl

from spv_platform.errors import TransientError
from spv_platform.lake.publish import commit_files
from spv_platform.lake.read import Reader
from spv_platform.lake.stage import StagedFile
from spv_platform.lake.store import Lake, store_errors

#: A base is rewritten when the tail has reached this share of it: four rows rewritten per row published, in the long
#: run, whatever the size of the table.
_TAIL_SHARE = 0.25
_LEAST_TAIL_ROWS = 20_000
_MOST_TAIL_FILES = 500


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

    path = f"{uuid4().hex}.parquet"
    url = lake.url(tenant, "current", table, path)
    place = f"table {table}"
    try:
        with store_errors(place):
            reader.merged(table).sink_parquet(
                url,
                compression="zstd",
                compression_level=1,
                statistics=True,
                maintain_order=False,
                storage_options=lake.storage_options(tenant),
            )
            rows = pl.scan_parquet(url, glob=False, storage_options=lake.storage_options(tenant))
            count = int(rows.select(pl.len()).collect().item())
            file = StagedFile(table, path, count, lake.size(tenant, url))
            handle = lake.ensure_table(tenant, "current", table)
            version = commit_files(lake, tenant, "current", handle, [file], "overwrite")
    except CommitFailedError as error:
        raise TransientError("store_unavailable", f"{place}: another compaction committed first") from error
    return Base(version, file.rows, file.bytes)
