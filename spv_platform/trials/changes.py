"""When a verdict will change by itself: because of an age, a window, a wash-out, or a result that lies ahead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from spv_platform.trials.evaluate import Matcher
from spv_platform.trials.model import Criterion, Trial, criteria_of
from spv_platform.trials.questions import Age, Distance, Therapy
from spv_platform.trials.registry import Study

#: How far ahead is looked.
DAYS_AHEAD = 366


@dataclass(frozen=True)
class Change:
    """The first day on which a cohort's verdict on a person is another one, if nothing new becomes known."""

    trial: str
    cohort: str
    day: date
    verdict: str
    reasons: list[str]


def next_changes(
    persons: pl.DataFrame,
    facts: pl.DataFrame,
    trial: Trial,
    registry: Mapping[str, Study],
    as_of: date,
    days: int = DAYS_AHEAD,
) -> list[Change]:
    """The next change of each cohort's verdict on one person, in the order of the days.

    Args:
        persons: one row of `person_id`, `opted_out`.
        facts: of the person; see `evaluate.evaluate`.
        trial: the criteria.
        registry: studies by registry id.
        as_of: today.
        days: how far to look.
    """
    matcher = Matcher([trial], registry)

    def verdicts(day: date) -> dict[str, tuple[str, list[str]]]:
        rows = matcher.evaluate(persons, facts, day).cohorts
        return {
            cohort: (verdict, reasons)
            for cohort, verdict, reasons in rows.select("cohort", "verdict", "reasons").rows()
        }

    now = verdicts(as_of)
    found: dict[str, Change] = {}
    for day in sorted({day for day in _critical(trial, facts) if as_of < day <= as_of + timedelta(days=days)}):
        for cohort, (verdict, reasons) in verdicts(day).items():
            if cohort not in found and verdict != now[cohort][0]:
                found[cohort] = Change(trial.trial, cohort, day, verdict, reasons)
        if len(found) == len(now):
            break
    return list(found.values())


def _critical(trial: Trial, facts: pl.DataFrame) -> Iterator[date]:
    """The days on which an answer may change."""
    asked = [criterion for cohort in trial.cohorts for criterion in criteria_of(cohort.criteria)]
    births = facts.filter(pl.col("kind") == "birth_date")
    dated = facts.filter(pl.col("kind") != "birth_date")
    starts, ends = _days(dated, "time_start"), _days(dated, "time_end")
    yield from starts
    if any(isinstance(criterion.test, Distance) for criterion in asked):  # somebody moves away
        yield from _days(facts.filter(pl.col("kind") == "place"), "time_end")
    for criterion in asked:
        if isinstance(criterion.test, Age):
            born = _days(births, "time_start") | _days(births, "time_end")
            yield from (day for bound in _bounds(criterion.test) for at in born for day in _birthdays(at, bound))
        for length in _lengths(criterion):
            # days that lie beyond the calendar, as placeholders do, change nothing
            last = date.max.toordinal() - length - 2
            near = [day for day in starts | ends if day.toordinal() <= last]
            yield from (day + timedelta(days=length + more) for day in near for more in (0, 1, 2))


def _days(facts: pl.DataFrame, column: str) -> set[date]:
    return {moment.date() for moment in facts[column].drop_nulls()}


def _bounds(age: Age) -> list[float]:
    bounds = [bound for bound in (age.min, age.over, age.under) if bound is not None]
    return [*bounds, age.max + 1] if age.max is not None else bounds


def _birthdays(born: date, years: float) -> Iterator[date]:
    months = born.year * 12 + born.month - 1 + round(years * 12)
    first = datetime(months // 12, months % 12 + 1, 1).date()
    # the day itself and those around it: the last of a month, and bounds that leave themselves out
    yield from (first + timedelta(days=born.day - 1 + more) for more in (-1, 0, 1, 2))


def _lengths(criterion: Criterion) -> list[int]:
    washout = criterion.test.washout_days if isinstance(criterion.test, Therapy) else None
    return [length for length in (criterion.within_days, washout) if length is not None]
