"""Bad input: what is said of it, where it is said to be, and that everything else goes on."""

import json

import pytest
import yaml
from click.testing import CliRunner
from trials_facts import NCT, fact, run, trial_of, verdict

from spv_platform.cli import spv
from spv_platform.trials.criteria import MAX_CRITERIA, CriteriaError, from_document, parse_trial
from spv_platform.trials.lint import lint

ADULT = {"id": "adult", "wording": "Adult", "age": {"min": 18}}
GOOD = {"trial": NCT, "cohorts": [{"id": "A", "criteria": {"all": [ADULT]}}]}


def cohorts(*criteria, name="B"):
    return [GOOD["cohorts"][0], {"id": name, "criteria": {"all": list(criteria)}}]


def said(tmp_path, *cohorts_of_bad, exit_code):
    """What lint says of a file, beside one that is right."""
    (tmp_path / "good.yaml").write_text(json.dumps(GOOD))
    bad = {"trial": "NCT00000002", "cohorts": list(cohorts_of_bad)}
    (tmp_path / "bad.yaml").write_text(json.dumps(bad))
    files = [str(tmp_path / name) for name in ("bad.yaml", "good.yaml")]
    result = CliRunner().invoke(spv, ["trials", "lint", *files, "--json"])
    assert result.exit_code == exit_code
    (row,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert row["file"] == "bad.yaml"
    return row["level"], row["remark"]


def test_an_unknown_gene_is_told_with_file_cohort_and_criterion(tmp_path):
    asked = {"id": "x", "wording": "w", "biomarker": {"gene": "EGRF"}}
    assert said(tmp_path, *cohorts(asked), exit_code=0) == (
        "warning",
        "NCT00000002: cohort B: criterion x: gene `EGRF` is not a known HGNC symbol",
    )
    assert verdict(asked, fact("variant", genes=["EGFR"], polarity="present")) == "UNKNOWN"


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"age": {"min": "eighteen"}}, "Expected `float | null`, got `str` - at `$.age.min`"),
        (
            {"lab": {"code": "loinc|1", "min": "1,5", "unit": "g/dL"}},
            "Expected `float | null`, got `str` - at `$.lab.min`",
        ),
        ({"biomarker": {"gene": "EGFR", "change": "Lung"}}, "`change: Lung` is not a protein change"),
        ({"biomarker": {"gene": "EGFR", "exons": {"min": 18}}}, "`exons` as a range has `min` and `max`"),
        ({"stage": {"in": ["late"]}}, "`in` needs stage groups"),
    ],
)
def test_a_value_that_cannot_be_parsed_is_told_with_file_cohort_and_criterion(tmp_path, asked, what):
    level, remark = said(tmp_path, *cohorts({"id": "x", "wording": "w", **asked}), exit_code=1)
    assert level == "error"
    assert remark.startswith("bad.yaml: NCT00000002: cohort B: criterion x: ")
    assert what in remark


def test_a_result_that_cannot_be_parsed_is_not_known():
    lab = {"lab": {"code": "loinc|718-7", "min": 10, "unit": "g/dL"}}
    words = fact("lab", "2024-06-01", codes=["http://loinc.org|718-7"], value_text="see report")
    assert verdict(lab, words) == "UNKNOWN"
    odd = fact("lab", "2024-06-01", codes=["http://loinc.org|718-7"], value_number=12.0, unit="g/dL", comparator="ca.")
    assert verdict(lab, odd) == "UNKNOWN"


def test_a_unit_without_conversion_is_told_and_its_results_are_not_known(tmp_path):
    asked = {"id": "x", "wording": "w", "lab": {"code": "loinc|718-7", "min": 10, "unit": "stone/gal"}}
    level, remark = said(tmp_path, *cohorts(asked), exit_code=0)
    assert (level, remark.partition(": unit")[0]) == ("warning", "NCT00000002: cohort B: criterion x")
    assert "`stone/gal` is not in the table of units" in remark
    result = fact("lab", "2024-06-01", codes=["http://loinc.org|718-7"], value_number=12.0, unit="g/dL")
    assert verdict(asked, result) == "UNKNOWN"
    assert verdict(asked, result | {"unit": "stone/gal"}) == "MET"


