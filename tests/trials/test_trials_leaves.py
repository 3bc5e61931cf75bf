from datetime import date

import pytest
from trials_facts import fact, verdict

SCT, LOINC, ICD = "http://snomed.info/sct|", "http://loinc.org|", "http://hl7.org/fhir/sid/icd-10-cm|"
RAI = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl|C141207"
ANC = LOINC + "26499-4"


def born(day, **columns):
    return fact("birth_date", day, resource_type="Patient", **columns)


def cancer(*codes, **columns):
    return fact("cancer", columns.pop("day", None), codes=list(codes), **columns)


def lab(number, day="2024-06-01", unit="10*3/uL", **columns):
    return fact("lab", day, codes=[ANC], value_number=number, value_text=str(number), unit=unit, **columns)


@pytest.mark.parametrize(
    ("limits", "day", "expected"),
    [
        ({"min": 18}, "2006-06-15", "MET"),  # the eighteenth birthday is the day of evaluation
        ({"min": 18}, "2006-06-16", "NOT_MET"),
        ({"min": 18}, "2006", "UNKNOWN"),
        ({"min": 18}, "2005", "MET"),
        ({"min": 18}, "2006-07", "NOT_MET"),
        ({"max": 75}, "1948-06-16", "MET"),  # still 75
        ({"max": 75}, "1948-06-15", "NOT_MET"),
        ({"max": 75}, "1948", "UNKNOWN"),
        ({"min": 18, "max": 75}, "1990", "MET"),
        ({"min": 18, "max": 75}, "2020", "NOT_MET"),
        ({"min": 18}, "1890-01-01", "UNKNOWN"),  # nobody is that old
        ({"min": 18}, "2025-01-01", "UNKNOWN"),  # not born yet
        ({"min": 18}, None, "UNKNOWN"),
    ],
)
def test_age_is_judged_by_the_interval_of_the_birth_date(limits, day, expected):
    assert verdict({"age": limits}, born(day)) == expected


def test_a_person_born_on_29_february_comes_of_age_on_1_march():
    assert verdict({"age": {"min": 18}}, born("2004-02-29"), as_of=date(2022, 2, 28)) == "NOT_MET"
    assert verdict({"age": {"min": 18}}, born("2004-02-29"), as_of=date(2022, 3, 1)) == "MET"
    assert verdict({"age": {"min": 18}}, born("2006-02-28"), as_of=date(2024, 2, 29)) == "MET"
    assert verdict({"age": {"min": 18}}, born("2006-03-01"), as_of=date(2024, 2, 29)) == "NOT_MET"


def test_birth_dates_of_several_records_must_not_contradict_each_other():
    assert verdict({"age": {"min": 18}}, born("1980-01-01"), born("2015-01-01")) == "UNKNOWN"
    assert verdict({"age": {"min": 18}}, born("2006"), born("2006-01-02")) == "MET"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["female"], "MET"),
        (["male"], "NOT_MET"),
        (["unknown"], "UNKNOWN"),
        (["female", "male"], "UNKNOWN"),
        ([], "UNKNOWN"),
    ],
)
def test_sex_is_what_all_records_say(said, expected):
    assert verdict({"sex": "female"}, *(fact("gender", value_text=text) for text in said)) == expected


def test_sex_at_birth_counts_as_sex_and_contradiction_is_unknown():
    assert verdict({"sex": "female"}, fact("birth_sex", value_text="F")) == "MET"
    assert verdict({"sex": "female"}, fact("birth_sex", value_text="F"), fact("gender", value_text="male")) == "UNKNOWN"


@pytest.mark.parametrize(
    ("wanted", "codes", "expected"),
    [
        ("sct|254637007", [SCT + "254637007"], "MET"),
        ("sct|254637007", [SCT + "423121009"], "MET"),  # NSCLC stage 4 is NSCLC
        ("sct|254637007", [SCT + "254626006"], "MET"),  # and so is adenocarcinoma of the lung
        ("sct|254637007", [SCT + "254632001"], "NOT_MET"),  # small cell
        ("sct|254637007", [ICD + "C34.11"], "UNKNOWN"),  # lung cancer of some kind
        ("sct|254637007", [ICD + "C50.911"], "NOT_MET"),
        ("sct|254637007", [SCT + "363346000"], "UNKNOWN"),  # cancer
        ("sct|254637007", [SCT + "999999999"], "UNKNOWN"),
        ("icd10cm|C34*", [ICD + "C3411"], "MET"),  # dots are not meaning
        ("icd10|C34*", [ICD + "C34.11"], "MET"),
        ("icd10cm|C34*", [SCT + "254637007"], "MET"),
        ("icd10cm|C34*", [SCT + "254837009"], "NOT_MET"),
        ("icd10cm|C34.1*", [ICD + "C34.31"], "UNKNOWN"),
        ("icd10cm|C34.1*", [SCT + "254637007"], "UNKNOWN"),
        ("icd10cm|C34.1*", [ICD + "C61"], "NOT_MET"),
        ("icd10cm|C34*", [ICD + "C80.1"], "UNKNOWN"),
        ("icd10cm|C34*", [ICD + "C7A.090"], "UNKNOWN"),  # carcinoid of the bronchus
        ("icd10cm|C3*", [ICD + "C50.911"], "UNKNOWN"),
        ("sct|254637007", [SCT + "254637007", ICD + "C34.90"], "MET"),
        ("sct|254637007", [SCT + "254637007", ICD + "C50.9"], "UNKNOWN"),  # codings of one diagnosis disagree
        ("sct|254637007", ["urn:oid:2.16.840.1.113883.6.96|254637007"], "MET"),
        ("sct|254637007", [], "UNKNOWN"),
    ],
)
def test_diagnosis_needs_the_code_or_a_class_that_decides(wanted, codes, expected):
    assert verdict({"diagnosis": {"codes": [wanted]}}, cancer(*codes)) == expected


