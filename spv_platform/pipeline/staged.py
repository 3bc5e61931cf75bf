"""Reading the staged files of a batch back."""

from collections import defaultdict

import polars as pl

from spv_platform.lake.tables import TABLES
from spv_platform.ledger import publications
from spv_platform.memory import slim
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform

_NAMES = frozenset(table.name for table in TABLES)


def staged_rows(platform: Platform, holding: Holding) -> dict[str, pl.DataFrame]:
    """The staged rows of the batch's current attempt, by resource table; tables without rows are left out.

    They are kept with the holding, so that gate and fold read them once; whoever needs them last takes them away.
    """
    if holding.staged is None:
        holding.staged = _read(platform, holding)
    return holding.staged


def _read(platform: Platform, holding: Holding) -> dict[str, pl.DataFrame]:
    claim = holding.claim
    with platform.db.transaction() as cur:
        files = publications.staged_files(cur, claim.batch_id, claim.attempt)
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.table in _NAMES:
            paths[file.table].append(platform.lake.url(claim.tenant, "log", file.table, file.path))
    options = platform.lake.storage_options(claim.tenant)
    scans = [pl.scan_parquet(urls, storage_options=options) for urls in paths.values()]
    # of most tables most columns are empty in a batch
    return {name: slim(frame) for name, frame in zip(paths, pl.collect_all(scans), strict=True)}
