"""Trying criteria on the persons of a tenant, and looking ahead: what would come of them, with nothing stored."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, criteria, records, tenants
from spv_platform.ledger.db import today
from spv_platform.pipeline.criteria import load_criteria
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.patient_facts import facts_of_person
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.slices import cut, slice_of
from spv_platform.trials.changes import Change, next_changes
from spv_platform.trials.describe import asks
from spv_platform.trials.evaluate import POTENTIALLY_ELIGIBLE, Matcher
from spv_platform.trials.model import Trial, criteria_of


def compare_criteria(
    platform: Platform, tenant: str, trials: list[Trial], as_of: date, *, who: str
) -> list[dict[str, Any]]:
    """What would change if these criteria took the place of those in force of the same trials.

    Returns:
        A row per cohort: how many persons are potentially eligible and need information, before and after, and who
        comes to be potentially eligible, or stops to be so. Persons whose verdict stays are only counted.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    with platform.db.transaction() as cur:
        version = criteria.newest(cur)
    in_force, _ = load_criteria(version)
    names = {trial.trial for trial in trials}
    before_trials = [trial for trial in in_force if trial.trial in names]
    sides = [
        list(try_criteria(platform, tenant, side, as_of, who=who)) if side else [] for side in (before_trials, trials)
    ]
    cohorts = {
        (trial.trial, cohort.id) for side in (before_trials, trials) for trial in side for cohort in trial.cohorts
    }
    rows = []
    for trial, cohort in sorted(cohorts):
        before, after = (
            {row["person_id"]: row["verdict"] for row in side if (row["trial"], row["cohort"]) == (trial, cohort)}
            for side in sides
        )
        eligible = [{p for p, verdict in side.items() if verdict == POTENTIALLY_ELIGIBLE} for side in (before, after)]
        rows.append(
            {
                "trial": trial,
                "cohort": cohort,
                "eligible": len(eligible[0]),
                "eligible_then": len(eligible[1]),
                "open": len(before) - len(eligible[0]),
                "open_then": len(after) - len(eligible[1]),
                "gained": sorted(eligible[1] - eligible[0]),
                "lost": sorted(eligible[0] - eligible[1]),
            }
        )
    return rows


def next_tests(platform: Platform, tenant: str, trials: list[Trial], as_of: date, *, who: str) -> list[dict[str, Any]]:
    """Which single result would decide how many cohorts, per person: those who are one answer away.

    Returns:
        A row per person and question, the most useful first: `person_id`, `asks`, `cohorts` (how many it could make
        potentially eligible), `of` (which).

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    with platform.db.transaction() as cur:
        version = criteria.newest(cur)
    asked_of = trials or load_criteria(version)[0]
    words = {
        (trial.trial, criterion.id): asks(criterion)
        for trial in asked_of
        for cohort in trial.cohorts
        for criterion in criteria_of(cohort.criteria)
    }
    found: dict[tuple[str, str], list[str]] = {}
    for row in try_criteria(platform, tenant, trials, as_of, who=who):
        if row["answers_needed"] != 1:
            continue
        for question in dict.fromkeys(words[row["trial"], name] for name in row["missing"]):
            found.setdefault((row["person_id"], question), []).append(f"{row['trial']} {row['cohort']}")
    rows = [
        {"person_id": person, "asks": question, "cohorts": len(of), "of": of}
        for (person, question), of in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["cohorts"], row["person_id"], row["asks"]))


def changes_ahead(platform: Platform, tenant: str, view: Mapping[str, Any], trial: str) -> list[Change]:
    """When the verdicts of a trial on a person will change by themselves.

    Args:
        platform: of the installation.
        tenant: whose person.
        view: row of `patient_view` of the person.
        trial: registry id of a trial whose criteria are in force.

    Raises:
        UsageError: the trial has no criteria.
    """
    with platform.db.transaction() as cur:
        version, as_of = criteria.newest(cur), today(cur)
    in_force, studies = load_criteria(version)
    wanted = next((each for each in in_force if each.trial == trial), None)
    if wanted is None:
        raise UsageError(f"there are no criteria of {trial}: `spv trials list` shows those that are in force")
    facts = facts_of_person(platform, tenant, view)
    return next_changes(opted_out(platform, tenant, facts), facts, wanted, studies, as_of)


def try_criteria(
    platform: Platform, tenant: str, trials: list[Trial], as_of: date, *, who: str
) -> Iterator[dict[str, Any]]:
    """The persons and cohorts that nothing speaks against, slice by slice.

    Args:
        platform: of the installation.
        tenant: whose persons.
        trials: the criteria; without any, those in force.
        as_of: the day of evaluation.
        who: for the audit trail: it shows which persons would qualify.

    Yields:
        Rows of `Evaluation.cohorts`, without those that are not eligible.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    with platform.db.transaction() as cur:
        if tenant not in tenants.tenants(cur):
            raise UsageError(f"there is no tenant {tenant}: `spv tenant list` shows them")
        names = ", ".join(trial.trial for trial in trials) or "criteria in force"
        audit.write(cur, who, "trials try", tenant, names)
        version = criteria.newest(cur)
    in_force, studies = load_criteria(version)
    if not (trials or in_force):
        raise UsageError("there are no criteria: name files with --ctml, or put some with `spv trials put`")
    matcher = Matcher(trials or in_force, studies)
    for linked in cut(platform, tenant, records.in_force(tenant)):
        facts = slice_of(linked, frozenset()).facts
        persons = opted_out(platform, tenant, facts)
        found = matcher.evaluate(persons, facts, as_of).cohorts
        yield from (
            found.filter(found["verdict"] != "not_eligible").sort("person_id", "trial", "cohort").iter_rows(named=True)
        )
