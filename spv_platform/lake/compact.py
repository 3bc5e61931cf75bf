"""Compaction: the rows that readers need, written as a new version of `current/<table>`.

`current/<table>` is also what analysts' own tools read. Its rows with `current` are the current rows. The others are
there so that a version that arrives late is judged right: tombstones (`deleted`) and versions that lost.

What belongs here: when to compact, and how. What does not: pinning the new version (a publication of the ledger).
"""

from dataclasses import dataclass
from functools import reduce
from math import ceil
from operator import xor
from uuid import uuid4

import polars as pl

from spv_platform.errors import TransientError
from spv_platform.lake.publish import commit_files
from spv_platform.lake.read import Reader
from spv_platform.lake.spec import TableSpec
from spv_platform.lake.stage import StagedFile
from spv_platform.lake.store import Lake, store_errors

#: A base is rewritten when the tail has reached this share of it: four rows rewritten per row published, in the long
#: run, whatever the size of the table.
_TAIL_SHARE = 0.25
_LEAST_TAIL_ROWS = 20_000
_MOST_TAIL_FILES = 500
#: Rows whose keys are decided at once, each part into a file of its own: it takes some 300 bytes a row.
ROWS_AT_ONCE = 2_000_000


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
            parts = max(1, ceil(reader.stored_rows(table) / ROWS_AT_ONCE))
            files = [_write(lake, tenant, table, reader, _part(lake.spec(table), part, parts)) for part in range(parts)]
            handle = lake.ensure_table(tenant, "current", table)
            version = commit_files(lake, tenant, "current", handle, files, "overwrite")
    except CommitFailedError as error:
        raise TransientError("store_unavailable", f"{place}: another compaction committed first") from error
    return Base(version, sum(file.rows for file in files), sum(file.bytes for file in files))


def _part(spec: TableSpec, part: int, parts: int) -> pl.Expr | None:
    """The condition on keys that makes one of so many parts; the versions of a key are in one."""
    if parts == 1:
        return None
    return reduce(xor, (pl.col(name).hash() for name in spec.key)) % parts == part


def _write(lake: Lake, tenant: str, table: str, reader: Reader, keys: pl.Expr | None) -> StagedFile:
    path = f"{uuid4().hex}.parquet"
    url = lake.url(tenant, "current", table, path)
    reader.merged(table, keys).sink_parquet(
        url,
        compression="zstd",
        compression_level=1,
        statistics=True,
        maintain_order=False,
        storage_options=lake.storage_options(tenant),
    )
    rows = pl.scan_parquet(url, glob=False, storage_options=lake.storage_options(tenant))
    return StagedFile(table, path, int(rows.select(pl.len()).collect().item()), lake.size(tenant, url))
