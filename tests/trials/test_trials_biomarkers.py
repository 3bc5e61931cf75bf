import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials_facts import fact, verdict

from spv_platform.trials.notation import protein_change

ER = "http://loinc.org|85337-4"
L858R = {"biomarker": {"gene": "EGFR", "change": "L858R", "state": "present"}}
EGFR = {"biomarker": {"gene": "EGFR", "state": "present"}}


def variant(polarity="present", change=None, day="2024-01-01", **columns):
    proteins = [] if change is None else [change]
    return fact("variant", day, **{"genes": ["EGFR"], "polarity": polarity, "hgvs_protein": proteins, **columns})


@pytest.mark.parametrize(
    "change", ["L858R", "p.L858R", "p.(Leu858Arg)", "NP_005219.2:p.Leu858Arg", "p.Leu858Arg", "P.L858R"]
)
def test_a_protein_change_is_found_in_every_notation(change):
    assert verdict(L858R, variant(change=change)) == "MET"
    assert verdict({"biomarker": {"gene": "EGFR", "change": change}}, variant(change="L858R")) == "MET"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p.Arg213Ter", "R213*"),
        ("R213*", "R213*"),
        ("p.Glu746_Ala750del", "E746_A750del"),
        ("E746_A750delELREA", "E746_A750del"),
        ("p.Gln61_Gly63delinsHis", "Q61_G63delinsH"),
        ("p.Arg97ProfsTer23", "R97Pfs*23"),
        ("p.A767_V769dup", "A767_V769dup"),
        ("V600", None),
        ("p.?", None),
        ("c.2573T>G", None),
        ("exon 19 deletion", None),
        ("", None),
    ],
)
def test_protein_changes_come_to_one_form_or_to_none(text, expected):
    assert protein_change(text) == expected


@given(st.text(max_size=30))
def test_the_form_of_a_protein_change_is_stable(text):
    form = protein_change(text)
    assert form is None or protein_change(form) == form


@pytest.mark.parametrize(
    ("criterion", "facts", "expected"),
    [
        (EGFR, [variant()], "MET"),
        (EGFR, [variant("absent")], "NOT_MET"),
        (EGFR, [variant("indeterminate")], "UNKNOWN"),
        (EGFR, [variant(None)], "UNKNOWN"),
        (EGFR, [variant(genes=["KRAS"])], "UNKNOWN"),
        (EGFR, [fact("region_studied", "2024-01-01", genes=["EGFR"])], "UNKNOWN"),
        (EGFR, [], "UNKNOWN"),
        (L858R, [variant()], "UNKNOWN"),  # some variant, allele not stated
        (L858R, [variant(change="T790M")], "UNKNOWN"),  # another allele says nothing
        (L858R, [variant(change="gibberish")], "UNKNOWN"),
        (L858R, [variant("absent", "L858R")], "NOT_MET"),
        (L858R, [variant("absent")], "NOT_MET"),
        (L858R, [variant("absent", "T790M")], "UNKNOWN"),
        (L858R, [variant("absent", hgvs_coding=["c.2369C>T"])], "UNKNOWN"),
        (EGFR, [variant("absent", "L858R")], "UNKNOWN"),  # others were not looked for
        (EGFR, [variant("absent", origin="germline")], "UNKNOWN"),
        (L858R, [variant("absent", day="2020-01-01"), variant(change="L858R", day="2023-01-01")], "MET"),
        (L858R, [variant(change="L858R", day="2020-01-01"), variant("absent", day="2023-01-01")], "UNKNOWN"),
        (L858R, [variant(change="L858R"), variant("absent")], "UNKNOWN"),
        (L858R, [variant(change="L858R", day=None), variant("absent")], "UNKNOWN"),
        (L858R, [variant(change="L858R"), variant("absent", day=None)], "UNKNOWN"),
        (L858R, [variant(), variant("absent")], "UNKNOWN"),
        (L858R, [variant(change="L858R"), variant()], "MET"),
    ],
)
def test_a_variant_is_met_by_itself_and_refuted_only_by_a_wide_enough_negative(criterion, facts, expected):
    assert verdict(criterion, *facts) == expected


def test_wanting_a_variant_absent_is_the_opposite_question():
    absent = {"biomarker": {"gene": "EGFR", "state": "absent"}}
    assert verdict(absent, variant()) == "NOT_MET"
    assert verdict(absent, variant("absent")) == "MET"
    assert verdict(absent) == "UNKNOWN"


