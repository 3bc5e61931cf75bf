"""Facts made ready for judging, and the rules by which several facts of one person become one verdict.

A *judged* frame has the columns row, person, start, end (when it was true; null: undated) and judgement (Int8). Only
usable facts that do not lie after the day of evaluation get in.

Rules:
* `latest`: of the facts that may be the latest, all must agree. An undated fact may always be the latest.
* `agree`: facts about something that does not change; those that say something must not contradict each other.
* `best`: one MET is enough; NOT_MET only if nothing is UNKNOWN.
* `history`: something that was found stays found, unless it was looked for again and not found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.terms import OTHER_NAMES

JUDGED: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "person": pl.UInt32(),
    "start": pl.Datetime("us"),
    "end": pl.Datetime("us"),
    "judgement": pl.Int8(),
}

Rule = Callable[[pl.DataFrame, datetime | None], "Verdicts"]


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one question.

    Attributes:
        by_person: person (UInt32), verdict (Int8); who is missing has no evidence: UNKNOWN.
        evidence: person, row, judgement: the facts that were weighed.
    """

    by_person: pl.DataFrame
    evidence: pl.DataFrame


class Facts:
    """The usable facts of some persons, ready for judging.

    Attributes:
        as_of: the day of evaluation.
        persons: the number of persons; they are numbered from 0 in the order given.
        usable: the facts that count, with `row`, `person`, `start`, `end` beside the columns of the view.
    """

    def __init__(self, persons: pl.DataFrame, facts: pl.DataFrame, as_of: date, *, later: bool = False) -> None:
        """`later`: facts after the day of evaluation count too."""
        self.as_of = as_of
        self.persons = persons.height
        self.horizon = datetime.combine(as_of + timedelta(days=1), time.min)
        numbers = persons.select("person_id").with_row_index("person")
        end = pl.col("time_end").fill_null(self.horizon)
        usable = (
            facts.filter(pl.col("time_start").is_null() | (pl.col("time_start") < self.horizon) | pl.lit(later))
            .join(numbers, on="person_id", how="inner")
            .with_columns(_codes(), start=pl.col("time_start"), end=pl.min_horizontal(end, pl.lit(self.horizon)))
            .with_columns(end=pl.when(pl.col("start").is_not_null()).then("end"))
        )
        # a fixed order: equal facts in another order give the same evidence
        order = ["person", "start", "kind", "source", "resource_type", "source_object", "source_entry"]
        self.usable = usable.sort(order, nulls_last=True, maintain_order=True).with_row_index("row")
        self._by_kind = {str(key[0]): part for key, part in self.usable.partition_by("kind", as_dict=True).items()}

    def of(self, *kinds: str) -> pl.DataFrame:
        """The facts of these kinds."""
        parts = [self._by_kind[kind] for kind in kinds if kind in self._by_kind]
        return pl.concat(parts) if parts else self.usable.clear()

    def of_gene(self, kind: str, gene: str | None) -> pl.DataFrame:
        """The facts of a kind that name a gene."""
        return self.of(kind).filter(pl.col("genes").list.contains(gene).fill_null(False))

    def window_start(self, within_days: int | None) -> datetime | None:
        """The first moment from which evidence counts; None: all counts."""
        if within_days is None:
            return None
        # a window that reaches before the calendar's first day takes everything that is dated
        days = min(within_days, (self.as_of - date.min).days)
        return datetime.combine(self.as_of - timedelta(days=days), time.min)


def _codes() -> pl.Expr:
    """The codes, their systems under the names that criteria use."""
    code = pl.element().str.replace("/|", "|", literal=True)
    for other, name in OTHER_NAMES.items():
        code = code.str.replace(f"{other}|", f"{name}|", literal=True)
    return pl.col("codes").list.eval(code)


def judged(facts: pl.DataFrame, judgement: pl.Expr) -> pl.DataFrame:
    """The facts with their judgement; those without one (null) are left out."""
    frame = facts.select("row", "person", "start", "end", judgement=judgement.cast(pl.Int8))
    return frame.filter(pl.col("judgement").is_not_null())


def nothing() -> Verdicts:
    """No evidence about anybody."""
    empty = pl.DataFrame(schema=JUDGED)
    return Verdicts(empty.select("person", verdict="judgement"), empty.select("person", "row", "judgement"))


def latest(frame: pl.DataFrame, window: datetime | None) -> Verdicts:
    """The judgement of the latest facts, if they agree and one of them surely lies in the window."""
    start = pl.col("start")
    last = start.max().over("person")
    candidates = frame.filter(start.is_null() | last.is_null() | (start == last) | (pl.col("end") > last))
    inside = pl.lit(True) if window is None else (start >= window).fill_null(False).any()
    low, high = pl.col("judgement").min(), pl.col("judgement").max()
    return _verdicts(candidates, pl.when((low == high) & inside).then(low).otherwise(UNKNOWN))


def agree(frame: pl.DataFrame, window: datetime | None) -> Verdicts:
    """The common judgement of the facts that say something."""
    low, high = pl.col("judgement").min(), pl.col("judgement").max()
    verdict = pl.when((low == NOT_MET) & (high == MET)).then(UNKNOWN).when(high == MET).then(MET).otherwise(low)
    return _verdicts(_inside(frame, window), verdict)


def best(frame: pl.DataFrame, window: datetime | None) -> Verdicts:
    """The greatest judgement."""
    return _verdicts(_inside(frame, window), pl.col("judgement").max())


def history(frame: pl.DataFrame, window: datetime | None) -> Verdicts:
    """MET when found and not, perhaps later, looked for in vain; NOT_MET when only looked for in vain."""
    found, missed = pl.col("judgement") == MET, pl.col("judgement") == NOT_MET
    undated = (missed & pl.col("end").is_null()).any()
    last_found, last_missed = pl.col("start").filter(found).max(), pl.col("end").filter(missed).max()
    stands = ~missed.any() | (~undated & (last_found >= last_missed)).fill_null(False)
    vain = missed.any() & (pl.col("judgement") == NOT_MET).all()
    verdict = pl.when(found.any() & stands).then(MET).when(vain).then(NOT_MET).otherwise(UNKNOWN)
    return _verdicts(_inside(frame, window), verdict)


def opposite(verdicts: Verdicts) -> Verdicts:
    """The verdicts on the contrary question, from the same evidence."""
    return Verdicts(
        verdicts.by_person.with_columns(-pl.col("verdict")), verdicts.evidence.with_columns(-pl.col("judgement"))
    )


def _inside(frame: pl.DataFrame, window: datetime | None) -> pl.DataFrame:
    return frame if window is None else frame.filter(pl.col("start") >= window)


def _verdicts(frame: pl.DataFrame, verdict: pl.Expr) -> Verdicts:
    by_person = frame.group_by("person").agg(verdict=verdict.cast(pl.Int8))
    return Verdicts(by_person, frame.select("person", "row", "judgement"))
