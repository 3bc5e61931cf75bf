"""The gates on candidates: each expectation is met by good ones, and broken by bad ones."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from spv_platform.quality import candidate_approvals, candidate_view
from spv_platform.quality.candidate_approvals import Candidates
from spv_platform.quality.expectations import judge
from spv_platform.trials.criteria import parse_trial
from spv_platform.trials.registry import Study

TRIAL = """
trial: NCT90000001
cohorts:
  - id: A
    criteria:
      all:
        - {id: adult, age: {min: 18}}
        - any:
            - {id: er, biomarker: {marker: ER, state: positive}}
            - {id: pr, biomarker: {marker: PR, state: positive}}
        - none:
            - {id: gone, finding: {kind: allergy}}
        - {id: clinic, text: true, wording: Willing, gating: false, for_clinic: true}
"""
MET = {"adult": "MET", "er": "MET", "pr": "NOT_MET", "gone": "NOT_MET", "clinic": "UNKNOWN"}
KEY = ("ann", "NCT90000001", "A")


def fallen_views(persons: list[str], *views: dict[str, Any]) -> set[str]:
    schema = {"person_id": pl.String, "sources": pl.List(pl.String), "records": pl.List(pl.String)}
    rows = candidate_view.measure(persons, pl.DataFrame(list(views), schema=schema))
    return {item.column for item in judge(candidate_view.SUITE, rows) if not item.passed}


def view(person: str | None, sources: list[str] | None, records: list[str] | None) -> dict[str, Any]:
    return {"person_id": person, "sources": sources, "records": records}


ANN, BEN = view("ann", ["emr"], ["a"]), view("ben", ["emr", "lab"], ["a", "b"])


@pytest.mark.parametrize(
    ("views", "failed"),
    [
        ([ANN, BEN], set()),
        ([ANN, BEN, BEN], {"rows"}),
        ([ANN], {"rows", "sources", "records"}),
        ([ANN, view("ben", [], ["b"])], {"sources"}),
        ([ANN, view("ben", None, ["b"])], {"sources"}),
        ([ANN, view("ben", ["emr"], [])], {"records"}),
        ([ANN, BEN, view(None, ["emr"], ["x"])], {"person_id"}),
    ],
)
def test_a_person_has_one_view_with_a_source(views: list[dict[str, Any]], failed: set[str]) -> None:
    assert fallen_views(["ann", "ben"], *views) == failed


def candidates(**changes: Any) -> Candidates:
    made = Candidates(
        approved=keys(KEY),
        announced=[KEY],
        criteria=results(MET),
        opted_out=pl.DataFrame({"person_id": ["ann"], "opted_out": [False]}),
        views=pl.DataFrame({"person_id": ["ann"], "deceased": [None], "opted_out": [False]}).cast(
            {"deceased": pl.Boolean}
        ),
        trials=[parse_trial(TRIAL, "trial.yaml")],
        studies={"NCT90000001": study("RECRUITING")},
    )
    return replace(made, **changes)


def study(status: str) -> Study:
    return Study(nct_id="NCT90000001", title="T", overall_status=status)


def keys(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict.fromkeys(("person_id", "trial", "cohort"), pl.String), orient="row")


def results(verdicts: dict[str, str]) -> pl.DataFrame:
    rows = [(*KEY, criterion, verdict) for criterion, verdict in verdicts.items()]
    return pl.DataFrame(rows, schema=["person_id", "trial", "cohort", "criterion", "verdict"], orient="row")


def fallen(given: Candidates) -> set[str]:
    found = judge(candidate_approvals.SUITE, candidate_approvals.measure(given))
    return {item.column for item in found if not item.passed}


def test_an_approval_that_keeps_the_rules_passes() -> None:
    found = judge(candidate_approvals.SUITE, candidate_approvals.measure(candidates()))
    assert {item.column for item in found} >= {"criteria", "agreed", "open", "alive", "willing"}
    assert all(item.passed for item in found)


@pytest.mark.parametrize(
    "verdicts",
    [
        MET | {"adult": "NOT_MET"},
        MET | {"adult": "UNKNOWN"},
        MET | {"er": "NOT_MET"},
        MET | {"gone": "MET"},
        MET | {"gone": "UNKNOWN"},
        {name: verdict for name, verdict in MET.items() if name != "adult"},
    ],
)
def test_an_approval_without_its_criteria_fails(verdicts: dict[str, str]) -> None:
    assert fallen(candidates(criteria=results(verdicts))) == {"criteria"}


def test_what_only_the_clinic_judges_does_not_count() -> None:
    assert fallen(candidates(criteria=results(MET | {"clinic": "NOT_MET"}))) == set()


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"trials": [parse_trial(TRIAL.replace("id: A", "id: A\n    status: closed"), "t")]}, {"open"}),
        ({"studies": {"NCT90000001": study("COMPLETED")}}, {"open"}),
        ({"studies": {}}, {"open"}),
        ({"trials": []}, {"open", "criteria"}),
        ({"opted_out": pl.DataFrame({"person_id": ["ann"], "opted_out": [True]})}, {"willing"}),
        ({"opted_out": pl.DataFrame({"person_id": ["ben"], "opted_out": [False]})}, {"willing"}),
        ({"announced": []}, {"agreed"}),
        ({"approved": keys()}, {"agreed"}),
        ({"approved": keys(KEY, KEY)}, {"person_id, trial, cohort"}),
    ],
    ids=[
        "closed",
        "completed",
        "not in registry",
        "no trial",
        "opted out",
        "says nothing",
        "silent",
        "absent",
        "twice",
    ],
)
def test_an_approval_that_breaks_a_rule_fails(change: dict[str, Any], failed: set[str]) -> None:
    assert fallen(candidates(**change)) == failed


@pytest.mark.parametrize(
    ("rows", "failed"),
    [
        ([("ann", True, False)], {"alive"}),
        ([("ann", False, True)], {"willing"}),
        ([], {"alive", "willing"}),
    ],
)
def test_an_approval_of_somebody_dead_unwilling_or_without_a_view_fails(
    rows: list[tuple[str, bool, bool]], failed: set[str]
) -> None:
    schema = {"person_id": pl.String, "deceased": pl.Boolean, "opted_out": pl.Boolean}
    assert fallen(candidates(views=pl.DataFrame(rows, schema=schema, orient="row"))) == failed
