"""Matching the candidates of a batch against the criteria in force, slice by slice, and staging what comes of it."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from spv_platform.lake.stage import StagedFile
from spv_platform.ledger import approvals, criteria, tenants
from spv_platform.ledger.approvals import Approval, Verdict
from spv_platform.ledger.db import Cursor
from spv_platform.memory import no_collections
from spv_platform.pipeline.catalog import DERIVED_TABLES
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.criteria import load_criteria
from spv_platform.pipeline.derived import gone, with_tombstones
from spv_platform.pipeline.gate import pass_approvals_gate
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.reading import TenantReader
from spv_platform.pipeline.slices import ROWS_PER_FILE
from spv_platform.pipeline.stage import Staging
from spv_platform.pipeline.telling import news
from spv_platform.quality import candidate_approvals
from spv_platform.quality.candidate_approvals import Candidates
from spv_platform.trials.evaluate import Evaluation, Matcher
from spv_platform.trials.model import Trial
from spv_platform.trials.registry import Study
from spv_platform.trials.rows import table_rows
from spv_platform.trials.tables import APPROVED_PATIENTS, CRITERION_RESULT
from spv_platform.trials.zone import in_zone


@dataclass(frozen=True)
class Matched:
    """What the matching came to.

    Attributes:
        verdicts: the approvals, and an end to those that are none any more.
        news: whom there is something to tell about.
        needs_information: persons and cohorts for which the data say too little.
        files: staged files of derived tables.
    """

    criteria_version: int | None
    verdicts: list[Verdict]
    news: list[news.Candidate]
    needs_information: int
    files: list[StagedFile]


@dataclass(frozen=True)
class Ready:
    """The criteria in force, ready for matching.

    Attributes:
        version: None before the first.
        studies: by NCT id.
    """

    version: int | None
    trials: list[Trial]
    studies: dict[str, Study]
    matcher: Matcher


#: By version and digest. One version is in force for all tenants, so one is kept.
_ready: dict[tuple[int, str], Ready] = {}


def ready_criteria(cur: Cursor) -> Ready:
    """The criteria in force, ready for matching: a process reads them once, since that takes longer than a few persons.

    What it returns is shared, and not to be changed.
    """
    key = criteria.newest_digest(cur)
    if key is None:
        return Ready(None, [], {}, Matcher([], {}))
    found = _ready.get(key)
    if found is None:
        with no_collections():
            trials, studies = load_criteria(criteria.at(cur, key[0]))
            found = Ready(key[0], trials, studies, Matcher(trials, studies))
        _ready.clear()
        _ready[key] = found
    return found


def match_persons(platform: Platform, holding: Holding, prepared: Prepared) -> Matched:
    """Judge the candidates by the criteria in force, stage the verdicts, and lead the approvals through their gate.

    Raises:
        GateRefusedError: the gate refused them.
    """
    claim = holding.claim
    with platform.db.transaction() as cur:
        ready, (zone, as_of) = ready_criteria(cur), tenants.zone_and_day(cur, claim.tenant)
    trials, studies = ready.trials, ready.studies
    published = TenantReader(platform, claim.tenant, prepared.before)
    measured: list[pl.DataFrame] = []
    all_verdicts: list[Verdict] = []
    told: list[news.Candidate] = []
    staging = Staging(platform, claim, ROWS_PER_FILE)
    needs_information = 0
    for each in prepared.slices:
        holding.check()
        with platform.db.transaction() as cur:
            known = approvals.current(cur, claim.tenant, sorted(each.known.union(each.persons)))
        persons = opted_out(platform, claim.tenant, each.facts)
        result = ready.matcher.evaluate(persons, in_zone(each.facts, zone), as_of)
        tables = table_rows(result, trials, as_of, prepared.seq)
        verdicts = _verdicts(result, known)
        announced = [(verdict.person_id, verdict.trial, verdict.cohort) for verdict in verdicts if verdict.approved]
        approved, answers = tables[APPROVED_PATIENTS.name], tables[CRITERION_RESULT.name]
        candidates = Candidates(approved, announced, answers, persons, each.views, trials, studies)
        measured.append(candidate_approvals.measure(candidates))
        ended = gone(published, tables, each.known)
        rows = {
            name: with_tombstones(DERIVED_TABLES[name], frame, ended[name], prepared.seq)
            for name, frame in tables.items()
        }
        staging.add(rows)
        all_verdicts += verdicts
        told += news.candidates(platform, claim.tenant, each.facts, verdicts, as_of)
        needs_information += result.cohorts.filter(verdict="needs_information").height
    staging.flush()
    pass_approvals_gate(platform, holding, pl.concat(measured))
    return Matched(ready.version, all_verdicts, told, needs_information, staging.files)


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
