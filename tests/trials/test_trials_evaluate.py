import itertools
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from trials_facts import AS_OF, NCT, OPEN, fact, frame, run, trial_of

from spv_platform.lake.spec import TableSpec
from spv_platform.trials.criterion_rows import MAX_EVIDENCE
from spv_platform.trials.evaluate import evaluate
from spv_platform.trials.explain import explain
from spv_platform.trials.registry import Study
from spv_platform.trials.rows import table_rows
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS, CRITERION_RESULT_COLUMNS, TABLES

ER = "http://loinc.org|85337-4"
ADULT = {"id": "adult", "wording": "Age 18 or older", "age": {"min": 18}}
ER_POSITIVE = {"id": "er", "wording": "ER positive", "biomarker": {"marker": "ER", "state": "positive"}}
NO_EGFR = {"none": [{"id": "egfr", "wording": "EGFR mutated", "biomarker": {"gene": "EGFR"}}]}
TABLETS = {"id": "tablets", "wording": "Able to swallow tablets", "gating": False, "for_clinic": True, "text": True}
TRIAL = trial_of(ADULT, ER_POSITIVE, NO_EGFR, TABLETS)


def person(name="p", *, born="1970-02-03", er="present", egfr="absent", more=()):
    facts = [
        fact("birth_date", born, name, resource_type="Patient"),
        fact("tumor_marker", "2018-03-10", name, codes=[ER], polarity=er, display="Estrogen receptor Ag"),
        fact("variant", "2018-03-15", name, genes=["EGFR"], polarity=egfr, hgvs_protein=[]),
    ]
    return [*(row for row in facts if row["polarity"] != "nothing"), *more]


def cohort(facts, **options):
    result = run(options.pop("trial", TRIAL), facts, **options).cohorts
    assert result.height == 1
    return result.to_dicts()[0]


def test_who_meets_every_gating_criterion_is_potentially_eligible():
    row = cohort(person())
    assert (row["verdict"], row["approved"]) == ("potentially_eligible", True)
    assert (row["reasons"], row["missing"], row["answers_needed"]) == ([], [], 0)


def test_one_failed_criterion_makes_not_eligible_and_is_named():
    row = cohort(person(er="absent"))
    assert (row["verdict"], row["approved"], row["reasons"]) == ("not_eligible", False, ["criterion:er"])
    assert cohort(person(egfr="present"))["reasons"] == ["criterion:egfr"]
    assert row["missing"] == []
    assert row["answers_needed"] is None


def test_a_missing_test_puts_a_person_one_test_away():
    row = cohort(person(er="nothing"))
    assert (row["verdict"], row["approved"]) == ("needs_information", False)
    assert (row["missing"], row["answers_needed"]) == (["er"], 1)


def test_who_is_one_answer_away_is_told_with_the_answers_that_decide_alone():
    her2, alk = ({"id": name, "biomarker": {"gene": name}} for name in ("ERBB2", "ALK"))
    either = trial_of(ADULT, {"any": [ER_POSITIVE, {"all": [her2, alk]}]})
    people = [*person("a", er="nothing"), *person("b"), *person("c", born=None, er="nothing")]
    dead = [*person("d", er="nothing"), fact("deceased", "2024-01-01", "d", polarity="present")]
    persons = dict.fromkeys("abcd", False)
    assert run(either, people + dead, persons=persons).one_away().rows() == [("a", NCT, "A", "er")]
    assert run(either, people, persons={"a": True}).one_away().is_empty()
    for registry in ({}, {NCT: Study(nct_id=NCT, title="", overall_status="COMPLETED")}):
        assert run(either, people, persons=persons, registry=registry).one_away().is_empty()


def test_a_person_of_whom_nothing_is_known_is_neither_approved_nor_rejected():
    row = cohort([])
    assert (row["verdict"], row["approved"], row["missing"]) == ("needs_information", False, ["adult", "er", "egfr"])


def test_what_is_for_the_clinic_is_judged_and_shown_but_never_decides():
    young = trial_of(ADULT, {"id": "old", "gating": False, "age": {"min": 90}})
    result = run(young, person())
    assert result.cohorts["approved"].to_list() == [True]
    assert result.criteria.select("criterion", "gating", "verdict").rows() == [
        ("adult", True, "MET"),
        ("old", False, "NOT_MET"),
    ]


def test_the_dead_are_not_approved():
    dead = fact("deceased", "2024-01-01", polarity="present")
    assert cohort(person(more=[dead]))["reasons"] == ["deceased"]
    assert cohort(person(more=[dead]))["verdict"] == "not_eligible"
    assert cohort(person(more=[dead | {"usable": False}]))["approved"]
    assert cohort(person(more=[fact("deceased", polarity="absent")]))["approved"]
    # one record that knows of the death is enough
    assert not cohort(person(more=[fact("deceased", polarity="absent"), fact("deceased", polarity="present")]))[
        "approved"
    ]


