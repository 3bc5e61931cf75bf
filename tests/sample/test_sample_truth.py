"""The whole way from the sample's bytes to verdicts, without servers, against the truth written by hand."""

from datetime import date

import polars as pl
import pytest

from spv_platform.fhir.parse import parse_object
from spv_platform.sample import BROKEN, bundles, expected, trial_files
from spv_platform.trials.criteria import criteria_of, parse_trial
from spv_platform.trials.evaluate import evaluate
from spv_platform.trials.registry import parse_studies
from spv_platform.view.facts import facts_of


def parsed(tenant):
    return {
        file.name: parse_object(
            file.data,
            content_type=file.content_type,
            source="emr",
            landing_seq=number,
            source_object=file.name,
            batch_id="batch",
            max_entries=1000,
        )
        for number, file in enumerate(bundles(tenant))
    }


def feeds():
    trials, studies = [], {}
    for file in trial_files():
        if file.name.startswith("criteria/"):
            trials.append(parse_trial(file.data.decode(), file.name))
        else:
            studies |= {study.nct_id: study for study in parse_studies(file.data, file.name)}
    return trials, studies


def verdicts(tenant, as_of):
    tables = {}
    for result in parsed(tenant).values():
        for name, rows in result.tables.items():
            tables[name] = pl.concat([tables[name], rows]) if name in tables else rows
    facts = facts_of(tables).with_columns(person_id="patient_id")
    persons = facts.select("person_id", opted_out=pl.lit(False)).unique()
    trials, studies = feeds()
    return evaluate(persons, facts, trials, studies, as_of).cohorts


# The sample has no windows and no upper ages, so that it stays true for as long as it is used.
@pytest.mark.parametrize("as_of", [date(2026, 11, 1), date(2041, 1, 1)])
@pytest.mark.parametrize("tenant", ["north", "south"])
def test_every_verdict_is_the_truth_with_its_reasons(tenant, as_of):
    found = {
        (row["person_id"], row["trial"], row["cohort"]): row for row in verdicts(tenant, as_of).iter_rows(named=True)
    }
    true = {(f"sample-{t.patient}", t.trial, t.cohort): t for t in expected() if t.tenant == tenant}
    assert found.keys() == true.keys()
    for key, truth in true.items():
        row = found[key]
        assert (row["verdict"], row["approved"], set(row["missing"])) == (truth.verdict, truth.approved, truth.missing)
        # of several criteria that speak against, the first one is told
        assert _without_criteria(row["reasons"]) == _without_criteria(truth.reasons)
        told, against = (set(r) - _without_criteria(r) for r in (row["reasons"], truth.reasons))
        assert told <= against
        assert len(told) == bool(against)


def _without_criteria(reasons):
    return {reason for reason in reasons if not reason.startswith("criterion:")}


@pytest.mark.parametrize("tenant", ["north", "south"])
def test_only_the_broken_entry_is_set_aside(tenant):
    set_aside = [
        (tenant, name, entry.entry, entry.pointer, entry.reason)
        for name, result in parsed(tenant).items()
        for entry in result.quarantined
    ]
    truth = (BROKEN.tenant, BROKEN.file, BROKEN.entry, BROKEN.pointer, BROKEN.reason)
    assert set_aside == ([truth] if tenant == BROKEN.tenant else [])


def test_the_truth_names_criteria_that_exist():
    known = {c.id for trial in feeds()[0] for cohort in trial.cohorts for c in criteria_of(cohort.criteria)}
    named = {name for truth in expected() for name in truth.missing}
    named |= {r.removeprefix("criterion:") for truth in expected() for r in truth.reasons if r.startswith("criterion:")}
    assert named <= known
