"""The gates: no batch is published that has not passed all of them in its current attempt.

Three of them: on the staged rows, before they are folded; on the candidate views; on the candidate approvals, before
the commit. A gate refuses by raising, so that no caller can overlook it.
"""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl

from spv_platform import faults
from spv_platform.errors import PermanentError
from spv_platform.lake.tables import TABLES
from spv_platform.ledger import batches, objects, references, tenants
from spv_platform.ledger.contracts import contract_of
from spv_platform.ledger.db import today
from spv_platform.memory import give_back
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.staged import staged_rows
from spv_platform.quality import candidate_approvals, candidate_view, staged_batch
from spv_platform.quality.expectations import Judgement, Suite, UnevaluableError, judge

#: An approval that breaks a rule is never published: nobody can decide that for the patient.
NEVER_WAIVED = frozenset({candidate_approvals.GATE})

_BY_NAME = {table.name: table for table in TABLES}


@dataclass(frozen=True)
class GateReport:
    """The outcome of one gate, in codes, places and counts.

    Attributes:
        rows: how many rows were judged.
        failed: what they fell short of.
        places: by column of a failed expectation, how many rows fall short in which column of which table.
        unevaluable: where a suite could not be evaluated; empty: they all could.
        waived: somebody lets the batch pass all the same.
    """

    gate: str
    rows: int
    failed: list[Judgement] = field(default_factory=list)
    places: dict[str, dict[str, int]] = field(default_factory=dict)
    unevaluable: str = ""
    waived: bool = False

    @property
    def passed(self) -> bool:
        """Whether every expectation was evaluated and met."""
        return not self.failed and not self.unevaluable

    @property
    def details(self) -> dict[str, Any]:
        """The same for the ledger."""
        failed = [
            {"expectation": item.expectation, "column": item.column, "unexpected": item.unexpected}
            for item in self.failed
        ]
        found = {"gate": self.gate, "rows": self.rows, "failed": failed, "places": self.places}
        return found | ({"unevaluable": self.unevaluable} if self.unevaluable else {})


class GateRefusedError(PermanentError):
    """A gate refused the batch: `gate_failed`, or `gate_unevaluable`."""

    def __init__(self, report: GateReport) -> None:
        super().__init__("gate_unevaluable" if report.unevaluable else "gate_failed", report.gate)
        self.report = report
        self.details = report.details


def pass_staged_gate(platform: Platform, holding: Holding) -> GateReport:
    """Judge the staged batch, and note in the ledger that it passed.

    Raises:
        GateRefusedError: it did not pass, and nobody waived the gate.
        LeaseLostError: the batch is no longer ours.
    """
    claim = holding.claim
    with platform.db.transaction() as cur:
        # where the tenant is, a day may have begun that has not in UTC, by which senders may write
        day = max(today(cur), tenants.zone_and_day(cur, claim.tenant)[1])
    staged = staged_rows(platform, holding)
    frames = [staged_batch.measure(_BY_NAME[name], table, day) for name, table in staged.items()]
    rows = pl.concat(frames) if frames else pl.DataFrame()
    feeds = _feeds(platform, holding, rows)
    report = _judged(staged_batch.GATE, rows.height, (staged_batch.ROWS, rows), (staged_batch.FEEDS, feeds))
    places = {
        item.column: _places(staged, item.column, day) for item in report.failed if item.column in staged_batch.MEASURES
    }
    give_back()
    report = _settled(platform, holding, replace(report, places=places))
    with platform.db.transaction() as cur:
        batches.mark_gated(cur, claim)
    return report


def pass_view_gate(platform: Platform, holding: Holding, prepared: Prepared) -> GateReport:
    """Judge the candidate views; those that have passed pass again.

    Raises:
        GateRefusedError: they did not pass, and nobody waived the gate.
        LeaseLostError: the batch is no longer ours.
    """
    if holding.judged is prepared:
        return GateReport(candidate_view.GATE, prepared.persons)
    rows = prepared.measured
    report = _judged(candidate_view.GATE, rows.height, (candidate_view.SUITE, rows))
    report = _settled(platform, holding, report)
    holding.judged = prepared
    return report


def pass_approvals_gate(platform: Platform, holding: Holding, rows: pl.DataFrame) -> GateReport:
    """Judge the candidate approvals by what `candidate_approvals.measure` gave; nobody can waive this gate.

    Raises:
        GateRefusedError: they did not pass.
    """
    report = _judged(candidate_approvals.GATE, rows.height, (candidate_approvals.SUITE, rows))
    return _settled(platform, holding, report)


def _judged(gate: str, rows: int, *suites: tuple[Suite, pl.DataFrame]) -> GateReport:
    try:
        found = [item for suite, frame in suites for item in judge(suite, frame)]
    except UnevaluableError as error:
        return GateReport(gate, rows, unevaluable=error.place)
    return GateReport(gate, rows, failed=[item for item in found if not item.passed])


def _settled(platform: Platform, holding: Holding, report: GateReport) -> GateReport:
    """The report if the batch may go on, with `waived` set if that is by somebody's decision."""
    if report.passed:
        faults.point("gate_passed", report.gate)
        return report
    if report.gate not in NEVER_WAIVED:
        with platform.db.transaction() as cur:
            if batches.is_waived(cur, holding.claim, report.gate):
                return replace(report, waived=True)
    raise GateRefusedError(report)


def _feeds(platform: Platform, holding: Holding, rows: pl.DataFrame) -> pl.DataFrame:
    """One row per feed of the batch: how much of it was quarantined, and how many references wait for a target."""
    claim = holding.claim
    with platform.db.transaction() as cur:
        items = objects.of_batch(cur, claim.batch_id)
        queued = references.waiting_by_source(cur, claim.batch_id)
        limits = {feed: contract_of(cur, claim.tenant, feed).quarantine_limit for feed in {i.feed for i in items}}
    waiting = dict(rows.group_by("source").agg(pl.col("open_references").sum()).iter_rows()) if rows.height else {}
    found = []
    for feed, limit in sorted(limits.items()):
        entries = sum(item.entries or 0 for item in items if item.feed == feed)
        quarantined = sum(item.quarantined or 0 for item in items if item.feed == feed)
        share = quarantined / entries if entries else 0.0
        found.append((feed, share, limit, waiting.get(feed, 0), queued.get(feed, 0)))
    names = ["source", "quarantined_share", "quarantine_limit", "open_references", "queued_references"]
    return pl.DataFrame(found, schema=names, orient="row")


def _places(staged: dict[str, pl.DataFrame], measure: str, day: date) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, rows in staged.items():
        found |= staged_batch.places(_BY_NAME[name], rows, day, measure)
    return found
