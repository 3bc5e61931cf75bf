"""The words of the language that no other module of tests asks for: each is a question that facts can answer."""

import pytest
from trials_facts import fact, run, trial_of, verdict

from spv_platform.trials.criteria import CriteriaError

SCT, LOINC = "http://snomed.info/sct|", "http://loinc.org|"
LUNG, BREAST = SCT + "254637007", SCT + "254837009"


def born(day):
    return fact("birth_date", day, resource_type="Patient")


def variant(**columns):
    return fact("variant", "2024-01-01", **{"genes": ["EGFR"], "polarity": "present", "hgvs_protein": [], **columns})


@pytest.mark.parametrize(
    ("limits", "day", "expected"),
    [
        ({"over": 18}, "2006-06-15", "NOT_MET"),  # the birthday itself
        ({"over": 18}, "2006-06-14", "MET"),
        ({"under": 18}, "2006-06-15", "NOT_MET"),
        ({"under": 18}, "2006-06-16", "MET"),
        ({"min": 0.5}, "2023-12-15", "MET"),  # six months
        ({"min": 0.5}, "2023-12-16", "NOT_MET"),
        ({"under": 18}, "2006", "UNKNOWN"),
    ],
)
def test_an_age_may_leave_its_bound_out_and_have_months(limits, day, expected):
    assert verdict({"age": limits}, born(day)) == expected


@pytest.mark.parametrize(
    ("exon", "expected"), [(17, "UNKNOWN"), (18, "MET"), (21, "MET"), (22, "UNKNOWN"), (None, "UNKNOWN")]
)
def test_exons_may_be_a_range(exon, expected):
    asked = {"biomarker": {"gene": "EGFR", "exons": {"min": 18, "max": 21}}}
    assert trial_of(asked) == trial_of({"biomarker": {"gene": "EGFR", "exons": [18, 19, 20, 21]}})
    assert verdict(asked, variant(exon=exon)) == expected


@pytest.mark.parametrize("exons", [{"min": 18}, {"min": 18.5, "max": 20}, {"min": 0, "max": 2}, {"over": 1, "max": 2}])
def test_a_range_of_exons_has_two_whole_ends(exons):
    with pytest.raises(CriteriaError, match="`exons` as a range has `min` and `max`"):
        trial_of({"biomarker": {"gene": "EGFR", "exons": exons}})


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        ({"alteration": "mutation"}, {"alteration": "mutation"}),
        ({"alteration": "copy_number_gain"}, {"alteration": "copy_number_gain"}),
        ({"alteration": "copy_number_loss"}, {"alteration": "copy_number_loss"}),
        ({"alteration": "fusion"}, {"alteration": "fusion", "genes": ["EGFR", "RAD51"]}),
        ({"origin": "somatic"}, {"origin": "somatic"}),
        ({"zygosity": "homozygous"}, {"zygosity": "homozygous"}),
        ({"function": "activating"}, {"function": "activating"}),
        ({"copy_number": {"min": 6}}, {"copy_number": 7.0}),
        ({"vaf": {"max": 0.5}}, {"vaf": 0.4}),
        ({"call": ["gain", "amplification"]}, {"call": "gain", "alteration": "copy_number_gain"}),
        ({"consequence": "inframe_deletion"}, {"consequence": "inframe_deletion"}),
    ],
)
def test_each_key_of_a_variant_is_answered_by_the_attribute_and_not_without_it(asked, columns):
    wanted = {"biomarker": {"gene": "EGFR", **asked}}
    assert verdict(wanted, variant(**columns)) == "MET"
    assert verdict(wanted, variant()) == "UNKNOWN"


def test_the_keys_of_a_variant_hold_on_one_fact():
    wanted = {"biomarker": {"gene": "EGFR", "change": "L858R", "vaf": {"min": 0.1}, "origin": "somatic"}}
    change, share = {"hgvs_protein": ["p.Leu858Arg"], "origin": "somatic"}, {"vaf": 0.4}
    assert verdict(wanted, variant(**change, **share)) == "MET"
    assert (
        verdict(wanted, variant(**change), variant(hgvs_protein=["p.Thr790Met"], origin="somatic", **share))
        == "UNKNOWN"
    )


def test_a_signature_is_a_state_of_the_genome():
    found = fact("signature", "2024-01-01", codes=["signature|apobec"], polarity="present")
    assert verdict({"biomarker": {"signature": "apobec"}}, found) == "MET"
    assert verdict({"biomarker": {"signature": "apobec", "state": "absent"}}, found) == "NOT_MET"
    assert verdict({"biomarker": {"signature": "pole"}}, found) == "UNKNOWN"