@pytest.mark.parametrize("how", ["persons", "not said", "fact"])
def test_who_opted_out_is_not_matched_at_all(how):
    refusal = [fact("opt_out", "2024-01-01", polarity="present")] if how == "fact" else []
    said = {"persons": True, "not said": None, "fact": False}[how]
    result = run(TRIAL, person(more=refusal), persons={"p": said})
    assert result.criteria.is_empty()
    row = result.cohorts.to_dicts()[0]
    assert (row["verdict"], row["approved"], row["reasons"], row["missing"]) == (
        "not_eligible",
        False,
        ["opted_out"],
        [],
    )


def test_a_closed_cohort_approves_nobody():
    closed = trial_of(ADULT, status="closed")
    assert cohort(person(), trial=closed)["reasons"] == ["cohort_closed"]
    assert not cohort(person(), trial=closed)["approved"]


@pytest.mark.parametrize("status", ["WITHDRAWN", "ACTIVE_NOT_RECRUITING", "COMPLETED", "SUSPENDED", "UNKNOWN"])
def test_a_trial_that_does_not_recruit_approves_nobody_whatever_its_file_says(status):
    registry = {NCT: Study(nct_id=NCT, title="", overall_status=status)}
    row = cohort(person(), registry=registry, trial=trial_of(ADULT, status="open"))
    assert (row["verdict"], row["reasons"]) == ("not_eligible", ["trial_not_recruiting"])


def test_a_trial_that_the_registry_does_not_know_approves_nobody():
    row = cohort(person(), registry={})
    assert (row["verdict"], row["approved"], row["reasons"]) == ("needs_information", False, ["trial_not_in_registry"])


def test_the_answer_of_one_person_does_not_depend_on_the_others():
    people = {"a": person("a"), "b": person("b", er="absent"), "c": person("c", er="nothing"), "d": []}
    facts = [row for rows in people.values() for row in rows]
    together = run(TRIAL, facts, persons=dict.fromkeys(people, False))
    for name, rows in people.items():
        alone = run(TRIAL, rows, persons={name: False})
        assert_frame_equal(together.cohorts.filter(pl.col("person_id") == name), alone.cohorts)
        assert_frame_equal(together.criteria.filter(pl.col("person_id") == name), alone.criteria)


def test_the_order_of_facts_does_not_matter():
    facts = [*person(more=[fact("tumor_marker", "2018-03-10", codes=[ER], polarity="present", source_entry=9)])]
    first = run(TRIAL, facts)
    for order in itertools.permutations(facts):
        again = run(TRIAL, list(order))
        assert_frame_equal(first.criteria, again.criteria)
        assert_frame_equal(first.cohorts, again.cohorts)


def test_facts_of_strangers_are_ignored():
    assert cohort(person("stranger"))["missing"] == ["adult", "er", "egfr"]


def test_evidence_points_to_the_sealed_object_and_says_what_was_found():
    result = run(TRIAL, person())
    evidence = dict(result.criteria.select("criterion", "evidence").iter_rows())
    assert evidence["er"] == [
        {
            "source": "emr",
            "resource_type": "Observation",
            "resource_id": "r1",
            "source_object": "ab" * 32,
            "source_entry": 3,
            "summary": "ER positive, 2018-03-10",
        }
    ]
    assert [pointer["summary"] for pointer in evidence["egfr"]] == ["EGFR absent, 2018-03-15"]
    assert evidence["tablets"] == []


def test_evidence_of_age_does_not_show_the_date_of_birth():
    result = run(trial_of(ADULT), [fact("birth_date", "1970-02-03"), fact("birth_date", "1970")])
    assert [pointer["summary"] for pointer in result.criteria["evidence"][0]] == ["age 54", "age 53-54"]
    assert "1970" not in str(result.criteria.to_dicts())


def test_summaries_name_the_value_as_sent():
    asked = trial_of(
        {"lab": {"code": "loinc|26499-4", "min": 1, "unit": "10*3/uL"}},
        {"performance_status": {"ecog": {"max": 1}}},
        {"stage": {"in": ["IV"]}},
        {"biomarker": {"gene": "EGFR", "change": "L858R"}},
    )
    facts = [
        fact("lab", "2024-05-20", codes=["http://loinc.org|26499-4"], display="Neutrophils", value_number=1.5)
        | {"value_text": "1.50", "unit": "10*3/uL", "comparator": ">"},
        fact("ecog", "2024-05", value_number=1.0, display="ECOG Performance Status score"),
        fact("stage", None, value_display="Stage IVA"),
        fact("variant", "2024-01-02", genes=["EGFR"], hgvs_protein=["p.Leu858Arg"], polarity="present"),
    ]
    summaries = [row[0]["summary"] for row in run(asked, facts).criteria["evidence"]]
    assert summaries == [
        "Neutrophils >1.50 10*3/uL, 2024-05-20",
        "ECOG 1.0, 2024-05",
        "stage Stage IVA",
        "EGFR p.Leu858Arg present, 2024-01-02",
    ]


