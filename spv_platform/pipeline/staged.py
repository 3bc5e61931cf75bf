"""Reading the staged files of a batch back."""

from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from spv_platform.ledger import publications
from spv_platform.ledger.batches import Claim
from spv_platform.pipeline.platform import Platform


def read_staged(platform: Platform, claim: Claim, tables: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The staged rows of the batch's current attempt, by table; tables without rows are left out."""
    paths: dict[str, list[str]] = defaultdict(list)
    for file in _files(platform, claim):
        if file.table in tables:
            paths[file.table].append(platform.lake.url(claim.tenant, "log", file.table, file.path))
    options = platform.lake.storage_options(claim.tenant)
    frames = [pl.scan_parquet(urls, storage_options=options) for urls in paths.values()]
    return dict(zip(paths, pl.collect_all(frames), strict=True))


def read_columns(platform: Platform, claim: Claim, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of all staged resource rows; null where a table has no such column."""
    from spv_platform.lake.tables import TABLES

    schemas = {table.name: table.schema for table in TABLES}
    frames = [
        frame.select(pl.col(name) if name in frame.columns else pl.lit(None, pl.String).alias(name) for name in columns)
        for table, frame in read_staged(platform, claim, list(schemas)).items()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))


def _files(platform: Platform, claim: Claim) -> list[publications.StagedFile]:
    with platform.db.transaction() as cur:
        return publications.staged_files(cur, claim.batch_id, claim.attempt)
