"""Judging one question over all persons at once: age, sex, diagnosis, finding, stage, performance status, laboratory.

Biomarkers are in `biomarkers`. A judge turns facts of a kind into a judged frame and names the rule that combines
them (`rules`). Where nothing is said, the verdict is UNKNOWN.
"""

import calendar
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from spv_platform.trials import biomarkers
from spv_platform.trials.cancers import judge_cancer_codes
from spv_platform.trials.evidence import NOT_STATED, UNDATED, Array, Facts, Judged, Verdicts, look_up, micros
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.notation import is_other_stage, judge_stage, other_stage_systems, stage_group, stage_of_code
from spv_platform.trials.questions import (
    Age,
    Biomarker,
    Diagnosis,
    Finding,
    Lab,
    PerformanceStatus,
    Range,
    Reach,
    Sex,
    Stage,
    Test,
    Therapy,
)
from spv_platform.trials.rules import Rule, agree, best, decide_together, history, latest, nothing, opposite, worst
from spv_platform.trials.sites import judge_reach
from spv_platform.trials.terms import code_matches, fold_code, plausible_range
from spv_platform.trials.therapies import as_lasting, judge_therapy
from spv_platform.trials.values import judge_quantity

#: Clinical states of a condition that is over.
_PAST = ("resolved", "inactive", "remission")
#: Facts that are decided about at once.
_FACTS_AT_ONCE = 1_000_000
MAX_AGE = 125  # years; an older birth date is a placeholder


def judge(test: Test, within_days: int | None, facts: Facts, of: tuple[Diagnosis, ...] = ()) -> Verdicts:
    """The verdicts on one question.

    Args:
        test: what is asked for.
        within_days: only evidence of the last so many days counts.
        facts: of all persons.
        of: the cancers that the question may be about: facts that belong to another one of the person do not count.
    """
    return judge_all([(test, within_days, of)], facts)[0]


def judge_all(questions: Sequence[tuple[Test, int | None, tuple[Diagnosis, ...]]], facts: Facts) -> list[Verdicts]:
    """The verdicts on several questions, each as of `judge`; those of one rule and window are decided at once."""
    found = [nothing(facts.persons)] * len(questions)
    waiting: dict[tuple[Rule, int | None], dict[int, Judged]] = {}
    held = 0
    for at, (test, within_days, of) in enumerate(questions):
        judged, rule = _judge(test, facts)
        others = facts.of_other_cancers(of) if of else None
        if others is not None:
            judged = judged.where(~others[judged.row])
        if len(judged.row):
            waiting.setdefault((rule, within_days), {})[at] = judged
            held += len(judged.row)
        if held < _FACTS_AT_ONCE and at + 1 < len(questions):
            continue
        for (decide, days), some in waiting.items():
            window = facts.window_start(days)
            for number, verdicts in zip(
                some, decide_together(decide, [*some.values()], window, facts.persons), strict=True
            ):
                found[number] = opposite(verdicts) if _asks_absence(questions[number][0]) else verdicts
        waiting, held = {}, 0
    return found


def _asks_absence(test: Test) -> bool:
    if isinstance(test, Biomarker):
        return test.gene is not None and test.state == "absent"
    return (isinstance(test, Finding) and test.state == "absent") or (
        isinstance(test, Therapy) and test.state == "never"
    )


def _judge(test: Test, facts: Facts) -> tuple[Judged, Rule]:
    """The facts that say something, and the rule by which those of a person become a verdict."""
    match test:
        case Age():
            return _age(test, facts), agree
        case Sex() | "female" | "male":
            return _sex(test, facts), agree
        case Diagnosis():
            return _diagnosis(test, facts), best
        case Finding():
            return _finding(test, facts), history
        case Stage():
            return _stage(test, facts), latest
        case PerformanceStatus():
            return _performance(test, facts), latest
        case Lab():
            return _lab(test, facts), latest
        case Therapy():
            return judge_therapy(test, facts), worst if test.washout_days is not None else best
        case Reach():
            return judge_reach(test, facts), agree
        case Biomarker():
            return biomarkers.judge(test, facts), history if test.gene is not None else latest
        case _:
            return nothing(facts.persons).weighed, agree


def _age(test: Age, facts: Facts) -> Judged:
    births = facts.of("birth_date")
    places = np.flatnonzero(births.start != UNDATED)
    # born in [start, end): the last possible moment is just before the end
    oldest, youngest = births.start[places], births.end[places] - 1

    def born_before(limit: datetime) -> Array:
        return np.where(youngest < micros(limit), MET, np.where(oldest >= micros(limit), NOT_MET, UNKNOWN))

    verdict = np.full(len(places), MET)
    if test.min is not None:
        verdict = np.minimum(verdict, born_before(_years_before(facts, test.min)))
    if test.over is not None:
        verdict = np.minimum(verdict, born_before(_years_before(facts, test.over) - timedelta(days=1)))
    if test.max is not None:
        verdict = np.minimum(verdict, -born_before(_years_before(facts, test.max + 1)))
    if test.under is not None:
        verdict = np.minimum(verdict, -born_before(_years_before(facts, test.under)))
    plausible = oldest >= micros(_years_before(facts, MAX_AGE))
    return births.judged(places, np.where(plausible, verdict, UNKNOWN).astype(np.int8))