def test_only_the_latest_facts_are_named_as_evidence():
    many = [fact("variant", f"20{year}-01-01", genes=["EGFR"], polarity="present") for year in range(10, 24)]
    evidence = run(trial_of({"biomarker": {"gene": "EGFR"}}), many).criteria["evidence"][0]
    assert len(evidence) == MAX_EVIDENCE
    assert evidence[0]["summary"] == "EGFR present, 2023-01-01"


def test_criteria_that_ask_the_same_get_the_same_answer_in_every_cohort():
    result = run(trial_of(ADULT, {"any": [{"id": "again", "age": {"min": 18}}, ER_POSITIVE]}), person())
    assert set(result.criteria["verdict"]) == {"MET"}
    assert result.criteria["criterion"].to_list() == ["adult", "again", "er"]


def test_persons_and_trials_must_stand_once():
    persons = pl.DataFrame({"person_id": ["p", "p"], "opted_out": [False, False]})
    with pytest.raises(ValueError, match="person_id stands twice"):
        evaluate(persons, frame([]), [TRIAL], OPEN, AS_OF)
    with pytest.raises(ValueError, match="trial stands twice"):
        evaluate(persons.head(1), frame([]), [TRIAL, TRIAL], OPEN, AS_OF)


@pytest.mark.parametrize("persons", [{}, {"p": False}])
def test_the_columns_are_the_described_ones_with_and_without_persons(persons):
    result = run(TRIAL, [], persons=persons)
    assert dict(result.criteria.schema) == CRITERION_RESULT_COLUMNS
    assert dict(result.cohorts.schema) == COHORT_VERDICT_COLUMNS
    assert result.cohorts.height == len(persons)


def test_an_evaluation_becomes_rows_of_the_lake_tables():
    people = [*person("a"), *person("b", er="absent")]
    result = run(TRIAL, people, persons={"a": False, "b": False})
    rows = table_rows(result, [TRIAL], AS_OF, seq=7)
    for table in TABLES:
        assert dict(rows[table.name].schema) == table.schema
        assert rows[table.name].select(table.key).is_unique().all()
        TableSpec(table.name, table.schema, table.key, "seq")
    approved = rows["approved_patients"].to_dicts()
    assert [row["person_id"] for row in approved] == ["a"]
    assert approved[0]["wording"] == "potentially eligible, clinician to confirm"
    assert (approved[0]["for_clinic"], approved[0]["_seq"]) == (["Able to swallow tablets"], 7)
    assert approved[0]["as_of"] == date(2024, 6, 15)


@pytest.mark.parametrize(
    ("facts", "options", "expected"),
    [
        (person(), {}, f"{NCT}, cohort A: potentially eligible, clinician to confirm."),
        (person(er="absent"), {}, f"{NCT}, cohort A: not eligible: criterion er speaks against it."),
        (
            person(er="nothing"),
            {},
            f"{NCT}, cohort A: needs information (one test away): not known: ER positive (er).",
        ),
        (
            person(),
            {"registry": {}},
            f"{NCT}, cohort A: needs information: the registry's status of the trial is not known.",
        ),
        (
            person(),
            {"persons": {"p": True}},
            f"{NCT}, cohort A: not eligible: the person does not allow the use of the record.",
        ),
    ],
)
def test_an_explanation_begins_with_the_verdict_in_a_sentence(facts, options, expected):
    result = run(TRIAL, facts, **options)
    assert explain(result.cohorts, result.criteria)[0] == expected


def test_an_explanation_lists_every_criterion_with_its_evidence():
    result = run(TRIAL, person())
    assert explain(result.cohorts, result.criteria)[1:] == [
        "  adult (Age 18 or older): yes: age 54 (emr, Patient/r1).",
        "  er (ER positive): yes: ER positive, 2018-03-10 (emr, Observation/r1).",
        "  egfr (EGFR mutated): no: EGFR absent, 2018-03-15 (emr, Observation/r1).",
        "  tablets (Able to swallow tablets), for the clinic: not known: no evidence.",
    ]


def test_rows_and_answers_that_are_made_in_pieces_are_those_made_at_once(monkeypatch):
    names = ("a", "b", "c")
    facts = [row for name in names for row in person(name, er="present" if name == "b" else "nothing")]
    whole = run(TRIAL, facts, persons=dict.fromkeys(names, False))
    assert whole.criteria.height > len(names)
    monkeypatch.setattr("spv_platform.trials.evaluate.ROWS_AT_ONCE", 1)
    monkeypatch.setattr("spv_platform.trials.criterion_rows.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("spv_platform.trials.leaves._FACTS_AT_ONCE", 1)
    pieces = run(TRIAL, facts, persons=dict.fromkeys(names, False))
    assert_frame_equal(pieces.cohorts, whole.cohorts)
    assert_frame_equal(pieces.criteria, whole.criteria)
