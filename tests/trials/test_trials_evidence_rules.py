"""HER2, therapies, specimens, the cancer that a fact belongs to, and what missing means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials_facts import fact, run, trial_of, verdict

from spv_platform.trials.her2 import score
from spv_platform.trials.therapies import count_lines, ingredients

IHC, ISH, HER2 = "http://loinc.org|85319-2", "http://loinc.org|31150-6", "http://loinc.org|48676-1"
LUNG, BREAST = "http://snomed.info/sct|254637007", "http://snomed.info/sct|254837009"
DAY = 86_400_000_000


def stain(said, day="2024-01-01", **more):
    return fact("tumor_marker", day, codes=[IHC], value_display=said, **more)


def hybridised(polarity, day="2024-01-02"):
    return fact("tumor_marker", day, codes=[ISH], polarity=polarity)


def her2(state):
    return {"biomarker": {"marker": "HER2", "state": state}}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([stain("0")], "UUUU"),  # a number alone is no score
        ([stain("Score 0")], "NMNU"),
        ([stain("Score 1+")], "NMMN"),
        ([stain("1+", polarity="absent")], "NMMN"),
        ([stain("++")], "UUUU"),
        ([stain("2+ (equivocal)", polarity="indeterminate")], "UUUU"),
        ([stain("2+"), hybridised("absent")], "NMMN"),
        ([stain("2+"), hybridised("present")], "MNNN"),
        ([stain("3+")], "MNNN"),
        ([stain("3+", polarity="absent")], "UUUU"),
        ([stain("0-1+")], "UUUU"),
        ([stain("2+"), hybridised("absent", "2012-01-02")], "UUUU"),
        ([stain("3+"), hybridised("absent")], "UUUU"),
        ([stain("IHC 0, ultralow")], "NMNM"),
        ([fact("tumor_marker", "2024-01-01", codes=[HER2], polarity="absent")], "NMUU"),
        ([fact("tumor_marker", "2024-01-01", codes=[HER2], polarity="present")], "MNNN"),
        ([hybridised("absent")], "NMUU"),
        ([], "UUUU"),
    ],
)
def test_her2_is_ordinal_and_negative_leaves_low_open(facts, expected):
    found = [verdict(her2(state), *facts)[0] for state in ("positive", "negative", "low", "ultralow")]
    assert "".join(found) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("3+", "3+"),
        ("IHC 0", "0"),
        ("score: 2", "2+"),
        ("++", "2+"),
        ("1+\n3+", None),
        ("negative", None),
        ("13+", None),
    ],
)
def test_a_score_is_read_only_where_it_is_one(said, expected):
    assert score(said) == expected


def drug(name, day="2024-01-01", **more):
    return fact("medication", day, **{"display": name, "codes": [], "status": "administration:completed", **more})


@pytest.mark.parametrize(
    ("asked", "facts", "expected"),
    [
        ({"classes": ["EGFR inhibitor"]}, [drug("osimertinib 80 MG Oral Tablet")], "MET"),
        ({"classes": ["EGFR inhibitor"]}, [drug("Pembrolizumab")], "UNKNOWN"),
        ({"drugs": ["trastuzumab"]}, [drug("ado-trastuzumab emtansine")], "UNKNOWN"),
        ({"drugs": ["erlotinib"], "state": "never"}, [drug("Erlotinib")], "NOT_MET"),
        ({"drugs": ["erlotinib"], "state": "never"}, [], "UNKNOWN"),
        ({"drugs": ["erlotinib"]}, [drug("Erlotinib", usable=False)], "UNKNOWN"),
        ({"classes": ["platinum"], "washout_days": 28}, [drug("Cisplatin", "2024-05-01")], "MET"),
        ({"classes": ["platinum"], "washout_days": 28}, [drug("Cisplatin", "2024-06-01")], "NOT_MET"),
        (
            {"classes": ["platinum"], "washout_days": 28},
            [drug("Cisplatin", "2024-01-01"), drug("Cisplatin", None)],
            "UNKNOWN",
        ),
        ({"classes": ["platinum"], "washout_days": 28}, [drug("Cisplatin", "2024-01-01", time_end=None)], "NOT_MET"),
        ({"lines": {"min": 1}}, [drug("Cisplatin"), drug("Pemetrexed", "2024-01-02")], "MET"),
        ({"lines": {"max": 1}}, [drug("Cisplatin"), drug("Docetaxel", "2024-05-02")], "NOT_MET"),
        ({"lines": {"max": 1}}, [drug("Cisplatin")], "UNKNOWN"),  # others may have been given elsewhere
        ({"lines": {"min": 2}}, [drug("Cisplatin")], "UNKNOWN"),
        ({"classes": ["platinum"], "washout_days": 28}, [drug("Cisplatin", status="statement:active")], "NOT_MET"),
        ({"classes": ["HER2 antibody-drug conjugate"]}, [drug("Kadcyla")], "MET"),
        ({"drugs": ["trastuzumab"]}, [drug("trastuzumab emtansine")], "UNKNOWN"),
        ({"classes": ["chemotherapy"]}, [drug("Fluorouracil 5% topical cream")], "UNKNOWN"),
        ({"classes": ["chemotherapy"]}, [drug("Methotrexate 2.5 MG")], "UNKNOWN"),
        ({"classes": ["chemotherapy"]}, [drug("Methotrexate 2.5 MG", cancers=["Condition/c"])], "MET"),
        ({"lines": {"min": 1}}, [drug("Cisplatin", None)], "UNKNOWN"),
        ({"lines": {"max": 1}}, [], "UNKNOWN"),
    ],
)
def test_therapies_are_exposures_and_lines_are_counted_by_a_rule(asked, facts, expected):
    assert verdict({"therapy": asked}, *facts) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["a", "b", "c", "d"])), min_size=1, max_size=8))
def test_lines_do_not_depend_on_the_order_and_do_not_grow_by_repetition(taken):
    exposures = [(day * DAY, frozenset({name})) for day, name in taken]
    lines = count_lines(exposures)
    assert lines == count_lines(exposures[::-1])
    assert lines == count_lines(exposures + exposures)
    assert 1 <= lines <= len(taken)


def test_a_drug_is_known_by_its_code_before_its_name():
    assert ingredients("http://www.nlm.nih.gov/research/umls/rxnorm|337525\nCisplatin") == {"erlotinib"}
    assert ingredients("Paracetamol") == frozenset()


EGFR = {"biomarker": {"gene": "EGFR", "state": "absent"}}
PLASMA = {
    "codes": ["http://terminology.hl7.org/CodeSystem/v2-0487|PLAS"],
    "resource_id": "s1",
    "resource_type": "Specimen",
}


def negative(**more):
    return fact("variant", "2024-01-01", **{"genes": ["EGFR"], "polarity": "absent", "hgvs_protein": [], **more})


def test_a_negative_result_in_blood_never_proves_absence():
    assert verdict(EGFR, negative()) == "MET"
    specimen = fact("specimen", "2024-01-01", **PLASMA)
    assert verdict(EGFR, negative(specimen="Specimen/s1"), specimen) == "UNKNOWN"
    assert verdict(EGFR, negative(method="Cell-free DNA sequencing")) == "UNKNOWN"
    tissue = fact(
        "specimen", "2024-01-01", **{**PLASMA, "codes": ["http://terminology.hl7.org/CodeSystem/v2-0487|TUMOR"]}
    )
    assert verdict(EGFR, negative(specimen="Specimen/s1"), tissue) == "MET"
    germline = {"biomarker": {"gene": "EGFR", "state": "absent", "origin": "germline"}}
    assert verdict(germline, negative(specimen="Specimen/s1", origin="germline"), specimen) == "MET"


@pytest.mark.parametrize("words", ["Plasma", "Peripheral blood (EDTA)", "cfDNA"])
def test_a_specimen_in_words_alone_is_seen(words):
    assert verdict(EGFR, negative(specimen_display=words)) == "UNKNOWN"
    assert verdict(EGFR, negative(specimen_display="FFPE tissue block")) == "MET"


def test_a_specimen_is_found_by_an_identifier_of_it():
    specimen = fact("specimen", "2024-01-01", **PLASMA, value_codes=["urn:lab|A-42"])
    assert verdict(EGFR, negative(specimen="urn:lab|A-42"), specimen) == "UNKNOWN"
    assert verdict(EGFR, negative(specimen="urn:lab|A-43"), specimen) == "MET"
    assert verdict(EGFR, negative(specimen="urn:lab|PLASMA-42")) == "UNKNOWN"


def test_evidence_tells_assay_specimen_laboratory_and_day():
    found = fact(
        "variant", "2024-01-01", genes=["EGFR"], polarity="present", hgvs_protein=["p.L858R"], alteration="mutation",
        method="Sequencing", specimen_display="FFPE tissue", laboratory="Acme Labs",
    )  # fmt: skip
    rows = run(trial_of({"biomarker": {"gene": "EGFR"}}), [found]).criteria.to_dicts()
    assert [each["summary"] for each in rows[0]["evidence"]] == [
        "EGFR p.L858R mutation present, by Sequencing, in FFPE tissue, laboratory Acme Labs, 2024-01-01"
    ]


def test_an_undated_result_has_the_time_of_its_specimen():
    recent = {"biomarker": {"gene": "EGFR"}, "within_days": 30}
    found = fact("variant", None, genes=["EGFR"], polarity="present", specimen="Specimen/s1")
    assert verdict(recent, found) == "UNKNOWN"
    for day, expected in (("2024-06-01", "MET"), ("2023-06-01", "UNKNOWN")):
        assert verdict(recent, found, fact("specimen", day, **{**PLASMA, "codes": []})) == expected


def cancer(id_, code):
    return fact("cancer", "2020-01-01", codes=[code], resource_type="Condition", resource_id=id_)


def stage(group, *cancers):
    return fact("stage", "2024-01-01", value_text=group, codes=[], cancers=list(cancers))


def test_a_stage_of_another_cancer_does_not_count():
    asked = trial_of({"diagnosis": {"codes": ["sct|254637007"]}}, {"stage": {"in": ["IV"]}})
    both = [cancer("lung", LUNG), cancer("breast", BREAST)]

    def found(*stages):
        return run(asked, [*both, *stages]).cohorts["verdict"].item()

    assert found(stage("IV", "Condition/lung")) == "potentially_eligible"
    assert found(stage("IV", "Condition/breast")) == "needs_information"
    assert found(stage("IV")) == "potentially_eligible"
    # of the lung it is stage II, whatever the other cancer has
    assert found(stage("IV", "Condition/breast"), stage("II", "Condition/lung")) == "not_eligible"
    assert found(stage("IV", "Condition/unknown")) == "potentially_eligible"


def test_silence_is_no_evidence_at_all_and_not_evidence_outside_of_the_window():
    asked = {"none": [{"id": "x", "missing": "not_met", "within_days": 28, "therapy": {"classes": ["chemotherapy"]}}]}

    def found(*facts):
        return run(trial_of(asked), list(facts)).cohorts["verdict"].item()

    assert found() == "potentially_eligible"
    assert found(drug("Cisplatin", None)) == "needs_information"
    assert found(drug("Cisplatin", "2024-06-01")) == "not_eligible"
    assert found(drug("Capecitabine", "2024-01-01", time_end=None)) == "not_eligible"
    assert found(drug("Capecitabine", "2024-01-01")) == "needs_information"


NEVER = {"missing": "not_met", "therapy": {"classes": ["EGFR inhibitor"]}}


@pytest.mark.parametrize(
    ("exposure", "expected"),
    [
        (drug("Ibuprofen 400 MG Oral Tablet"), "NOT_MET"),
        (drug("Cisplatin"), "NOT_MET"),
        (drug("Salmeterol and fluticasone"), "NOT_MET"),
        (drug("Some topical cream"), "NOT_MET"),
        (drug("ABC-123 40 MG Oral Capsule"), "UNKNOWN"),
        (drug("ABC-123 / ibuprofen"), "UNKNOWN"),
        (drug("Chemo regimen 7B"), "UNKNOWN"),
        (drug(None, codes=["http://www.nlm.nih.gov/research/umls/rxnorm|1234567"]), "UNKNOWN"),
        (drug(None), "UNKNOWN"),
        (drug("ABC-123", usable=False), "NOT_MET"),
        (drug("ABC-123", "2000-01-01"), "UNKNOWN"),
        (fact("procedure", "2020-01-01", codes=["http://snomed.info/sct|367336001"]), "UNKNOWN"),
        (fact("procedure", "2020-01-01", codes=[], display="Radiochemotherapy"), "UNKNOWN"),
        (fact("procedure", "2020-01-01", codes=[], display="Allergen immunotherapy"), "NOT_MET"),
        (fact("procedure", "2020-01-01", codes=[], display="Appendectomy"), "NOT_MET"),
    ],
)
def test_silence_about_a_drug_is_no_silence_where_an_exposure_is_to_nobody_knows_what(exposure, expected):
    assert verdict(NEVER, exposure) == expected
    assert verdict({**NEVER, "missing": "met"}, exposure) == {"NOT_MET": "MET"}.get(expected, expected)
    assert verdict(NEVER, exposure, drug("Erlotinib")) == "MET"


def test_an_exposure_to_nobody_knows_what_may_have_been_a_line_and_may_break_a_wash_out():
    unknown, untied = drug("ABC-123"), drug("Methotrexate 2.5 MG")
    naive = {"missing": "met", "therapy": {"lines": {"max": 0}}}
    assert verdict(naive) == "MET"
    assert [verdict(naive, taken) for taken in (unknown, untied)] == ["UNKNOWN", "UNKNOWN"]
    assert verdict(naive, unknown, drug("Cisplatin")) == "NOT_MET"
    washed = {"missing": "met", "therapy": {"classes": ["chemotherapy"], "washout_days": 28}}
    assert verdict(washed, unknown) == "MET"
    assert verdict(washed, drug("ABC-123", "2024-06-10")) == "UNKNOWN"
    assert verdict(washed, drug("ABC-123", "2024-06-10"), unknown) == "UNKNOWN"
    assert verdict(washed, drug("ABC-123", None), drug("Cisplatin")) == "UNKNOWN"
    assert verdict(washed, drug("ABC-123", "2024-06-10"), drug("Cisplatin", "2024-06-10")) == "NOT_MET"


def test_the_explanation_names_the_drug_that_no_table_knows():
    found = run(trial_of(NEVER), [drug("ABC-123"), drug("Ibuprofen")]).criteria.to_dicts()[0]
    assert [each["summary"] for each in found["evidence"]] == ["ABC-123, a drug that no table knows, 2024-01-01"]


def test_a_regimen_by_name_is_its_drugs():
    assert verdict({"therapy": {"drugs": ["oxaliplatin"]}}, drug("mFOLFOX6, cycle 3")) == "MET"


@pytest.mark.parametrize(
    ("asked", "stated"),
    [
        ({"change": "V600 any"}, {"hgvs_protein": ["p.V600K"]}),
        ({"codons": {"min": 700, "max": 900}}, {"hgvs_protein": ["p.L858R"]}),
        ({"exons": [18, 19]}, {"exon": 19}),
        ({"alteration": ["mutation", "copy_number_gain"]}, {"alteration": "copy_number_gain"}),
        ({"partner": "any"}, {"genes": ["EGFR", "EML4"], "alteration": "fusion"}),
        ({"alteration": "fusion"}, {}),
        ({"origin": "germline"}, {}),
    ],
)
def test_a_negative_that_covers_a_part_of_the_question_proves_nothing(asked, stated):
    question = {"biomarker": {"gene": "EGFR", "state": "absent", **asked}}
    assert verdict(question, negative(**stated)) == "UNKNOWN"


def test_low_results_of_blood_prove_nothing():
    msi = fact("msi", "2024-01-01", polarity="absent", method="cfDNA plasma NGS")
    assert verdict({"biomarker": {"msi": "stable"}}, msi) == "UNKNOWN"
    tmb = fact("tmb", "2024-01-01", value_number=2.0, unit="1/1000000{Base}", method="ctDNA")
    assert verdict({"biomarker": {"tmb": {"max": 5}}}, tmb) == "UNKNOWN"
    assert verdict({"biomarker": {"tmb": {"min": 1}}}, tmb) == "MET"


def test_a_cancer_without_a_code_may_be_any():
    asked = {"diagnosis": {"codes": ["sct|254637007"]}}
    assert verdict(asked, cancer("b", BREAST)) == "NOT_MET"
    assert verdict(asked, cancer("b", BREAST), fact("cancer", "2020-01-01", codes=[])) == "UNKNOWN"


def test_a_therapy_of_another_cancer_does_not_count_and_a_later_death_neither():
    asked = trial_of({"diagnosis": {"codes": ["sct|254637007"]}}, {"therapy": {"classes": ["platinum"]}})
    both = [cancer("lung", LUNG), cancer("breast", BREAST)]
    given = drug("Cisplatin", cancers=["Condition/breast"])
    assert run(asked, [*both, given]).cohorts["verdict"].item() == "needs_information"
    died = fact("deceased", "2024-12-01", polarity="present")
    assert run(asked, [*both, drug("Cisplatin"), died]).cohorts["verdict"].item() == "potentially_eligible"


def test_a_condition_that_is_over_is_for_people_to_weigh():
    asked = {"finding": {"kind": "condition", "codes": ["sct|1"]}}
    hepatitis = {"codes": ["http://snomed.info/sct|1"], "polarity": "present"}
    assert verdict(asked, fact("condition", "2020-01-01", **hepatitis, status="active")) == "MET"
    assert verdict(asked, fact("condition", "2020-01-01", **hepatitis, status="resolved")) == "UNKNOWN"


def test_what_missing_means_is_the_protocols_to_say():
    asked = {"finding": {"kind": "condition", "codes": ["sct|1"]}}
    assert verdict(asked) == "UNKNOWN"
    assert verdict({**asked, "missing": "not_met"}) == "NOT_MET"
    assert verdict({**asked, "missing": "met"}) == "MET"
    there = fact("condition", "2024-01-01", codes=["http://snomed.info/sct|1"])
    assert verdict({**asked, "missing": "not_met"}, there) == "MET"


def test_a_criterion_can_say_which_sex_it_means():
    said = [fact("gender", value_text="female"), fact("birth_sex", value_text="M")]
    assert verdict({"sex": "female"}, *said) == "UNKNOWN"
    assert verdict({"sex": {"is": "female", "of": "administrative"}}, *said) == "MET"
    assert verdict({"sex": {"is": "female", "of": "birth"}}, *said) == "NOT_MET"


def test_the_histology_is_that_of_the_same_cancer():
    asked = {"diagnosis": {"codes": ["sct|254637007"], "histology": ["sct|35917007"]}}
    right = {"value_codes": ["http://snomed.info/sct|35917007"]}
    assert verdict(asked, {**cancer("lung", LUNG), **right}) == "MET"
    assert verdict(asked, cancer("lung", LUNG)) == "UNKNOWN"
    assert verdict(asked, cancer("lung", LUNG), {**cancer("breast", BREAST), **right}) == "UNKNOWN"


def test_at_least_so_many_of_several_criteria_hold():
    asked = {
        "at_least": {
            "n": 2,
            "of": [{"id": f"x{n}", "finding": {"kind": "condition", "codes": [f"sct|{n}"]}} for n in (1, 2, 3)],
        }
    }
    has = [fact("condition", "2024-01-01", codes=[f"http://snomed.info/sct|{n}"]) for n in (1, 2)]
    assert run(trial_of(asked), has).cohorts["verdict"].item() == "potentially_eligible"
    one = run(trial_of(asked), has[:1]).cohorts
    assert (one["verdict"].item(), one["answers_needed"].item()) == ("needs_information", 1)


def test_sources_that_contradict_each_other_are_a_conflict_and_both_are_shown():
    asked = {"biomarker": {"marker": "ER", "state": "positive"}}
    er = "http://loinc.org|85337-4"
    said = [
        fact("tumor_marker", "2024-01-01", codes=[er], polarity=p, source=s)
        for p, s in (("present", "a"), ("absent", "b"))
    ]
    row = run(trial_of(asked), said).criteria.row(0, named=True)
    assert (row["verdict"], row["conflict"], len(row["evidence"])) == ("UNKNOWN", True, 2)


@pytest.mark.parametrize(
    ("change", "asked", "expected"),
    [
        ("V600E", "V600 any", "MET"),
        ("V600_K601delinsE", "V600 any", "UNKNOWN"),
        ("K601E", "V600 any", "UNKNOWN"),
        ("ELREA746del", "E746_A750del", "MET"),
        ("p.Glu746_Ala750del", "ELREA746del", "MET"),
        ("E746_A750>Q", "E746_A750delinsQ", "MET"),
    ],
)
def test_one_variant_in_other_notations_is_one_variant(change, asked, expected):
    found = fact("variant", "2024-01-01", genes=["X"], polarity="present", hgvs_protein=[change])
    assert verdict({"biomarker": {"gene": "X", "change": asked}}, found) == expected


@pytest.mark.parametrize(
    ("asked", "columns", "expected"),
    [
        ({"codons": {"min": 746, "max": 759}}, {"hgvs_protein": ["E746_A750del"]}, "MET"),
        ({"codons": {"min": 748, "max": 759}}, {"hgvs_protein": ["E746_A750del"]}, "UNKNOWN"),
        ({"exons": [19]}, {"exon": 19}, "MET"),
        ({"exons": [19]}, {"exon": 20}, "UNKNOWN"),
        ({"consequence": "missense_variant"}, {"consequence": "Missense_Mutation"}, "MET"),
        ({"consequence": "frameshift_variant"}, {"consequence": "Frame_Shift_Del"}, "MET"),
        ({"consequence": "Frame_Shift_Del"}, {"consequence": "Frameshift"}, "UNKNOWN"),
        ({"vaf": {"min": 0.05}}, {"vaf": 0.04}, "UNKNOWN"),
        ({"vaf": {"min": 0.05}}, {"vaf": 0.05}, "MET"),
        ({"copy_number": {"over": 6}}, {"copy_number": 6.0}, "UNKNOWN"),
        ({"partner": "EML4"}, {"genes": ["ALK", "EML4"], "alteration": "fusion"}, "MET"),
        ({"partner": "any"}, {"genes": ["ALK", "KIF5B"], "alteration": "fusion"}, "MET"),
        ({"partner": "EML4"}, {"genes": ["ALK"], "alteration": "fusion"}, "UNKNOWN"),
        ({"call": "amplification"}, {"call": "amplification", "alteration": "copy_number_gain"}, "MET"),
        ({"zygosity": "homozygous"}, {"zygosity": "heterozygous"}, "UNKNOWN"),
    ],
)
def test_everything_that_narrows_a_gene_holds_of_one_variant(asked, columns, expected):
    facts = [fact("variant", "2024-01-01", **{"genes": ["ALK"], "polarity": "present", **columns})]
    assert verdict({"biomarker": {"gene": "ALK", **asked}}, *facts) == expected
