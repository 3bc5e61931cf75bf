"""The page that teaches the language, the schema for editors, and the advice on files."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from trials_facts import trial_of

from spv_platform.trials.criteria import CriteriaError, from_document, parse_trial, to_document
from spv_platform.trials.lint import lint
from spv_platform.trials.schema import json_schema

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (DOCS / "criteria.md").read_text(encoding="utf-8"), re.DOTALL)
SCHEMA = jsonschema.Draft202012Validator(json_schema())


def test_the_page_has_five_worked_trials():
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_in_the_language_and_in_the_schema(text):
    trial = parse_trial(text, "criteria.md")
    assert from_document(to_document(trial)) == trial
    assert [error.message for error in SCHEMA.iter_errors(yaml.safe_load(text))] == []
    assert [error.message for error in SCHEMA.iter_errors(to_document(trial))] == []
    complaints = [
        line for line in lint(trial) if "is UNKNOWN unless its absence" not in line and "ClinicalTrials" not in line
    ]
    assert complaints == []


def test_the_published_schema_is_that_of_the_code():
    assert json.loads((DOCS / "criteria.schema.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(json_schema())
    )


@pytest.mark.parametrize(
    "criterion",
    [
        {"id": "x"},
        {"age": {"min": 18}},
        {"id": "x", "age": {"min": "old"}},
        {"id": "x", "age": {"min": 18}, "sex": "male"},
        {"id": "x", "stage": {"in": ["IV"], "of": 1}},
        {"id": "x", "biomarker": {"gene": "EGFR", "alteration": "gain"}},
        {"id": "x", "therapy": {"state": "sometimes"}},
        {"id": "x", "sex": {"is": "female", "of": "heart"}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(criterion):
    document = {"trial": "NCT00000001", "cohorts": [{"id": "A", "criteria": {"all": [criterion]}}]}
    assert list(SCHEMA.iter_errors(document))
    with pytest.raises(CriteriaError):
        from_document(document)


def test_a_window_may_stand_inside_of_the_question_for_the_schema_too():
    lab = {"code": "loinc|1", "unit": "g", "min": 1, "within_days": 3}
    document = {"trial": "NCT00000001", "cohorts": [{"id": "A", "criteria": {"all": [{"id": "x", "lab": lab}]}}]}
    assert list(SCHEMA.iter_errors(document)) == []


ADULT, CHILD = {"age": {"min": 18}, "wording": "w"}, {"age": {"max": 12}, "wording": "w"}


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ([ADULT, CHILD], "can never match: no age is at least 18 and at most 12"),
        ([{"sex": "male", "wording": "w"}, {"sex": "female", "wording": "w"}], "can never match: both sexes"),
        ([ADULT, {"none": [{"id": "n", **ADULT}]}], "can never match: c1 and n ask for the opposite"),
        ([{"any": [{"id": "a", **ADULT}, {"none": [{"id": "n", **ADULT}]}]}], "always matches"),
        ([{"biomarker": {"gene": "erbb2"}, "wording": "w"}], "did you mean ERBB2?"),
        ([{"biomarker": {"gene": "ALK", "partner": "EML44"}, "wording": "w"}], "`EML44` is not a known HGNC symbol"),
        (
            [{"biomarker": {"gene": "MET", "alteration": "mutation", "call": "gain"}, "wording": "w"}],
            "no variant is both",
        ),
    ],
)
def test_what_can_never_or_always_hold_is_found(criteria, said):
    # what stands twice would be an alias in YAML
    assert [line for line in lint(trial_of(*json.loads(json.dumps(criteria)))) if said in line]


def test_what_can_hold_is_not_complained_about():
    assert lint(trial_of(ADULT, {"any": [{"id": "a", **CHILD}, {"id": "b", "sex": "male", "wording": "w"}]})) == []
