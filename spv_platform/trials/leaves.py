"""Judging one question over all persons at once: age, sex, diagnosis, finding, stage, performance status, laboratory.

Biomarkers are in `biomarkers`. A judge turns facts of a kind into a judged frame and names the rule that combines
them (`evidence`). Where nothing is said, the verdict is UNKNOWN.
"""

import calendar
from datetime import datetime, timedelta

import polars as pl

from spv_platform.trials import biomarkers
from spv_platform.trials.cancers import judge_cancer_codes
from spv_platform.trials.evidence import (
    Facts,
    Judged,
    Verdicts,
    agree,
    best,
    history,
    judged,
    latest,
    nothing,
    opposite,
)
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Age, Biomarker, Diagnosis, Finding, Lab, PerformanceStatus, Range, Stage, Test
from spv_platform.trials.notation import is_other_stage, judge_stage, other_stage_systems, stage_group, stage_of_code
from spv_platform.trials.terms import fold_code
from spv_platform.trials.values import judge_quantity

MAX_AGE = 125  # years; an older birth date is a placeholder


def judge(test: Test, within_days: int | None, facts: Facts) -> Verdicts:
    """The verdicts on one question.

    Args:
        test: what is asked for.
        within_days: only evidence of the last so many days counts.
        facts: of all persons.
    """
    window, persons = facts.window_start(within_days), facts.persons
    match test:
        case Age():
            return agree(_age(test, facts), None, persons)
        case "female" | "male":
            return agree(_sex(test, facts), None, persons)
        case Diagnosis():
            return best(_diagnosis(test, facts), window, persons)
        case Finding():
            found = history(_finding(test, facts), window, persons)
            return found if test.state == "present" else opposite(found)
        case Stage():
            return latest(_stage(test, facts), window, persons)
        case PerformanceStatus():
            return latest(_performance(test, facts), window, persons)
        case Lab():
            return latest(_lab(test, facts), window, persons)
        case Biomarker():
            return biomarkers.judge(test, window, facts)
        case _:
            return nothing(persons)


def with_code(
    facts: Facts, patterns: tuple[str, ...], *kinds: str, select: tuple[str, ...] | None = None
) -> pl.DataFrame:
    """The facts of these kinds that have a code that one of the patterns matches."""
    return facts.having("codes", map(fold_code, patterns), *kinds, select=select)


def _age(test: Age, facts: Facts) -> Judged:
    births = facts.of("birth_date").filter(pl.col("start").is_not_null())
    # born in [start, end): the last possible moment is just before the end
    oldest, youngest = pl.col("start"), pl.col("end") - pl.duration(microseconds=1)

    def born_before(limit: datetime) -> pl.Expr:
        return pl.when(youngest < limit).then(MET).when(oldest >= limit).then(NOT_MET).otherwise(UNKNOWN)

    day = timedelta(days=1)
    verdicts = [pl.lit(MET)]
    if test.min is not None:
        verdicts.append(born_before(_years_before(facts, test.min)))
    if test.over is not None:
        verdicts.append(born_before(_years_before(facts, test.over) - day))
    if test.max is not None:
        verdicts.append(-born_before(_years_before(facts, test.max + 1)))
    if test.under is not None:
        verdicts.append(-born_before(_years_before(facts, test.under)))
    plausible = oldest >= _years_before(facts, MAX_AGE)
    return judged(births, pl.when(plausible).then(pl.min_horizontal(verdicts)).otherwise(UNKNOWN))


def _years_before(facts: Facts, years: float) -> datetime:
    """The first moment of birth at which a person is not yet so many years old on the day of evaluation.

    A part of a year counts as whole months.
    """
    months = facts.as_of.year * 12 + facts.as_of.month - 1 - round(years * 12)
    year, month = max(months // 12, 1), months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    born = datetime(year, month, min(facts.as_of.day, last))
    # who is born on the 29th of February has the birthday on the 1st of March of other years
    if facts.as_of.day > last:
        born += timedelta(days=1)
        return born
    return born + (facts.horizon - datetime.combine(facts.as_of, datetime.min.time()))


def _sex(test: str, facts: Facts) -> Judged:
    said = pl.col("value_text").str.to_lowercase().replace({"f": "female", "m": "male"})
    verdict = pl.when(said == test).then(MET).when(said.is_in(["female", "male"])).then(NOT_MET).otherwise(UNKNOWN)
    return judged(facts.of("gender", "birth_sex"), verdict)


def _diagnosis(test: Diagnosis, facts: Facts) -> Judged:
    cancers = facts.of("cancer").filter(pl.col("codes").list.len() > 0)
    # one look-up per distinct set of codes, of which there are few
    together = pl.col("codes").list.join("\n")
    sets = cancers.select(together).to_series().unique().drop_nulls().to_list()
    verdicts = {codes: judge_cancer_codes(test.codes, codes.split("\n")) for codes in sets}
    return judged(cancers, together.replace_strict(verdicts, default=None, return_dtype=pl.Int8))


def _finding(test: Finding, facts: Facts) -> Judged:
    found = with_code(facts, test.codes, test.kind) if test.codes else facts.of(test.kind)
    # the absence of one of several things says nothing about the others
    one_thing = len(test.codes) == 1 and not test.codes[0].endswith("*")
    absent = NOT_MET if one_thing else UNKNOWN
    polarity = pl.col("polarity").fill_null("present")
    return judged(found, pl.when(polarity == "present").then(MET).when(polarity == "absent").then(absent).otherwise(0))


def _stage(test: Stage, facts: Facts) -> Judged:
    # one look-up per distinct way of saying a stage, of which there are few
    parts = ("value_display", "value_text", pl.col("value_codes").list.join("\n"))
    tnm = ~pl.col("codes").list.eval(pl.element().is_in(other_stage_systems())).list.any().fill_null(False)
    said = pl.when(tnm).then(pl.concat_str(*parts, separator="\n", ignore_nulls=True))
    stages = facts.of("stage").with_columns(said=said.fill_null(""))
    verdicts = {text: _judge_stage_text(test, text) for text in stages["said"].unique().to_list()}
    return judged(stages, pl.col("said").replace_strict(verdicts, default=None, return_dtype=pl.Int8))


def _judge_stage_text(test: Stage, text: str) -> int:
    if is_other_stage(text):
        return UNKNOWN
    readings = {stage_of_code(line) if "|" in line else stage_group(line) for line in text.split("\n")}
    answers = {judge_stage(test.one_of, reading) for reading in readings if reading}
    return answers.pop() if len(answers) == 1 else UNKNOWN


def _performance(test: PerformanceStatus, facts: Facts) -> Judged:
    kind, limits, top = ("ecog", test.ecog, 5) if test.ecog else ("karnofsky", test.karnofsky, 100)
    return judged(facts.of(kind), judge_quantity(limits or Range(min=0), (0, top)))


def _lab(test: Lab, facts: Facts) -> Judged:
    needed = ("value_number", "comparator", "unit")
    results = with_code(facts, test.codes, "lab", "tumor_marker", select=needed)
    return judged(results, judge_quantity(test, None, unit=test.unit, facts=results, codes=test.codes))
