"""When a verdict changes by itself, and that matching some of them is matching all of them."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from trials_facts import AS_OF, OPEN, fact, frame, trial_of

from spv_platform.trials.changes import next_changes
from spv_platform.trials.criteria import from_document, to_document
from spv_platform.trials.evaluate import Matcher
from spv_platform.trials.registry import Study

ONE = pl.DataFrame({"person_id": ["p"], "opted_out": [False]})
CREATININE = "http://loinc.org|2160-0"


def creatinine(day, value=1.0, person="p"):
    return fact("lab", day, person, codes=[CREATININE], value_number=value, unit="mg/dL")


LAB = {"lab": {"code": "loinc|2160-0", "unit": "mg/dL", "max": 1.5}, "within_days": 28}


def change(trial, *facts):
    (found,) = next_changes(ONE, frame(list(facts)), trial, OPEN, AS_OF) or [None]
    return found and (found.day, found.verdict)


@pytest.mark.parametrize(
    ("asked", "facts", "expected"),
    [
        ({"age": {"min": 18}}, [fact("birth_date", "2006-08-01")], (date(2024, 8, 1), "potentially_eligible")),
        ({"age": {"max": 75}}, [fact("birth_date", "1948-12-31")], (date(2024, 12, 31), "not_eligible")),
        ({"age": {"over": 18}}, [fact("birth_date", "2006-08-01")], (date(2024, 8, 2), "potentially_eligible")),
        ({"age": {"min": 18}}, [fact("birth_date", "1960-08-01")], None),
        (LAB, [creatinine("2024-06-10")], (date(2024, 7, 9), "needs_information")),
        (
            {"therapy": {"classes": ["platinum"], "washout_days": 28}},
            [fact("medication", "2024-06-10", display="Cisplatin", codes=[])],
            (date(2024, 7, 9), "potentially_eligible"),
        ),
    ],
)
def test_the_next_change_is_the_day_an_age_a_window_or_a_wash_out_ends(asked, facts, expected):
    assert change(trial_of(asked), *facts) == expected


def test_the_day_on_which_somebody_moves_away_is_foreseen():
    document = to_document(trial_of({"site": {"within_km": 10}}))
    trial = from_document({**document, "sites": [{"name": "H", "postal_code": "02115", "country": "US"}]})
    until = fact("place", value_codes=["US", "MA", "02115"]) | {"time_end": fact("x", "2024-07-31")["time_end"]}
    assert change(trial, until) == (date(2024, 8, 1), "needs_information")


days = st.integers(-60, 60).map(lambda days: str(AS_OF + timedelta(days=days)))
records = st.lists(
    st.one_of(
        st.builds(creatinine, days, st.sampled_from([0.9, 1.4, 1.6])),
        st.builds(lambda year: fact("birth_date", f"{year}-08-01"), st.integers(1940, 2015)),
    ),
    max_size=5,
)


@settings(max_examples=10, deadline=None)
@given(records)
def test_no_day_before_the_next_change_has_another_verdict(facts):
    trial = trial_of({"age": {"min": 18, "max": 75}}, LAB)
    matcher, content = Matcher([trial], OPEN), frame(facts)

    def verdict(day):
        return matcher.evaluate(ONE, content, day).cohorts["verdict"].item()

    found = next_changes(ONE, content, trial, OPEN, AS_OF, days=80)
    last = found[0].day if found else AS_OF + timedelta(days=80)
    before = {verdict(AS_OF + timedelta(days=day)) for day in range((last - AS_OF).days)}
    assert before == {verdict(AS_OF)}
    assert not found or verdict(last) not in before


COHORTS = [
    {"all": [{"id": "a1", "age": {"min": 18}}, {"id": "a2", **LAB}]},
    {"any": [{"id": "b1", **LAB}, {"id": "b2", "biomarker": {"gene": "EGFR"}}]},
    {"none": [{"id": "c1", "biomarker": {"gene": "EGFR"}}, {"id": "c2", "age": {"max": 17}}]},
]
PERSONS = [f"p{number}" for number in range(6)]


def matcher_of(numbers):
    trials = [
        from_document({"trial": f"NCT0000000{n}", "cohorts": [{"id": f"c{n}", "criteria": COHORTS[n]}]})
        for n in numbers
    ]
    studies = {trial.trial: Study(nct_id=trial.trial, title="", overall_status="RECRUITING") for trial in trials}
    return Matcher(trials, studies)


somebody = st.sampled_from(PERSONS)
many = st.lists(
    st.one_of(
        st.builds(creatinine, days, st.sampled_from([0.9, 1.6]), somebody),
        st.builds(lambda year, who: fact("birth_date", f"{year}-08-01", who), st.integers(2000, 2010), somebody),
        st.builds(
            lambda day, who, polarity: fact("variant", day, who, genes=["EGFR"], polarity=polarity, hgvs_protein=[]),
            *(days, somebody, st.sampled_from(["present", "absent"])),
        ),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(many, st.sets(somebody, min_size=1), st.sets(st.integers(0, 2), min_size=1))
def test_touched_persons_and_changed_cohorts_come_out_as_in_a_full_run(facts, touched, changed):
    persons = pl.DataFrame({"person_id": PERSONS, "opted_out": [False] * len(PERSONS)})
    content = frame(facts)
    whole = matcher_of(range(3)).evaluate(persons, content, AS_OF)
    who = pl.col("person_id").is_in(list(touched))
    some = matcher_of(range(3)).evaluate(persons.filter(who), content.filter(who), AS_OF)
    what = pl.col("trial").is_in([f"NCT0000000{n}" for n in changed])
    trials = matcher_of(sorted(changed)).evaluate(persons, content, AS_OF)
    for name, key in (("cohorts", ["person_id", "trial"]), ("criteria", ["person_id", "trial", "criterion"])):
        full = getattr(whole, name).sort(key)
        assert_frame_equal(getattr(some, name).sort(key), full.filter(who))
        assert_frame_equal(getattr(trials, name).sort(key), full.filter(what))
