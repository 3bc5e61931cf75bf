import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from trials_facts import NCT, trial_of

from spv_platform.errors import UsageError
from spv_platform.trials.criteria import MAX_BYTES, CriteriaError, from_document, parse_trial, to_document
from spv_platform.trials.lint import lint
from spv_platform.trials.model import criteria_of, gating_tree

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-trial.md"
FULL = """
trial: NCT00000001
title: A study
version: 3
cohorts:
  - id: A
    title: First
    status: open
    criteria:
      all:
        - {id: inc-1, wording: "Age 18 or older", age: {min: 18}}
        - {id: inc-2, wording: "NSCLC", diagnosis: {codes: ["http://snomed.info/sct|254637007", "icd10cm|C34*"]}}
        - {id: inc-3, wording: w, biomarker: {gene: EGFR, change: p.Leu858Arg, state: present}}
        - {id: inc-4, wording: w, biomarker: {marker: HER2, state: positive}}
        - {id: inc-5, wording: w, biomarker: {tmb: {min: 10}}}
        - {id: inc-6, wording: w, performance_status: {ecog: {max: 1}}}
        - {id: inc-7, wording: w, lab: {code: "http://loinc.org|26499-4", min: 1.5, unit: "10*3/uL", within_days: 28}}
        - {id: inc-8, wording: w, stage: {in: [IV, IVA]}}
        - {id: inc-10, wording: w, sex: female, gating: false}
        - any:
            - {id: any-1, wording: w, biomarker: {msi: high}}
            - {id: any-2, wording: w, finding: {kind: metastasis, codes: ["sct|94225005"]}, within_days: 90}
        - none:
            - {id: exc-1, wording: "Pregnant", gating: true, finding: {kind: condition, codes: ["sct|77386006"]}}
        - {id: inc-9, gating: false, wording: "Able to swallow tablets", for_clinic: true, text: true}
  - id: B
    criteria: {id: b-1, wording: w, age: {max: 17}}
"""


def test_the_whole_language_parses():
    trial = parse_trial(FULL, "full.yaml")
    assert (trial.trial, trial.version, [cohort.id for cohort in trial.cohorts]) == (NCT, 3, ["A", "B"])
    found = {criterion.id: criterion for criterion in criteria_of(trial.cohorts[0].criteria)}
    assert found["inc-3"].biomarker.change == "L858R"
    assert found["inc-2"].diagnosis.codes[1] == "http://hl7.org/fhir/sid/icd-10-cm|C34*"
    assert (found["inc-7"].within_days, found["inc-7"].lab.codes) == (28, ("http://loinc.org|26499-4",))
    assert not found["inc-9"].gating
    assert {criterion.id for criterion in criteria_of(gating_tree(trial.cohorts[0].criteria))} == {
        *("inc-1", "inc-2", "inc-3", "inc-4", "inc-5", "inc-6", "inc-7", "inc-8", "any-1", "any-2", "exc-1")
    }


def test_a_trial_survives_the_way_through_its_json_document():
    trial = parse_trial(FULL, "full.yaml")
    document = json.loads(json.dumps(to_document(trial)))
    assert document == to_document(trial)
    assert from_document(document) == trial
    assert parse_trial(yaml.safe_dump(document), "again.yaml") == trial


