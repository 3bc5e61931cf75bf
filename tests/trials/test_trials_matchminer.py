"""CTML and MatchMiner's records: what its own suite expects, and what is said of bad input."""

import gzip
import json
from collections import Counter
from datetime import date

import pytest
from click.testing import CliRunner

from spv_platform.cli import spv
from spv_platform.trials.criteria import CriteriaError, from_document, to_document
from spv_platform.trials.matchminer.ctml import parse_ctml
from spv_platform.trials.matchminer.documents import match_documents
from spv_platform.trials.matchminer.exporting import to_ctml
from spv_platform.trials.matchminer.records import RecordError, read_records

AS_OF = date(2000, 7, 12)


@pytest.fixture(scope="session")
def folder(corpus):
    return corpus / "matchminer"


@pytest.fixture(scope="module")
def records(folder):
    return read_records(folder / "clinical.ejson.gz", folder / "genomic.ejson.gz")


@pytest.fixture(scope="module")
def imported(folder):
    """Reads a document of the corpus."""
    return lambda name: parse_ctml((folder / f"{name}.json").read_text(), f"{name}.json")


@pytest.fixture(scope="module")
def documents(imported, records):
    """Matches the records to a trial of the corpus."""

    def match(name, *, deceased=False, closed=False, world=True, **more):
        trial = imported(f"trials/{name}").trial
        flags = {"include_deceased": deceased, "include_closed": closed, "closed_world": world, **more}
        return list(match_documents([trial], records, AS_OF, **flags))

    return match


def samples(found):
    return {each["sample"] for each in found}


FOUR = ("all_closed", "all_open", "closed_dose", "closed_step_arm")


def test_four_trials_give_48_documents_of_5_samples_each(documents):
    found = [documents(name, deceased=True, closed=True) for name in FOUR]
    assert [len(samples(each)) for each in found] == [5] * 4
    assert sum(map(len, found)) == 48
    assert [len(samples(documents(name, closed=True))) for name in FOUR] == [4] * 4


@pytest.mark.parametrize(
    ("name", "flags", "of", "expected"),
    [
        ("all_open", {"deceased": True}, samples, 5),
        ("closed_dose", {"deceased": True}, samples, 5),
        ("all_closed_trial_closed", {}, list, 0),
        ("all_closed_trial_closed", {"closed": True}, list, 8),
        ("all_open", {}, list, 8),
        ("all_open_dup", {"deceased": True}, list, 35),
        ("wildcard_protein_found", {"deceased": True}, samples, 64),
        ("wildcard_protein_not_found", {"deceased": True}, samples, 0),
        ("unstructured_sv", {}, list, 1),
        ("run_log_arm_open", {}, list, 3),
        ("run_log_arm_open", {"deceased": True}, list, 5),
        ("run_log_two_arms", {}, list, 3),
    ],
)
def test_the_closed_world_is_that_of_matchminer(documents, name, flags, of, expected):
    assert len(of(documents(name, **flags))) == expected


def test_documents_are_one_for_each_record_negation_and_burden(documents):
    assert [*Counter(each["sample"] for each in documents("signatures")).values()] == [5]
    assert sorted(Counter(each["sample"] for each in documents("tmb")).values()) == [3, 4, 4]
    structured = Counter(each["sample"] for each in documents("structured_sv"))
    assert structured.most_common(1)[0][1] == 44
    assert {(each["level"], each["level_id"]) for each in documents("run_log_two_arms")} == {("arm", 101)}


def test_in_three_values_a_positive_stays_and_nobody_is_certain_of_a_negation(documents):
    for name in FOUR:
        assert documents(name, world=False) == documents(name)
    assert documents("all_open_dup", world=False, deceased=True) == []
    unsure = documents("all_open_dup", world=False, deceased=True, include_unknown=True)
    assert samples(unsure) >= samples(documents("all_open_dup", deceased=True))
    assert {each["reason"] for each in unsure} == {"unknown"}


def test_an_opened_arm_changed_criteria_a_death_and_a_birthday_change_who_matches(documents):
    assert documents("run_log_arm_closed") == []
    assert samples(documents("run_log_arm_open_criteria_change")) < samples(documents("run_log_arm_open"))
    older, younger = documents("older_than_18"), documents("younger_than_18")
    assert not samples(older) & samples(younger)
    assert len(samples(older) | samples(younger)) == 102


def test_the_real_trial_of_thirteen_arms_is_read_and_its_misspelt_call_is_found(imported):
    real = imported("NCT03297606_CAPTUR")
    assert len(real.trial.cohorts) == 13
    (misspelt,) = [remark for remark in real.remarks if "High Amplication" in remark]
    assert "did you mean `high amplification`?" in misspelt


