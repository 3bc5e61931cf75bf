"""The gate between staging and the fold: no batch is published that has not passed it in its current attempt."""

from dataclasses import dataclass

from spv_platform.ledger import batches
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.staged import read_columns
from spv_platform.quality.expectations import Judgement
from spv_platform.quality.staged_rows import COLUMNS, judge_staged_rows


@dataclass(frozen=True)
class GateReport:
    """The outcome: how many rows were judged, and what they fell short of."""

    rows: int
    failed: list[Judgement]


def pass_gate(platform: Platform, holding: Holding) -> GateReport:
    """Judge the staged batch, and note in the ledger if it passed.

    Raises:
        LeaseLostError: the batch is no longer ours.
        RuntimeError: an expectation could not be evaluated; the batch has not passed.
    """
    rows = read_columns(platform, holding.claim, COLUMNS)
    failed = [] if rows.is_empty() else [item for item in judge_staged_rows(rows) if not item.passed]
    if not failed:
        with platform.db.transaction() as cur:
            batches.mark_gated(cur, holding.claim)
    return GateReport(rows.height, failed)