def test_of_several_cancers_one_is_enough_and_a_doubtful_one_forbids_no():
    wanted = {"diagnosis": {"codes": ["sct|254637007"]}}
    assert verdict(wanted, cancer(ICD + "C50.9"), cancer(SCT + "254637007")) == "MET"
    assert verdict(wanted, cancer(ICD + "C50.9"), cancer(SCT + "363346000")) == "UNKNOWN"
    assert verdict(wanted, cancer(ICD + "C50.9"), cancer(ICD + "C61")) == "NOT_MET"


def test_without_a_usable_cancer_the_diagnosis_is_unknown():
    wanted = {"diagnosis": {"codes": ["sct|254637007"]}}
    assert verdict(wanted) == "UNKNOWN"
    assert verdict(wanted, cancer(SCT + "254637007", usable=False)) == "UNKNOWN"
    assert verdict(wanted, cancer(SCT + "254637007", usable=None)) == "UNKNOWN"
    assert verdict(wanted, cancer(SCT + "254637007", deleted=True)) == "UNKNOWN"
    assert verdict(wanted, fact("condition", codes=[SCT + "254637007"])) == "UNKNOWN"


def test_a_finding_is_met_when_recorded_and_not_met_only_when_its_absence_is():
    wanted = {"finding": {"kind": "metastasis", "codes": ["sct|94225005"]}}
    brain = [SCT + "94225005"]
    assert verdict(wanted, fact("metastasis", codes=brain)) == "MET"
    assert verdict(wanted, fact("metastasis", codes=brain, polarity="absent")) == "NOT_MET"
    assert verdict(wanted, fact("metastasis", codes=[SCT + "94381002"])) == "UNKNOWN"
    assert verdict(wanted) == "UNKNOWN"
    absent = {"finding": {**wanted["finding"], "state": "absent"}}
    assert verdict(absent, fact("metastasis", codes=brain)) == "NOT_MET"
    assert verdict(absent, fact("metastasis", codes=brain, polarity="absent")) == "MET"


def test_the_absence_of_one_of_several_findings_says_nothing_about_the_others():
    wanted = {"finding": {"kind": "condition", "codes": ["icd10cm|I50*"]}}
    assert verdict(wanted, fact("condition", codes=[ICD + "I50.32"])) == "MET"
    assert verdict(wanted, fact("condition", codes=[ICD + "I50.32"], polarity="absent")) == "UNKNOWN"
    assert verdict({"finding": {"kind": "metastasis"}}, fact("metastasis", codes=["x|1"])) == "MET"


@pytest.mark.parametrize(
    ("wanted", "columns", "expected"),
    [
        (["IV"], {"value_display": "American Joint Committee on Cancer stage IVB (qualifier value)"}, "MET"),
        (["IV"], {"value_text": "IIIC", "value_display": "AJCC stage IIIC"}, "NOT_MET"),
        (["IVA"], {"value_display": "Stage IV"}, "UNKNOWN"),
        (["I"], {"value_display": "IV"}, "NOT_MET"),
        (["IIIB", "IIIC"], {"value_codes": [SCT + "1222806003"]}, "MET"),
        (["IV"], {"value_codes": ["http://cancerstaging.org|4"]}, "MET"),
        (["II"], {"value_display": "ISS Stage II Plasma Cell Myeloma", "value_text": "II"}, "UNKNOWN"),
        (
            ["II"],
            {"value_text": "II", "codes": [RAI]},
            "UNKNOWN",
        ),
        (["II"], {"value_display": "Binet Stage B"}, "UNKNOWN"),
        (["II"], {"value_display": "Stage II", "value_text": "III"}, "UNKNOWN"),
        (["II"], {}, "UNKNOWN"),
    ],
)
def test_stage_covers_its_subdivisions(wanted, columns, expected):
    assert verdict({"stage": {"in": wanted}}, fact("stage", "2024-01-01", **columns)) == expected


