"""The reconciling sweep: the whole landing bucket against the ledger. Whatever else finds objects, this is the truth.

Page by page, in whatever order the store lists. What was seen is one bit per landing sequence, so memory stays flat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from spv_platform import faults
from spv_platform.ledger import objects, sweeping, tenants
from spv_platform.ledger.sweeping import Ages
from spv_platform.pipeline.landing.pages import found_objects, pages_below
from spv_platform.pipeline.platform import Platform

#: So many objects that are gone are named.
_NAMED = 20


@dataclass
class SweepReport:
    """What a sweep saw.

    Attributes:
        objects: object versions in the bucket.
        missing: of these, the ledger did not have so many.
        entered: so many of them it has now; 0 in a dry run.
        gone: object versions of the ledger that are not in the bucket any more.
        gone_waiting: of these, so many were not processed yet.
        gone_objects: landing sequences of the first of them: their rows cannot be made anew.
        ages: what waits, and since when.
    """

    objects: int = 0
    missing: int = 0
    entered: int = 0
    gone: int = 0
    gone_waiting: int = 0
    gone_objects: list[int] = field(default_factory=list)
    ages: Ages = field(default_factory=Ages)


def sweep(
    platform: Platform,
    *,
    tenant: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> SweepReport:
    """List the bucket, or a tenant's part of it, enter what the ledger lacks, and report what is gone.

    Args:
        platform: the installation.
        tenant: only this tenant's prefix.
        dry_run: enter nothing.
        progress: called after each page with the number of object versions seen.

    Raises:
        TransientError: the store or the database did not answer; what was entered stays entered.
    """
    bucket, prefix = platform.settings.landing_bucket, f"{tenant}/" if tenant else ""
    report = SweepReport()
    with platform.db.transaction() as cur:
        highest = sweeping.highest(cur)
    seen = bytearray(highest // 8 + 1)
    for page in pages_below(platform.s3, bucket, prefix):
        found = found_objects(bucket, page)
        faults.point("listed")
        with platform.db.transaction() as cur:
            known = sweeping.known(cur, bucket, [(each.key, each.version) for each in found])
            missing = [each for each in found if (each.key, each.version) not in known]
            report.entered += 0 if dry_run or not missing else objects.discover(cur, missing)
        faults.point("entered")
        for seq in known.values():
            if seq <= highest:
                seen[seq // 8] |= 1 << seq % 8
        report.objects += len(found)
        report.missing += len(missing)
        progress(report.objects)
    _note_gone(platform, report, tenant, seen, highest)
    with platform.db.transaction() as cur:
        if not dry_run:  # what was entered while its tenant or feed was being added
            for name in tenants.tenants(cur):
                objects.admit_refused(cur, name)
        report.ages = sweeping.ages(cur, tenant)
    return report


def _note_gone(platform: Platform, report: SweepReport, tenant: str | None, seen: bytearray, highest: int) -> None:
    after = 0
    while True:
        with platform.db.transaction() as cur:
            rows = sweeping.page(cur, platform.settings.landing_bucket, tenant, after, highest)
        if not rows:
            return
        after = rows[-1][0]
        for seq, state in rows:
            if seen[seq // 8] >> seq % 8 & 1:
                continue
            report.gone += 1
            report.gone_waiting += state == "landed"
            if len(report.gone_objects) < _NAMED:
                report.gone_objects.append(seq)
