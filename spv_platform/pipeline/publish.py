"""Matching the candidates and publishing the batch: the one commit point of the platform."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spv_platform import faults
from spv_platform.lake.publish import adopt
from spv_platform.lake.stage import StagedFile, stage_all
from spv_platform.ledger import (
    approvals,
    batches,
    criteria,
    leases,
    objects,
    publications,
    reconciliation,
    records,
    references,
    tenants,
)
from spv_platform.ledger.approvals import Approval, Verdict
from spv_platform.pipeline import news
from spv_platform.pipeline.catalog import DERIVED_TABLES, RESOURCE_TABLE_NAMES
from spv_platform.pipeline.claims import Holding, let_go
from spv_platform.pipeline.criteria import load_criteria
from spv_platform.pipeline.gate import pass_approvals_gate, pass_view_gate
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepare import prepare, with_tombstones
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.reading import TenantReader
from spv_platform.quality.candidate_approvals import Candidates
from spv_platform.trials.evaluate import Evaluation, evaluate
from spv_platform.trials.rows import table_rows
from spv_platform.trials.tables import APPROVED_PATIENTS, CRITERION_RESULT


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


@dataclass(frozen=True)
class _Matched:
    criteria_version: int | None
    verdicts: list[Verdict]
    needs_information: int
    files: list[StagedFile]


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
    matched = _match(platform, holding, prepared)
    derived = [*prepared.files, *matched.files]
    told = news.candidates(platform, claim.tenant, prepared.facts, matched.verdicts)
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
        records.commit_candidates(cur, claim, prepared.seq)
        new = approvals.apply(cur, claim.tenant, prepared.seq, matched.verdicts)
        news.put(platform, cur, claim.tenant, told)
        approved = sum(verdict.approved for verdict in matched.verdicts)
        publications.insert(
            cur,
            claim,
            prepared.seq,
            tables=pins,
            criteria_version=matched.criteria_version,
            counts={
                "rows": rows,
                "persons": len(prepared.persons),
                "approved": approved,
                "newly_approved": len(new),
            },
        )
        batches.mark_published(cur, claim)
        landed = min((item.landed_at for item in objects.of_batch(cur, claim.batch_id)), default=None)
        known = references.put_targets(cur, claim.tenant, prepared.targets)
        again = references.stage_again(cur, claim.tenant, claim.batch_id, known)
    faults.point("after_commit")
    let_go(platform, claim.run_id)
    return PublishReport(
        publication=prepared.seq,
        persons=len(prepared.persons),
        approved=approved,
        newly_approved=len(new),
        needs_information=matched.needs_information,
        seconds_landed_to_published=(datetime.now(UTC) - landed).total_seconds() if landed else None,
        objects_staged_again=again,
    )


def _match(platform: Platform, holding: Holding, prepared: Prepared) -> _Matched:
    """Judge the candidates by the criteria in force, and stage the verdicts."""
    claim = holding.claim
    with platform.db.transaction() as cur:
        version = criteria.newest(cur)
        concerned = [*prepared.persons, *prepared.retired]
        known = approvals.current(cur, claim.tenant, concerned)
    trials, studies = load_criteria(version.documents) if version else ([], {})
    as_of = datetime.now(UTC).date()
    persons = opted_out(platform, claim.tenant, prepared.facts)
    result = evaluate(persons, prepared.facts, trials, studies, as_of)
    tables = table_rows(result, trials, as_of, prepared.seq)
    verdicts = _verdicts(result, known)
    announced = [(verdict.person_id, verdict.trial, verdict.cohort) for verdict in verdicts if verdict.approved]
    approved, answers = tables[APPROVED_PATIENTS.name], tables[CRITERION_RESULT.name]
    candidates = Candidates(approved, announced, answers, persons, prepared.views, trials, studies)
    pass_approvals_gate(platform, holding, candidates)
    gone = _gone(TenantReader(platform, claim.tenant, prepared.before), tables, prepared.known)
    rows = {
        name: with_tombstones(DERIVED_TABLES[name], frame, gone[name], prepared.seq) for name, frame in tables.items()
    }
    return _Matched(
        criteria_version=version.version if version else None,
        verdicts=verdicts,
        needs_information=result.cohorts.filter(verdict="needs_information").height,
        files=stage_all(platform.lake, claim.tenant, rows, batch_id=claim.batch_id, attempt=claim.attempt),
    )


def _verdicts(result: Evaluation, known: list[Approval]) -> list[Verdict]:
    """The approvals of this evaluation, and an end to those known ones that are not among them."""
    approved = result.cohorts.filter("approved").select("person_id", "trial", "cohort")
    pointers = (
        result.criteria.join(approved, on=["person_id", "trial", "cohort"], how="semi")
        .group_by("person_id", "trial", "cohort")
        .agg(pl.struct("criterion", "verdict", "evidence").sort_by("criterion").alias("criteria"))
    )
    now = [
        Verdict(person, trial, cohort, approved=True, evidence=[_pointers(item) for item in criteria])
        for person, trial, cohort, criteria in pointers.iter_rows()
    ]
    names = {(verdict.person_id, verdict.trial, verdict.cohort) for verdict in now}
    ended = [
        Verdict(old.person_id, old.trial, old.cohort, approved=False, evidence=old.evidence)
        for old in known
        if (old.person_id, old.trial, old.cohort) not in names
    ]
    return now + ended


def _pointers(result: dict[str, Any]) -> dict[str, Any]:
    """A criterion's verdict and where its evidence is; no values, since PostgreSQL holds none."""
    sources = [[fact["source_object"], fact["source_entry"]] for fact in result["evidence"] or []]
    return {"criterion": result["criterion"], "verdict": result["verdict"], "sources": sources}


def _gone(published: TenantReader, frames: dict[str, pl.DataFrame], known: frozenset[str]) -> dict[str, pl.DataFrame]:
    """By table, the keys of current rows of the known persons that are not among the new ones.

    Nothing is read for persons who are all new.
    """
    gone = {name: frame.select(DERIVED_TABLES[name].key).clear() for name, frame in frames.items()}
    names = [name for name in frames if known and name in published.tables()]
    rows = [
        published.current(name)
        .filter(pl.col("person_id").is_in(known))
        .select(DERIVED_TABLES[name].key)
        .join(frames[name].lazy(), on=DERIVED_TABLES[name].key, how="anti")
        for name in names
    ]
    return gone | dict(zip(names, pl.collect_all(rows), strict=True))


def _adopt(platform: Platform, tenant: str, prepared: Prepared, files: list[StagedFile]) -> dict[str, Any]:
    before = prepared.before.tables if prepared.before else {}
    by_table: dict[str, list[StagedFile]] = defaultdict(list)
    for file in files:
        by_table[file.table].append(file)
    versions = adopt(platform.lake, tenant, by_table, {table: pin["log"] for table, pin in before.items()})
    return before | {table: {**before.get(table, {}), "log": version} for table, version in versions.items()}
