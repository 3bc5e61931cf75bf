"""Trying criteria on the persons of a tenant, and looking ahead: what would come of them, with nothing stored."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, practices, records, tenants
from spv_platform.notify.routing import choose, treated_by
from spv_platform.pipeline.criteria import InForce, in_force
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.patient_facts import facts_of_person
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.slices import cut, slice_of
from spv_platform.trials.asked import NOT_ELIGIBLE, POTENTIALLY_ELIGIBLE
from spv_platform.trials.changes import Change, next_changes
from spv_platform.trials.describe import asks
from spv_platform.trials.evaluate import Evaluation, Matcher
from spv_platform.trials.model import Trial, criteria_of
from spv_platform.trials.zone import in_zone


def compare_criteria(
    platform: Platform, tenant: str, trials: list[Trial], as_of: date | None = None, *, who: str
) -> list[dict[str, Any]]:
    """What would change if these criteria took the place of those in force of the same trials.

    Args:
        platform: of the installation.
        tenant: on whose persons.
        trials: the criteria.
        as_of: the day of evaluation; today at the tenant.
        who: for the audit trail.

    Returns:
        A row per cohort: how many persons are potentially eligible and need information, before and after, and who
        comes to be potentially eligible, or stops to be so. Persons whose verdict stays are only counted.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    basis = _begin(platform, tenant, trials, as_of, who)
    names = {trial.trial for trial in trials}
    before_trials = [trial for trial in basis.trials if trial.trial in names]
    sides = [list(_open_rows(platform, tenant, replace(basis, trials=side))) for side in (before_trials, trials)]
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


def next_tests(
    platform: Platform,
    tenant: str,
    trials: list[Trial],
    as_of: date | None = None,
    *,
    by_practice: bool = False,
    who: str,
) -> list[dict[str, Any]]:
    """Which single result would decide how many cohorts: of those who are one answer away.

    Args:
        platform: of the installation.
        tenant: of whose persons.
        trials: the criteria; without any, those in force.
        as_of: the day of evaluation; today at the tenant.
        by_practice: add up the persons of each practice, as notifications would be routed.
        who: for the audit trail.

    Returns:
        A row per person or practice and question, the most useful first: `person_id`, or `practice` (None: nobody would
        be told); `asks`; `persons`, of how many persons the result could make something possible; `cohorts`, how many
        pairs of person and cohort; `of`, which cohorts.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    basis = _begin(platform, tenant, trials, as_of, who)
    basis = replace(basis, trials=trials or basis.trials)
    words = {
        (trial.trial, criterion.id): asks(criterion)
        for trial in basis.trials
        for cohort in trial.cohorts
        for criterion in criteria_of(cohort.criteria)
        if not criterion.text  # no result answers it
    }
    with platform.db.transaction() as cur:
        routes = practices.routes(cur, tenant)
    found: dict[tuple[str | None, str], set[tuple[str, str]]] = {}
    for facts, matched in _matched(platform, tenant, basis):
        away = matched.one_away()
        near = facts.filter(pl.col("person_id").is_in(away["person_id"].to_list()))
        organizations = treated_by(near, basis.day) if by_practice else {}
        for person, trial, cohort, criterion in away.iter_rows():
            if (trial, criterion) in words:
                of = choose(organizations.get(person, []), routes, basis.day) if by_practice else person
                found.setdefault((of, words[trial, criterion]), set()).add((person, f"{trial} {cohort}"))
    whose = "practice" if by_practice else "person_id"
    rows = [
        {
            whose: of,
            "asks": question,
            "persons": len({person for person, _ in pairs}),
            "cohorts": len(pairs),
            "of": sorted({cohort for _, cohort in pairs}),
        }
        for (of, question), pairs in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["cohorts"], row[whose] or "", row["asks"]))


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
        basis = in_force(cur, tenant)
    wanted = next((each for each in basis.trials if each.trial == trial), None)
    if wanted is None:
        raise UsageError(f"there are no criteria of {trial}: `spv trials list` shows those that are in force")
    facts = facts_of_person(platform, tenant, view)
    persons = opted_out(platform, tenant, facts)
    return next_changes(persons, in_zone(facts, basis.zone), wanted, basis.studies, basis.day)


def try_criteria(
    platform: Platform, tenant: str, trials: list[Trial], as_of: date | None = None, *, who: str
) -> Iterator[dict[str, Any]]:
    """The persons and cohorts that nothing speaks against, slice by slice.

    Args:
        platform: of the installation.
        tenant: whose persons.
        trials: the criteria; without any, those in force.
        as_of: the day of evaluation; today at the tenant.
        who: for the audit trail: it shows which persons would qualify.

    Yields:
        Rows of `Evaluation.cohorts`, without those that are not eligible.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    basis = _begin(platform, tenant, trials, as_of, who)
    yield from _open_rows(platform, tenant, replace(basis, trials=trials or basis.trials))


def _begin(platform: Platform, tenant: str, trials: list[Trial], as_of: date | None, who: str) -> InForce:
    """What is in force at the tenant, on the day of evaluation; that somebody tries criteria is noted."""
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
        names = ", ".join(trial.trial for trial in trials) or "criteria in force"
        audit.write(cur, who, "trials try", tenant, names)
        basis = in_force(cur, tenant)
    if not (trials or basis.trials):
        raise UsageError("there are no criteria: name files with --ctml, or put some with `spv trials put`")
    return replace(basis, day=as_of or basis.day)


def _matched(platform: Platform, tenant: str, basis: InForce) -> Iterator[tuple[pl.DataFrame, Evaluation]]:
    """Facts of some persons, and what they are matched to, a slice at a time."""
    matcher = Matcher(basis.trials, basis.studies)
    for linked in cut(platform, tenant, records.in_force(tenant)):
        facts = slice_of(linked, frozenset()).facts
        persons = opted_out(platform, tenant, facts)
        yield facts, matcher.evaluate(persons, in_zone(facts, basis.zone), basis.day)


def _open_rows(platform: Platform, tenant: str, basis: InForce) -> Iterator[dict[str, Any]]:
    for _, matched in _matched(platform, tenant, basis) if basis.trials else ():
        found = matched.cohorts.filter(pl.col("verdict") != NOT_ELIGIBLE)
        yield from found.sort("person_id", "trial", "cohort").iter_rows(named=True)