def test_mismatch_repair_and_microsatellites_do_not_answer_for_each_other():
    deficient, high = fact("mmr", polarity="present"), fact("msi", polarity="present")
    assert verdict({"biomarker": {"mmr": "deficient"}}, deficient) == "MET"
    assert verdict({"biomarker": {"mmr": "proficient"}}, deficient) == "NOT_MET"
    assert verdict({"biomarker": {"mmr": "deficient"}}, high) == "UNKNOWN"
    assert verdict({"biomarker": {"msi": "high"}}, deficient) == "UNKNOWN"
    bridge = {"any": [{"id": "a", "biomarker": {"msi": "high"}}, {"id": "b", "biomarker": {"mmr": "deficient"}}]}
    assert run(trial_of(bridge), [deficient]).cohorts["verdict"].item() == "potentially_eligible"


@pytest.mark.parametrize(("percent", "expected"), [(60.0, "MET"), (50.0, "MET"), (49.0, "NOT_MET"), (None, "UNKNOWN")])
def test_the_score_of_a_marker_is_asked_as_a_number(percent, expected):
    score = {"codes": [LOINC + "85147-7"], "value_number": percent, "unit": "%"}  # PD-L1, share of stained tumour cells
    asked = {"lab": {"code": "loinc|85147-7", "min": 50, "unit": "%"}}
    assert verdict(asked, fact("tumor_marker", "2024-01-01", **score)) == expected


@pytest.mark.parametrize(
    ("asked", "kind", "columns"),
    [
        ({"biomarker": {"gene": "EGFR"}}, "variant", {"genes": ["EGFR"], "polarity": "present", "hgvs_protein": []}),
        ({"biomarker": {"marker": "ER"}}, "tumor_marker", {"codes": [LOINC + "85337-4"], "polarity": "present"}),
        ({"biomarker": {"msi": "high"}}, "msi", {"polarity": "present"}),
        ({"finding": {"kind": "metastasis"}}, "metastasis", {"codes": [SCT + "94225005"]}),
        ({"stage": {"in": ["IV"]}}, "stage", {"value_text": "IV", "codes": []}),
        ({"therapy": {"drugs": ["cisplatin"]}}, "medication", {"display": "cisplatin", "codes": []}),
    ],
)
def test_leaves_bind_to_the_cancer_that_met_the_diagnosis(asked, kind, columns):
    trial = trial_of({"diagnosis": {"codes": ["sct|254637007"]}}, asked)
    where = {"resource_type": "Condition"}
    both = [
        fact("cancer", "2020-01-01", codes=[code], resource_id=name, **where)
        for name, code in (("lung", LUNG), ("breast", BREAST))
    ]

    def found(*cancers):
        said = fact(kind, "2024-01-01", **columns, cancers=[f"Condition/{name}" for name in cancers])
        return run(trial, [*both, said]).cohorts["verdict"].item()

    assert found("lung") == found() == found("lung", "breast") == "potentially_eligible"
    assert found("breast") == "needs_information"


@pytest.mark.parametrize(
    ("asked", "kind", "columns"),
    [
        ({"diagnosis": {"codes": ["sct|254637007"]}}, "cancer", {"codes": [LUNG]}),
        ({"stage": {"in": ["IV"]}}, "stage", {"value_text": "IV"}),
        ({"biomarker": {"gene": "EGFR"}}, "variant", {"genes": ["EGFR"], "polarity": "present"}),
        ({"biomarker": {"marker": "ER"}}, "tumor_marker", {"codes": [LOINC + "85337-4"], "polarity": "present"}),
        ({"biomarker": {"tmb": {"min": 10}}}, "tmb", {"value_number": 12.0, "unit": "mut/Mb"}),
        ({"biomarker": {"msi": "high"}}, "msi", {"polarity": "present"}),
        ({"biomarker": {"mmr": "deficient"}}, "mmr", {"polarity": "present"}),
        ({"biomarker": {"signature": "uva"}}, "signature", {"codes": ["signature|uva"], "polarity": "present"}),
        ({"performance_status": {"ecog": {"max": 1}}}, "ecog", {"value_number": 1}),
        ({"performance_status": {"karnofsky": {"min": 70}}}, "karnofsky", {"value_number": 80}),
        (
            {"lab": {"code": "loinc|718-7", "min": 9, "unit": "g/dL"}},
            "lab",
            {"codes": [LOINC + "718-7"], "value_number": 12.0, "unit": "g/dL"},
        ),
        ({"finding": {"kind": "condition"}}, "condition", {"codes": [SCT + "1"], "status": "active"}),
        ({"finding": {"kind": "procedure"}}, "procedure", {"codes": [SCT + "1"]}),
        ({"therapy": {"drugs": ["cisplatin"]}}, "medication", {"display": "cisplatin"}),
    ],
)
def test_a_window_takes_what_is_recent_and_nothing_undated(asked, kind, columns):
    recent = {**asked, "within_days": 30}
    assert verdict(recent, fact(kind, "2024-06-01", **columns)) == "MET"
    assert verdict(recent, fact(kind, "2024-01-01", **columns)) == "UNKNOWN"
    assert verdict(recent, fact(kind, None, **columns)) == "UNKNOWN"
    assert verdict(asked, fact(kind, None, **columns)) == "MET"
