"""Verdicts in sentences, for the person who asks why."""

from typing import Any

import polars as pl

from spv_platform.trials.asked import NEEDS_INFORMATION, POTENTIALLY_ELIGIBLE
from spv_platform.trials.changes import Change
from spv_platform.trials.describe import WORDING

_REASONS = {
    "opted_out": "the person does not allow the use of the record",
    "deceased": "the person is recorded as deceased",
    "cohort_closed": "the cohort is closed",
    "trial_not_recruiting": "the registry does not list the trial as recruiting",
    "trial_not_in_registry": "the registry's status of the trial is not known",
}
_MARKS = {"MET": "yes", "NOT_MET": "no", "UNKNOWN": "not known"}


def explain(cohorts: pl.DataFrame, criteria: pl.DataFrame) -> list[str]:
    """Why one person has these verdicts.

    Args:
        cohorts: the person's rows of `Evaluation.cohorts`, or of the table `cohort_verdict`.
        criteria: the person's rows of `Evaluation.criteria`, or of the table `criterion_result`.

    Returns:
        One sentence per cohort, followed by one per criterion, indented.
    """
    lines = []
    for cohort in cohorts.sort("trial", "cohort").to_dicts():
        lines.append(_verdict(cohort, criteria))
        of_cohort = (pl.col("trial") == cohort["trial"]) & (pl.col("cohort") == cohort["cohort"])
        lines += [_criterion(row) for row in criteria.filter(of_cohort).sort("position").to_dicts()]
    return lines


def ahead(changes: list[Change]) -> list[str]:
    """What will change by itself, one sentence each."""
    return [
        f"{each.trial}, cohort {each.cohort}: {each.verdict.replace('_', ' ')} from {each.day} on, if nothing is new."
        for each in changes
    ]


def _verdict(row: dict[str, object], criteria: pl.DataFrame) -> str:
    start = f"{row['trial']}, cohort {row['cohort']}: "
    if row["verdict"] == POTENTIALLY_ELIGIBLE:
        return start + WORDING + "."
    reasons = [_reason(str(code)) for code in _list(row["reasons"])]
    if row["verdict"] != NEEDS_INFORMATION:
        return start + f"not eligible: {'; '.join(reasons)}."
    missing = [str(name) for name in _list(row["missing"])]
    wordings = dict(criteria.filter(pl.col("trial") == row["trial"]).select("criterion", "wording").iter_rows())
    asked = [f"{wordings.get(name, name)} ({name})" for name in missing]
    near = " (one test away)" if row["answers_needed"] == 1 else ""
    open_points = [f"not known: {'; '.join(asked)}"] if asked else []
    return start + f"needs information{near}: {'; '.join(reasons + open_points)}."


def _reason(code: str) -> str:
    kind, _, name = code.partition(":")
    return f"criterion {name} speaks against it" if kind == "criterion" else _REASONS[code]


def _criterion(row: dict[str, object]) -> str:
    evidence = "; ".join(_fact(fact) for fact in _list(row["evidence"])) or "no evidence"
    clinic = "" if row["gating"] else ", for the clinic"
    mark = "not known, the records contradict each other" if row.get("conflict") else _MARKS[str(row["verdict"])]
    return f"  {row['criterion']} ({row['wording']}){clinic}: {mark}: {evidence}."


def _fact(fact: dict[str, Any]) -> str:
    return f"{fact['summary']} ({fact['source']}, {fact['resource_type']}/{fact['resource_id']})"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