def test_the_latest_stage_decides_and_an_undated_one_may_be_the_latest():
    iv, ii = {"value_text": "IV"}, {"value_text": "II"}
    wanted = {"stage": {"in": ["IV"]}}
    assert verdict(wanted, fact("stage", "2020-01-01", **ii), fact("stage", "2024-01-01", **iv)) == "MET"
    assert verdict(wanted, fact("stage", "2024-01-01", **ii), fact("stage", "2024-01-01", **iv)) == "UNKNOWN"
    assert verdict(wanted, fact("stage", "2024", **ii), fact("stage", "2024-03-01", **iv)) == "UNKNOWN"
    assert verdict(wanted, fact("stage", None, **ii), fact("stage", "2024-03-01", **iv)) == "UNKNOWN"
    assert verdict(wanted, fact("stage", None, **iv), fact("stage", "2024-03-01", **iv)) == "MET"


@pytest.mark.parametrize(
    ("scale", "limits", "number", "expected"),
    [
        ("ecog", {"max": 1}, 1, "MET"),
        ("ecog", {"max": 1}, 2, "NOT_MET"),
        ("ecog", {"max": 1}, 9, "UNKNOWN"),
        ("ecog", {"max": 1}, None, "UNKNOWN"),
        ("karnofsky", {"min": 70}, 80, "MET"),
        ("karnofsky", {"min": 70}, 60, "NOT_MET"),
    ],
)
def test_performance_status_is_a_score_within_its_scale(scale, limits, number, expected):
    assert verdict({"performance_status": {scale: limits}}, fact(scale, "2024-05-01", value_number=number)) == expected


def test_karnofsky_does_not_answer_for_ecog():
    assert verdict({"performance_status": {"ecog": {"max": 1}}}, fact("karnofsky", value_number=100)) == "UNKNOWN"


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lab(2.0), "MET"),
        (lab(1.5), "MET"),
        (lab(1.49), "NOT_MET"),
        (lab(1500.0, unit="/uL"), "MET"),
        (lab(1.5, unit="10*9/L"), "MET"),
        (lab(1499.0, unit="cells/uL"), "NOT_MET"),
        (lab(2.0, unit="g/dL"), "UNKNOWN"),
        (lab(2.0, unit=None), "UNKNOWN"),
        (lab(2.0, unit="furlong"), "UNKNOWN"),
        (lab(3000.0), "UNKNOWN"),  # a count per microlitre under a wrong unit
        (lab(-1.0), "UNKNOWN"),
        (lab(None), "UNKNOWN"),
        (lab(1.0, comparator="<"), "NOT_MET"),
        (lab(1.5, comparator="<"), "NOT_MET"),
        (lab(1.5, comparator="<="), "UNKNOWN"),
        (lab(2.0, comparator="<"), "UNKNOWN"),
        (lab(1.5, comparator=">="), "MET"),
        (lab(1.0, comparator=">"), "UNKNOWN"),
        (lab(2.0, comparator="~"), "UNKNOWN"),
    ],
)
def test_a_laboratory_value_is_judged_as_an_interval_in_a_comparable_unit(result, expected):
    assert verdict({"lab": {"code": "loinc|26499-4", "min": 1.5, "unit": "10*3/uL"}}, result) == expected


def test_an_upper_bound_excludes_what_is_greater():
    wanted = {"lab": {"code": "loinc|26499-4", "max": 10, "unit": "10*3/uL"}}
    assert verdict(wanted, lab(10.0)) == "MET"
    assert verdict(wanted, lab(10.0, comparator=">")) == "NOT_MET"
    assert verdict(wanted, lab(10.0, comparator=">=")) == "UNKNOWN"


def test_the_latest_result_decides_and_only_if_it_lies_in_the_window():
    wanted = {"lab": {"code": "loinc|26499-4", "min": 1.5, "unit": "10*3/uL", "within_days": 28}}
    assert verdict(wanted, lab(2.0, "2024-05-18")) == "MET"  # 28 days ago
    assert verdict(wanted, lab(2.0, "2024-05-17")) == "UNKNOWN"
    assert verdict(wanted, lab(2.0, "2024-06-15")) == "MET"
    assert verdict(wanted, lab(2.0, "2024-06-16")) == "UNKNOWN"  # after the day of evaluation
    assert verdict(wanted, lab(2.0, None)) == "UNKNOWN"
    assert verdict(wanted, lab(2.0, "2024-06")) == "MET"
    assert verdict(wanted, lab(2.0, "2024")) == "UNKNOWN"
    assert verdict(wanted, lab(0.5, "2024-06-01"), lab(2.0, "2024-06-10")) == "MET"
    assert verdict(wanted, lab(2.0, "2024-06-01"), lab(0.5, "2024-06-10")) == "NOT_MET"
    assert verdict(wanted, lab(2.0, "2024-06-01"), lab(0.5, "2024")) == "UNKNOWN"


def test_a_text_criterion_is_never_answered_by_data():
    assert verdict({"text": True, "wording": "Able to swallow tablets"}) == "UNKNOWN"