def _years_before(facts: Facts, years: float) -> datetime:
    """The first moment of birth at which a person is not yet so many years old on the day of evaluation.

    A part of a year counts as whole months.
    """
    months = facts.as_of.year * 12 + facts.as_of.month - 1 - round(years * 12)
    year, month = max(months // 12, 1), months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    born = datetime(year, month, min(facts.as_of.day, last)) + timedelta(days=1)
    # born on the 29th of February: the birthday of other years is the 1st of March
    return born if facts.as_of.day <= last else datetime(year, month, last) + timedelta(days=1)


def _sex(test: Sex | Literal["female", "male"], facts: Facts) -> Judged:
    kinds = {"birth": ("birth_sex",), "administrative": ("gender",)}
    stated = facts.of(*(kinds[test.of] if isinstance(test, Sex) else ("gender", "birth_sex")))
    wanted = test.wanted if isinstance(test, Sex) else test

    def judge_one(said: str) -> int:
        sex = {"f": "female", "m": "male"}.get(said.lower(), said.lower())
        return UNKNOWN if sex not in ("female", "male") else MET if sex == wanted else NOT_MET

    places = stated.everywhere()
    return stated.judged(places, stated.looked_up("value_text", places, judge_one))


def _diagnosis(test: Diagnosis, facts: Facts) -> Judged:
    cancers = facts.of("cancer")
    places = cancers.everywhere()

    def judge_one(codes: str) -> int:
        return judge_cancer_codes(test.codes, codes.split("\n")) if codes else UNKNOWN

    def judge_histology(codes: str) -> int:
        # another code may stand for a kind of the wanted histology
        return MET if any(code_matches(wanted, code) for wanted in test.histology for code in codes.split("\n")) else 0

    verdict = cancers.looked_up("codes", places, judge_one)
    if test.histology:
        verdict = np.minimum(verdict, cancers.looked_up("value_codes", places, judge_histology))
    return cancers.judged(places, verdict)


def _finding(test: Finding, facts: Facts) -> Judged:
    found = facts.of(test.kind)
    places = found.having("codes", map(fold_code, test.codes)) if test.codes else found.everywhere()
    # the absence of one of several things says nothing about the others
    one_thing = len(test.codes) == 1 and not test.codes[0].endswith("*")

    def recorded() -> Array:
        # most findings are recorded because they are there
        polarity = np.where(found.polarity() == NOT_STATED, MET, found.polarity())
        if test.kind != "condition":
            return polarity
        # what has passed may come again, and may be what the protocol means: that is for people to say
        past = found.array("past", lambda: pl.col("status").is_in(_PAST).fill_null(value=False))
        return np.where(past & (polarity == MET), UNKNOWN, polarity)

    polarity = found.keep("recorded", recorded)[places]
    said = polarity if one_thing else np.maximum(polarity, UNKNOWN)
    return as_lasting(facts, found, places, said) if test.kind == "medication" else found.judged(places, said)


def _stage(test: Stage, facts: Facts) -> Judged:
    stages = facts.of("stage")
    parts = ("value_display", "value_text", pl.col("value_codes").list.join("\n"))
    tnm = ~pl.col("codes").list.eval(pl.element().is_in(other_stage_systems())).list.any().fill_null(False)
    said = pl.when(tnm).then(pl.concat_str(*parts, separator="\n", ignore_nulls=True))
    codes, values = stages.coded_as("said", said.fill_null(""))
    return stages.judged(
        stages.everywhere(), look_up(codes, values, lambda text: _judge_stage_text(test, text), UNKNOWN)
    )


def _judge_stage_text(test: Stage, text: str) -> int:
    if is_other_stage(text):
        return UNKNOWN
    readings = {stage_of_code(line) if "|" in line else stage_group(line) for line in text.split("\n")}
    answers = {judge_stage(test.one_of, reading) for reading in readings if reading}
    return answers.pop() if len(answers) == 1 else UNKNOWN


def _performance(test: PerformanceStatus, facts: Facts) -> Judged:
    kind, limits, top = ("ecog", test.ecog, 5) if test.ecog else ("karnofsky", test.karnofsky, 100)
    scores = facts.of(kind)
    places = scores.everywhere()
    return scores.judged(places, judge_quantity(scores, places, limits or Range(min=0), (0, top)))


def _lab(test: Lab, facts: Facts) -> Judged:
    results = facts.of("lab", "tumor_marker")
    places = results.having("codes", map(fold_code, test.codes))
    return results.judged(
        places, judge_quantity(results, places, test, plausible_range(test.codes, test.unit), test.unit)
    )