leaves = st.one_of(
    st.fixed_dictionaries({"age": st.fixed_dictionaries({"min": st.integers(0, 60), "max": st.integers(60, 120)})}),
    st.fixed_dictionaries({"sex": st.sampled_from(["female", "male"])}),
    st.fixed_dictionaries(
        {
            "biomarker": st.fixed_dictionaries({"gene": st.sampled_from(["EGFR", "KRAS"])}),
            "within_days": st.integers(0, 900),
            "gating": st.booleans(),
        }
    ),
)
trees = st.recursive(
    leaves,
    lambda nodes: st.builds(
        lambda op, members: {op: members},
        st.sampled_from(["all", "any", "none"]),
        st.lists(nodes, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_every_tree_survives_the_way_through_its_json_document(tree):
    count = iter(range(100))

    def name(node):
        op = next((op for op in ("all", "any", "none") if op in node), None)
        return {op: [name(member) for member in node[op]]} if op else {**node, "id": f"i{next(count)}"}

    document = {
        "trial": NCT,
        "cohorts": [{"id": "A", "criteria": {"all": [name(tree), {"id": "x", "age": {"min": 1}}]}}],
    }
    trial = from_document(document)
    assert from_document(to_document(trial)) == trial


def bad(text):
    return f"trial: {NCT}\ncohorts: [{{id: A, criteria: {{all: [{text}]}}}}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a mapping"),
        ("- a\n- b", "not a mapping"),
        ("trial: [", "line 1, column 9: not usable YAML"),
        ("a: \x00", "not usable YAML"),
        ("trial: NCT1: x", "not usable YAML"),
        ("trial: &a NCT00000001\ntitle: *a", "aliases are not allowed"),
        ("trial: NCT00000001\ntrial: NCT00000002", "a key stands twice"),
        ("trial: 2020-13-45", "not usable YAML"),
        ("!!python/object/apply:os.system ['true']", "not usable YAML"),
        ("cohorts: []", "`trial` is not a registry id"),
        ("trial: 12", "`trial` is not a registry id"),
        (f"trial: {NCT}", f"t.yaml: {NCT}: no cohorts"),
        (f"trial: {NCT}\ncohorts: []", "no cohorts"),
        (f"trial: {NCT}\nphase: 2", "unknown key `phase`"),
        (f"trial: {NCT}\ntitle: 3\ncohorts: [{{}}]", "`title` is not text"),
        (f"trial: {NCT}\nversion: two\ncohorts: [{{}}]", "`version` is not a whole number"),
        (f"trial: {NCT}\ncohorts: [x]", "cohort 1: not a mapping"),
        (f"trial: {NCT}\ncohorts: [{{criteria: {{}}}}]", "cohort 1: `id` is missing"),
        (f"trial: {NCT}\ncohorts: [{{id: A}}]", "cohort A: no criteria"),
        (f"trial: {NCT}\ncohorts: [{{id: A, arm: 1, criteria: {{}}}}]", "unknown key `arm`"),
        (
            f"trial: {NCT}\ncohorts: [{{id: A, status: maybe, criteria: {{id: x, sex: male}}}}]",
            "neither open nor closed",
        ),
        (f"trial: {NCT}\ncohorts: [{{id: A, title: [], criteria: {{id: x, sex: male}}}}]", "`title` is not text"),
        (f"trial: {NCT}\ncohorts: [{{id: A, criteria: [1]}}]", "criteria: not a criterion"),
        (f"trial: {NCT}\ncohorts: [{{id: A, criteria: {{all: []}}}}]", "criteria.all: needs a list of at least one"),
        (f"trial: {NCT}\ncohorts: [{{id: A, criteria: {{all: [], any: []}}}}]", "stands beside other keys"),
        (bad("{sex: male}"), "cohort A: criterion criteria.all[1]: no `id`"),
        (bad("{id: 3, sex: male}"), "Expected `str`, got `int`"),
        (bad("{id: ' ', sex: male}"), "`id` is empty"),
        (bad("{id: x, sex: male}, {id: x, sex: female}"), "criterion x: the id stands twice"),
        (bad("{id: x}"), "it has none"),
        (bad("{id: x, sex: male, age: {min: 1}}"), "it has age, sex"),
        (bad("{id: x, sex: other}"), "criterion x: Invalid enum value"),
        (bad("{id: x, agee: {min: 1}}"), "criterion x: Object contains unknown field `agee`"),
        (bad("{id: x, age: {mn: 1}}"), "unknown field `mn` - at `$.age`"),
        (bad("{id: x, age: {}}"), "needs `min`, `max` or both"),
        (bad("{id: x, age: {min: adult}}"), "Expected `float | null`"),
        (bad("{id: x, age: {min: 60, max: 18}}"), "`min` is greater than `max`"),
        (bad("{id: x, performance_status: {}}"), "exactly one of `ecog`, `karnofsky`"),
        (bad("{id: x, performance_status: {ecog: {max: .nan}}}"), "finite"),
        (bad("{id: x, diagnosis: {codes: []}}"), "at least one code"),
        (bad("{id: x, diagnosis: {codes: ['C34']}}"), "is not system|code"),
        (bad("{id: x, diagnosis: {codes: ['icd9|162']}}"), "code system `icd9` is not known"),
        (bad("{id: x, stage: {in: []}}"), "needs stage groups"),
        (bad("{id: x, stage: {in: [late]}}"), "needs stage groups"),
        (bad("{id: x, stage: {in: [4]}}"), "Expected `str`, got `int`"),
        (bad("{id: x, biomarker: {}}"), "exactly one of `gene`, `marker`, `tmb`, `msi`"),
        (bad("{id: x, biomarker: {gene: EGFR, state: positive}}"), "`state` is present or absent"),
        (bad("{id: x, biomarker: {marker: ER, state: present}}"), "`state` is positive or negative"),
        (bad("{id: x, biomarker: {msi: high, state: present}}"), "`state` does not go with `msi`"),
        (bad("{id: x, biomarker: {marker: ER, change: L858R}}"), "`change` belongs to `gene`"),
        (bad("{id: x, biomarker: {gene: EGFR, change: exon 19}}"), "not a protein change"),
        (bad("{id: x, lab: {code: 'loinc|1', unit: g/dL}}"), "needs `min`, `max` or both"),
        (bad("{id: x, lab: {code: 'loinc|1', min: 1}}"), "missing required field `unit`"),
        (bad("{id: x, lab: {code: 'loinc|1', min: 1, unit: g, within_days: 1}, within_days: 2}"), "stands twice"),
        (bad("{id: x, sex: male, within_days: 3}"), "`within_days` has no meaning for `sex`"),
        (bad("{id: x, stage: {in: [I]}, within_days: -1}"), "`within_days` is negative"),
        (bad("{id: x, sex: male, for_clinic: true}"), "`for_clinic: true` needs `gating: false`"),
        (bad("{id: x, sex: male, gating: false}"), "no gating criterion"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_place(text, said):
    with pytest.raises(CriteriaError) as error:
        parse_trial(text, "t.yaml")
    assert str(error.value).startswith("t.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_criteria_error_is_a_usage_error():
    assert issubclass(CriteriaError, UsageError)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_does_not_crash(opening):
    with pytest.raises(CriteriaError):
        parse_trial(opening * 5000, "deep.yaml")


def test_criteria_nested_beyond_the_limit_are_refused():
    tree = {"id": "x", "sex": "male"}
    for _ in range(20):
        tree = {"all": [tree]}
    with pytest.raises(CriteriaError, match="nested deeper than 16"):
        from_document({"trial": NCT, "cohorts": [{"id": "A", "criteria": tree}]})


def test_a_file_over_the_size_limit_is_refused_before_it_is_read():
    with pytest.raises(CriteriaError, match="larger than"):
        parse_trial("#" * (MAX_BYTES + 1), "big.yaml")


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_trial_or_a_criteria_error(text):
    with pytest.raises(CriteriaError):
        parse_trial(text, "any.yaml")


def test_a_careful_file_has_nothing_to_lint():
    assert lint(trial_of({"wording": "Adult", "age": {"min": 18}})) == []


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ([{"age": {"min": 18}}], "criterion c1: no wording"),
        ([{"wording": "w", "text": True}], "stays UNKNOWN"),
        ([{"wording": "w", "biomarker": {"gene": "egfr"}}], "did you mean EGFR?"),
        ([{"wording": "w", "biomarker": {"gene": "XYZ9"}}], "not a known HGNC symbol"),
        ([{"wording": "w", "biomarker": {"marker": "FRalpha"}}], "marker `FRalpha` is not in the table"),
        ([{"wording": "w", "diagnosis": {"codes": ["sct|1"]}}], "is in no cancer class"),
        (
            [
                {"wording": "w", "age": {"min": 1}},
                {"none": [{"id": "e", "wording": "w", "finding": {"kind": "allergy"}}]},
            ],
            "criterion e: an exclusion by a finding is UNKNOWN",
        ),
        (
            [
                {
                    "any": [
                        {"id": "a", "wording": "w", "sex": "male", "gating": False},
                        {"id": "b", "wording": "w", "sex": "male"},
                    ]
                }
            ],
            "criterion a: not gating inside `any`",
        ),
    ],
)
def test_lint_warns_of_what_is_probably_not_meant(criteria, said):
    warnings = lint(trial_of(*criteria))
    assert len(warnings) == 1
    assert said in warnings[0]
    assert warnings[0].startswith(f"{NCT}: cohort A: ")


def test_the_example_of_the_guide_parses_and_has_nothing_to_lint():
    example = GUIDE.read_text().split("```yaml\n")[1].split("```")[0]
    assert lint(parse_trial(example, "adding-a-trial.md")) == []
