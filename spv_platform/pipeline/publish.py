"""Publishing a batch: the one commit point of the platform."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spv_platform import faults
from spv_platform.lake.publish import adopt
from spv_platform.lake.stage import StagedFile
from spv_platform.ledger import (
    approvals,
    batches,
    homes,
    leases,
    objects,
    publications,
    reconciliation,
    records,
    references,
    tenants,
)
from spv_platform.pipeline.catalog import RESOURCE_TABLE_NAMES
from spv_platform.pipeline.claims import Holding, let_go
from spv_platform.pipeline.gate import pass_view_gate
from spv_platform.pipeline.matching import match_persons
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepare import prepare
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.telling import news


@dataclass(frozen=True)
class PublishReport:
    """What a publication came to.

    Attributes:
        seconds_landed_to_published: of the batch's oldest object, by the store's clock; None without objects.
        objects_staged_again: objects whose references have come to mean something by what this batch brought.
    """

    publication: int
    persons: int
    approved: int
    newly_approved: int
    needs_information: int
    seconds_landed_to_published: float | None
    objects_staged_again: int


def publish_batch(platform: Platform, holding: Holding) -> PublishReport:
    """Match the prepared candidates and make the batch visible, all of it or nothing.

    Every way to the commit leads through the gates.

    Raises:
        GateRefusedError: a gate refused the batch; nothing became visible.
        LeaseLostError: the batch or the publish lease is no longer ours; nothing became visible.
        PermanentError: `tenant_removed` or `does_not_balance`; nothing became visible.
        TransientError: a store did not answer.
    """
    claim = holding.claim
    prepared = holding.prepared or prepare(platform, holding)
    pass_view_gate(platform, holding, prepared)
    matched = match_persons(platform, holding, prepared)
    derived = [*prepared.files, *matched.files]
    holding.check()
    with platform.db.transaction() as cur:
        tenants.check_active(cur, claim.tenant)
        leases.check_for_update(cur, prepared.token)
        batches.check(cur, claim)
        for file in derived:
            publications.add_staged_file(cur, claim.batch_id, claim.attempt, file)
        files = publications.staged_files(cur, claim.batch_id, claim.attempt)
        rows = reconciliation.check_batch(cur, claim, files, RESOURCE_TABLE_NAMES)
        faults.point("before_files_added")
        pins = _adopt(platform, claim.tenant, prepared, [StagedFile(*file) for file in files])
        faults.point("after_files_added")
        publications.mark_files_published(cur, claim.batch_id, claim.attempt, prepared.seq)
        if claim.kind == "rebuild":
            records.forget_others(cur, claim)
            homes.forget(cur, claim.tenant)
        records.commit_candidates(cur, claim, prepared.seq)
        homes.put(cur, claim.tenant, prepared.seq, prepared.homes)
        new = approvals.apply(cur, claim.tenant, prepared.seq, matched.verdicts)
        news.put(platform, cur, claim.tenant, matched.news)
        approved = sum(verdict.approved for verdict in matched.verdicts)
        publications.insert(
            cur,
            claim,
            prepared.seq,
            tables=pins,
            criteria_version=matched.criteria_version,
            counts={
                "rows": rows,
                "persons": prepared.persons,
                "approved": approved,
                "newly_approved": len(new),
            },
        )
        batches.mark_published(cur, claim)
        landed = min((item.landed_at for item in objects.of_batch(cur, claim.batch_id)), default=None)
        known = references.put_targets(cur, claim.tenant, prepared.targets)
        again = references.stage_again(cur, claim.tenant, claim.batch_id, known)
        faults.point("before_commit")
    faults.point("after_commit")
    let_go(platform, claim.run_id)
    return PublishReport(
        publication=prepared.seq,
        persons=prepared.persons,
        approved=approved,
        newly_approved=len(new),
        needs_information=matched.needs_information,
        seconds_landed_to_published=(datetime.now(UTC) - landed).total_seconds() if landed else None,
        objects_staged_again=again,
    )


def _adopt(platform: Platform, tenant: str, prepared: Prepared, files: list[StagedFile]) -> dict[str, Any]:
    before = prepared.before.tables if prepared.before else {}
    by_table: dict[str, list[StagedFile]] = defaultdict(list)
    for file in files:
        by_table[file.table].append(file)
    versions = adopt(platform.lake, tenant, by_table, {table: pin["log"] for table, pin in before.items()})
    return before | {table: {**before.get(table, {}), "log": version} for table, version in versions.items()}