@pytest.mark.parametrize("name", [*FOUR, "massive_match_clause", "structured_sv", "signatures", "tmb", "all_open_dup"])
def test_a_trial_that_goes_out_and_in_again_matches_the_same(imported, records, name):
    first = imported(f"trials/{name}").trial
    exported = to_ctml(first)
    assert exported.remarks == []
    again = parse_ctml(json.dumps(exported.trial.ctml), name).trial
    assert from_document(to_document(first)) == first
    flags = {"closed_world": True, "include_deceased": True, "include_closed": True}
    found = [list(match_documents([trial], records, AS_OF, **flags)) for trial in (first, again)]
    assert samples(found[0]) == samples(found[1])
    assert len(found[0]) == len(found[1])


def test_every_key_that_is_no_criterion_comes_back(folder):
    document = json.loads((folder / "NCT03297606_CAPTUR.json").read_text())
    back = to_ctml(parse_ctml(json.dumps(document), "x").trial).trial.ctml
    assert {k: v for k, v in back.items() if k != "treatment_list"} == {
        k: v for k, v in document.items() if k != "treatment_list"
    }
    arms = [step["arm"] for step in back["treatment_list"]["step"]]
    assert [[arm["arm_code"] for arm in arm] for arm in arms] == [
        [arm["arm_code"] for arm in step["arm"]] for step in document["treatment_list"]["step"]
    ]


def clinical(id_="s1", **more):
    return {"_id": {"$oid": id_}, "SAMPLE_ID": id_, "BIRTH_DATE_INT": 19600101, "VITAL_STATUS": "alive", **more}


def genomic(id_="g1", of="s1", **more):
    return {"_id": {"$oid": id_}, "CLINICAL_ID": {"$oid": of}, "VARIANT_CATEGORY": "MUTATION", **more}


def trial(match, **more):
    arm = {"arm_code": "A", "arm_internal_id": 1, "arm_suspended": "N", "match": match}
    return {"protocol_no": "T-1", "status": "Open to Accrual", "treatment_list": {"step": [{"arm": [arm]}]}, **more}


@pytest.fixture
def matched(tmp_path):
    def run(match, clinical_records, genomic_records, *flags, lines=False):
        files = {"t.json": json.dumps(trial(match))}
        files["c.json"] = json.dumps(clinical_records)
        files["g.json"] = "\n".join(map(json.dumps, genomic_records)) if lines else json.dumps(genomic_records)
        for name, text in files.items():
            (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name == "c.json" else text.encode())
        paths = [part for name in "tcg" for part in (_OPTION[name], str(tmp_path / f"{name}.json"))]
        result = CliRunner().invoke(spv, ["trials", "match", *paths, "--as-of", "2020-01-01", "--json", *flags])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


_OPTION = {"t": "--ctml", "c": "--clinical", "g": "--genomic"}
V600 = genomic(HARMONIZED_HUGO_SYMBOL="BRAF", HARMONIZED_PROTEIN_CHANGE="p.V600E")


@pytest.mark.parametrize(
    ("leaf", "record", "matches"),
    [
        ({"protein_change": "p.V600E"}, {}, True),
        ({"protein_change": "p.Val600Glu"}, {}, True),
        ({"protein_change": "p.V600K"}, {}, False),
        ({"wildcard_protein_change": "p.V600"}, {}, True),
        ({"wildcard_protein_change": "p.V601"}, {}, False),
        ({"variant_category": "Mutation"}, {}, True),
        ({"variant_category": "Any Variation"}, {}, True),
        ({"variant_category": "CNV"}, {}, False),
        ({"variant_category": "!Mutation"}, {}, False),
        ({"variant_category": "!CNV"}, {}, True),
        ({"variant_category": "CNV", "cnv_call": "Low Amplification"}, {"CNV_CALL": "Gain"}, True),
        ({"variant_category": "CNV", "cnv_call": "High Amplification"}, {"CNV_CALL": "Gain"}, False),
        ({"exon": "15"}, {"TRUE_TRANSCRIPT_EXON": 15}, True),
        ({"exon": "14"}, {"TRUE_TRANSCRIPT_EXON": 15}, False),
        (
            {"variant_classification": "Missense_Mutation"},
            {"HARMONIZED_VARIANT_CLASSIFICATION": "Missense_Mutation"},
            True,
        ),
        (
            {"variant_classification": "Nonsense_Mutation"},
            {"HARMONIZED_VARIANT_CLASSIFICATION": "Missense_Mutation"},
            False,
        ),
    ],
)
def test_each_key_of_a_genomic_object_is_understood(matched, leaf, record, matches):
    category = "CNV" if "CNV_CALL" in record else "MUTATION"
    found = matched(
        [{"genomic": {"hugo_symbol": "BRAF", **leaf}}],
        [clinical()],
        [{**V600, "VARIANT_CATEGORY": category, **record}],
        "--closed-world",
        lines=True,
    )
    assert bool(found) is matches