def test_alteration_and_origin_narrow_a_variant():
    fusion = {"biomarker": {"gene": "ALK", "alteration": "fusion"}}
    alk = {"genes": ["ALK", "EML4"], "alteration": "fusion"}
    assert verdict(fusion, variant(**alk)) == "MET"
    assert verdict(fusion, variant(genes=["ALK"], alteration="mutation")) == "UNKNOWN"
    assert verdict(fusion, variant(genes=["ALK"])) == "UNKNOWN"
    assert verdict(fusion, variant("absent", genes=["ALK"], alteration="fusion")) == "NOT_MET"
    assert verdict(fusion, variant("absent", **alk)) == "UNKNOWN"  # other partners were not looked for
    germline = {"biomarker": {"gene": "EGFR", "origin": "germline"}}
    assert verdict(germline, variant(origin="germline")) == "MET"
    assert verdict(germline, variant(origin="somatic")) == "UNKNOWN"


def test_a_variant_of_one_of_two_genes_answers_for_neither():
    pair = {"genes": ["ABL1", "BCR"]}
    asked = ({}, {"alteration": "fusion"}, {"alteration": "mutation"}, {"partner": "BCR"}, {"partner": "any"})
    for gene in ({"gene": "ABL1", **more} for more in asked):
        for alteration in (None, "mutation"):
            assert verdict({"biomarker": gene}, variant(**pair, alteration=alteration)) == "UNKNOWN"
    assert verdict({"biomarker": {"gene": "ABL1", "partner": "BCR"}}, variant(**pair, alteration="fusion")) == "MET"
    lost = variant(genes=["CDKN2A", "CDKN2B"], alteration="copy_number_loss")
    assert verdict({"biomarker": {"gene": "CDKN2A", "alteration": "copy_number_loss"}}, lost) == "MET"


def test_a_window_keeps_old_and_undated_variants_out():
    recent = {**L858R, "within_days": 365}
    assert verdict(recent, variant(change="L858R", day="2024-01-01")) == "MET"
    assert verdict(recent, variant(change="L858R", day="2020-01-01")) == "UNKNOWN"
    assert verdict(recent, variant(change="L858R", day=None)) == "UNKNOWN"


def marker(polarity, day="2018-03-10", **columns):
    return fact("tumor_marker", day, **{"codes": [ER], "polarity": polarity, **columns})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([marker("present")], "MET"),
        ([marker("absent")], "NOT_MET"),
        ([marker("indeterminate")], "UNKNOWN"),
        ([marker(None)], "UNKNOWN"),
        ([], "UNKNOWN"),
        ([marker("absent", "2015-01-01"), marker("present", "2018-01-01")], "MET"),
        ([marker("present", "2015-01-01"), marker("absent", "2018-01-01")], "NOT_MET"),
        ([marker("present"), marker("absent")], "UNKNOWN"),
        ([marker("present"), marker("absent", None)], "UNKNOWN"),
        ([marker("present", codes=["http://loinc.org|48676-1"])], "UNKNOWN"),  # HER2
        ([marker("present", codes=[], display="Estrogen Receptor")], "MET"),
        ([marker("present", codes=[], display="PR")], "UNKNOWN"),
        ([marker("present", codes=["urn:oid:2.16.840.1.113883.6.1|85337-4"])], "MET"),
    ],
)
def test_the_latest_result_of_a_marker_decides(facts, expected):
    assert verdict({"biomarker": {"marker": "ER", "state": "positive"}}, *facts) == expected


def test_a_marker_can_be_wanted_negative_and_known_by_its_own_codes():
    assert verdict({"biomarker": {"marker": "ER", "state": "negative"}}, marker("absent")) == "MET"
    own = {"biomarker": {"marker": "FRalpha", "state": "positive", "codes": ["http://lab.example|FOLR1"]}}
    assert verdict(own, marker("present", codes=["http://lab.example|FOLR1"])) == "MET"


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (57.1, "1/1000000{Base}", "MET"),
        (10.0, "mut/Mb", "MET"),
        (9.9, "mut/Mb", "NOT_MET"),
        (57.1, None, "UNKNOWN"),
        (57.1, "%", "UNKNOWN"),
        (57100.0, "mut/Mb", "UNKNOWN"),
    ],
)
def test_mutational_burden_needs_its_unit(number, unit, expected):
    assert verdict({"biomarker": {"tmb": {"min": 10}}}, fact("tmb", value_number=number, unit=unit)) == expected


def test_microsatellite_instability_low_is_neither_high_nor_stable():
    high = {"biomarker": {"msi": "high"}}
    assert verdict(high, fact("msi", polarity="present")) == "MET"
    assert verdict(high, fact("msi", polarity="absent")) == "NOT_MET"
    assert verdict(high, fact("msi", polarity="indeterminate")) == "UNKNOWN"
    assert verdict({"biomarker": {"msi": "stable"}}, fact("msi", polarity="absent")) == "MET"