def test_a_trial_without_cohorts_is_told_with_its_file(tmp_path):
    level, remark = said(tmp_path, exit_code=1)
    assert (level, remark.startswith("bad.yaml: NCT00000002: no cohorts")) == ("error", True)


@pytest.mark.parametrize(
    ("twice", "what"),
    [
        (cohorts(ADULT | {"id": "other"}, name="A"), "cohort A: the id stands twice"),
        (cohorts(ADULT), "criterion adult: the id stands twice"),
    ],
)
def test_an_id_that_stands_twice_is_told(tmp_path, twice, what):
    level, remark = said(tmp_path, *twice, exit_code=1)
    assert level == "error"
    assert remark.startswith(f"bad.yaml: NCT00000002: {what}")


def test_of_two_files_with_one_trial_the_first_counts(tmp_path):
    old = {**GOOD, "cohorts": [{"id": "old", "criteria": {"all": [ADULT]}}]}
    for name, document in (("a.yaml", GOOD), ("b.yaml", old)):
        (tmp_path / name).write_text(yaml.safe_dump(document))
    for kind in ("clinical", "genomic"):
        (tmp_path / f"{kind}.json").write_text("[]")
    records = ["--clinical", str(tmp_path / "clinical.json"), "--genomic", str(tmp_path / "genomic.json")]
    paths = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    result = CliRunner().invoke(spv, ["trials", "match", "--ctml", *paths, *records])
    assert f"left out: b.yaml: {NCT} came from another file already" in result.stderr


def test_ten_thousand_leaves_are_refused_at_the_first_that_is_too_many():
    leaves = [{"id": f"x{number}", "sex": "male"} for number in range(10_000)]
    with pytest.raises(CriteriaError, match=rf"t: {NCT}: cohort B: criterion x{MAX_CRITERIA - 1}: .*{MAX_CRITERIA}"):
        from_document({"trial": NCT, "cohorts": cohorts(*leaves)}, "t")
    with pytest.raises(CriteriaError, match=r"t\.yaml: larger than"):
        parse_trial(yaml.safe_dump({"trial": NCT, "cohorts": cohorts(*leaves)}), "t.yaml")


def test_as_many_leaves_as_are_allowed_are_judged():
    trial = trial_of(*({"sex": "male"} for _ in range(MAX_CRITERIA)))
    assert run(trial, [fact("gender", value_text="male")]).cohorts["verdict"].item() == "potentially_eligible"


def test_criteria_that_can_be_met_in_too_many_ways_are_judged_all_the_same():
    leaves = [
        {"id": f"x{n}", "wording": "w", "finding": {"kind": "condition", "codes": [f"sct|{n}"]}} for n in range(50)
    ]
    trial = trial_of({"at_least": {"n": 25, "of": leaves}})
    assert [line for line in lint(trial) if "it was not checked whether they can be met" in line]
    has = [fact("condition", "2024-01-01", codes=[f"http://snomed.info/sct|{n}"]) for n in range(25)]
    assert run(trial, has).cohorts["verdict"].item() == "potentially_eligible"
    assert run(trial, has[1:]).cohorts["verdict"].item() == "needs_information"


@pytest.mark.parametrize(
    ("asked", "ahead"),
    [
        ({"stage": {"in": ["IV"]}}, fact("stage", value_text="IV")),
        ({"diagnosis": {"codes": ["sct|254637007"]}}, fact("cancer", codes=["http://snomed.info/sct|254637007"])),
        ({"biomarker": {"gene": "EGFR"}}, fact("variant", genes=["EGFR"], polarity="present")),
        ({"biomarker": {"msi": "high"}}, fact("msi", polarity="present")),
        ({"performance_status": {"ecog": {"max": 1}}}, fact("ecog", value_number=1)),
        ({"finding": {"kind": "metastasis"}}, fact("metastasis", codes=["http://snomed.info/sct|94225005"])),
        ({"therapy": {"drugs": ["cisplatin"]}}, fact("medication", display="cisplatin", status="dispense:completed")),
    ],
)
def test_facts_that_lie_in_the_future_do_not_count(asked, ahead):
    today, tomorrow = (
        ahead | {name: fact("x", day)[name] for name in ("time", "time_start", "time_end")}
        for day in ("2024-06-15", "2024-06-16")
    )
    assert verdict(asked, today) == "MET"
    assert verdict(asked, tomorrow) == "UNKNOWN"
