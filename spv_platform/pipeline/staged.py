"""Reading the staged files of a batch back."""

from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from spv_platform.ledger import publications
from spv_platform.ledger.batches import Claim
from spv_platform.pipeline.platform import Platform


def scan_staged(platform: Platform, claim: Claim, tables: Sequence[str]) -> dict[str, pl.LazyFrame]:
    """The staged rows of the batch's current attempt, by table, not read yet; tables without rows are left out."""
    with platform.db.transaction() as cur:
        files = publications.staged_files(cur, claim.batch_id, claim.attempt)
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.table in tables:
            paths[file.table].append(platform.lake.url(claim.tenant, "log", file.table, file.path))
    options = platform.lake.storage_options(claim.tenant)
    return {table: pl.scan_parquet(urls, storage_options=options) for table, urls in paths.items()}


def read_staged(platform: Platform, claim: Claim, tables: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The same, read."""
    scans = scan_staged(platform, claim, tables)
    return dict(zip(scans, pl.collect_all(scans.values()), strict=True))