def test_all_keys_of_one_genomic_object_hold_of_one_record(matched):
    leaf = [{"genomic": {"hugo_symbol": "BRAF", "protein_change": "p.V600E", "exon": "11"}}]
    two = [{**V600, "TRUE_TRANSCRIPT_EXON": 15}, genomic("g2", HARMONIZED_HUGO_SYMBOL="BRAF", TRUE_TRANSCRIPT_EXON=11)]
    assert matched(leaf, [clinical()], two, "--closed-world") == []


@pytest.mark.parametrize("wanted", ["KMT2A", "MLL"])
@pytest.mark.parametrize("recorded", ["KMT2A", "MLL"])
def test_earlier_symbols_of_a_gene_mean_it_in_trials_and_in_records(matched, wanted, recorded):
    record = genomic(HARMONIZED_HUGO_SYMBOL=recorded)
    assert matched([{"genomic": {"hugo_symbol": wanted}}], [clinical()], [record], "--closed-world")
    fused = genomic(VARIANT_CATEGORY="SV", HARMONIZED_LEFT_PARTNER_GENE=recorded)
    leaf = {"hugo_symbol": wanted, "variant_category": "Structural Variation"}
    assert matched([{"genomic": leaf}], [clinical()], [fused], "--closed-world")


def test_older_names_of_oncotree_and_its_halves_are_understood(matched):
    sick = [clinical(ONCOTREE_PRIMARY_DIAGNOSIS_NAME="Chronic Lymphocytic Leukemia")]
    for wanted, matches in {"_LIQUID_": 1, "Leukemia": 1, "_SOLID_": 0, "!Breast": 1, "Lung": 0}.items():
        found = matched([{"clinical": {"oncotree_primary_diagnosis": wanted}}], sick, [], "--closed-world")
        assert len(found) == matches, wanted


def test_what_the_language_has_no_question_for_is_asked_in_words_and_matches_nobody(tmp_path):
    imported = parse_ctml(json.dumps(trial([{"clinical": {"disease_status": ["Advanced"]}}])), "t.json")
    (remark,) = imported.remarks
    assert remark.startswith("t.json: T-1: arm 1: clinical `disease_status: ['Advanced']`")
    (criterion,) = imported.trial.cohorts[0].criteria.members
    assert criterion.text
    assert to_ctml(imported.trial).trial.ctml["treatment_list"]["step"][0]["arm"][0]["match"] == [
        {"clinical": {"disease_status": ["Advanced"]}}
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "no `treatment_list`"),
        (json.dumps({"treatment_list": {}}), "neither `protocol_no` nor `nct_id`"),
        (json.dumps({"protocol_no": "T", "treatment_list": {"step": []}}), "no step, arm or dose level has a `match`"),
        (json.dumps(trial([{"xor": []}])), "unknown key `xor`"),
        (json.dumps(trial([{"and": []}])), "`and` needs a list"),
        (json.dumps(trial([{"genomic": {}}])), "`genomic` is empty"),
        (json.dumps(trial([{"clinical": {"age_numerical": ">=18"}}] * 10_000)), "more than 1000 criteria"),
    ],
)
def test_what_is_no_ctml_is_refused_with_its_place(text, said):
    with pytest.raises(CriteriaError, match=r"t\.json") as error:
        parse_ctml(text, "t.json")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("clinical_records", "genomic_records", "said"),
    [
        ([clinical(), clinical()], [], "stands twice"),
        ([{}], [], "`_id` is missing"),
        ([clinical(BIRTH_DATE_INT=19601301)], [], "record 1: the birth date is no date"),
        ([clinical()], [genomic(of="s2")], "no clinical record s2"),
        ([clinical()], [genomic(VARIANT_CATEGORY="?")], "`VARIANT_CATEGORY` is none of"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(tmp_path, clinical_records, genomic_records, said):
    paths = tmp_path / "c.json", tmp_path / "g.json"
    for path, rows in zip(paths, (clinical_records, genomic_records), strict=True):
        path.write_text(json.dumps(rows))
    with pytest.raises(RecordError, match=said):
        read_records(*paths)


def test_a_file_that_is_no_trial_is_left_out_and_the_others_go_on(tmp_path, matched):
    (tmp_path / "bad.json").write_text('{"treatment_list": 3}')
    files = ["--ctml", str(tmp_path / "bad.json"), str(tmp_path / "t.json")]
    matched([{"clinical": {"age_numerical": ">=18"}}], [clinical()], [])
    paths = ["--clinical", str(tmp_path / "c.json"), "--genomic", str(tmp_path / "g.json"), "--as-of", "2020-01-01"]
    result = CliRunner().invoke(spv, ["trials", "match", *files, *paths, "--json"])
    assert len(result.stdout.splitlines()) == 1
    assert "left out: bad.json" in result.stderr
