"""Facts made ready for judging, and the rules by which several facts of one person become one verdict.

Only usable facts that do not lie after the day of evaluation get in. They are sorted by person and time once, and found
by code or gene by an index, so that a question looks at few of them; the rules are reductions over runs of one person.

Rules:
* `latest`: of the facts that may be the latest, all must agree. An undated fact may always be the latest.
* `agree`: facts about something that does not change; those that say something must not contradict each other.
* `best`: one MET is enough; NOT_MET only if nothing is UNKNOWN.
* `history`: something that was found stays found, unless it was looked for again and not found.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.terms import OTHER_NAMES, fold_code

Array: TypeAlias = np.ndarray[Any, Any]

#: An instant that no fact has, for what is undated.
_UNDATED = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Judged:
    """Facts with their judgement, sorted by person; all arrays have one length.

    Attributes:
        row: of `Facts.usable`.
        person: its number.
        start: first microsecond when it was true; `_UNDATED`: not known.
        end: microsecond when it had ceased to be true; `_UNDATED`: not known.
        judgement: Int8.
    """

    row: Array
    person: Array
    start: Array
    end: Array
    judgement: Array

    def where(self, mask: Array) -> "Judged":
        """Some of the facts."""
        return Judged(*(column[mask] for column in (self.row, self.person, self.start, self.end, self.judgement)))


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one question.

    Attributes:
        value: Int8, one a person; 0 for who has no evidence.
        weighed: the facts that were weighed.
    """

    value: Array
    weighed: Judged


Rule = Callable[[Judged, datetime | None, int], Verdicts]


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
            facts.lazy()
            .filter(pl.col("time_start").is_null() | (pl.col("time_start") < self.horizon) | pl.lit(later))
            .join(numbers.lazy(), on="person_id", how="inner", maintain_order="left")
            .with_columns(_codes(), start=pl.col("time_start"), end=pl.min_horizontal(end, pl.lit(self.horizon)))
            .with_columns(end=pl.when(pl.col("start").is_not_null()).then("end"))
            # a fixed order: equal facts in another order give the same evidence
            .sort(*_ORDER, nulls_last=True, maintain_order=True)
            .with_row_index("row")
        )
        self.usable = usable.collect()
        self._kinds = {str(kind): part for (kind,), part in self.usable.partition_by("kind", as_dict=True).items()}
        self._several: dict[tuple[str, ...], pl.DataFrame] = {}
        self._indices: dict[tuple[str, tuple[str, ...]], dict[str, Array]] = {}

    def of(self, *kinds: str) -> pl.DataFrame:
        """The facts of these kinds, sorted by person."""
        if len(kinds) == 1:
            return self._kinds.get(kinds[0], self.usable.clear())
        if kinds not in self._several:
            parts = [self._kinds[kind] for kind in kinds if kind in self._kinds]
            self._several[kinds] = pl.concat(parts).sort("row") if parts else self.usable.clear()
        return self._several[kinds]

    def having(
        self, column: str, wanted: Iterable[str], *kinds: str, select: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The facts of these kinds of which a list column has a wanted value.

        Args:
            column: of lists of texts; of `codes` the values are folded (`terms.fold_code`).
            wanted: values; one that ends in `*` stands for all that begin so.
            kinds: of facts.
            select: columns that are needed beside `row`, `person`, `start` and `end`; all, unless said otherwise.
        """
        index = self._index(column, kinds)
        places = []
        for value in wanted:
            if value.endswith("*"):
                places += [rows for known, rows in index.items() if known.startswith(value[:-1])]
            elif value in index:
                places.append(index[value])
        found = self.of(*kinds)
        if select is not None:
            found = found.select("row", "person", "start", "end", *select)
        if not places:
            return found.clear()
        return found[np.unique(np.concatenate(places)) if len(places) > 1 else places[0]]

    def _index(self, column: str, kinds: tuple[str, ...]) -> dict[str, Array]:
        """Value -> places among the facts of the kinds, in order."""
        key = (column, kinds)
        if key not in self._indices:
            values = self.of(*kinds).select(value=column).with_row_index("place").explode("value").drop_nulls("value")
            if column == "codes":
                distinct = values["value"].unique().to_list()
                folded = {code: fold_code(code) for code in distinct}
                values = values.with_columns(pl.col("value").replace_strict(folded, return_dtype=pl.String))
            grouped = values.group_by("value").agg(pl.col("place").unique().sort())
            self._indices[key] = {value: places.to_numpy() for value, places in zip(*grouped, strict=True)}
        return self._indices[key]

    def window_start(self, within_days: int | None) -> datetime | None:
        """The first moment from which evidence counts; None: all counts."""
        if within_days is None:
            return None
        # a window that reaches before the calendar's first day takes everything that is dated
        days = min(within_days, (self.as_of - date.min).days)
        return datetime.combine(self.as_of - timedelta(days=days), time.min)


_ORDER = ("person", "start", "kind", "source", "resource_type", "source_object", "source_entry")


def _codes() -> pl.Expr:
    """The codes, their systems under the names that criteria use."""
    code = pl.element().str.replace("/|", "|", literal=True)
    for other, name in OTHER_NAMES.items():
        code = code.str.replace(f"{other}|", f"{name}|", literal=True)
    return pl.col("codes").list.eval(code)


def judged(facts: pl.DataFrame, judgement: pl.Expr) -> Judged:
    """The facts with their judgement; those without one (null) are left out.

    Args:
        facts: sorted by person.
        judgement: an Int8 of each.
    """
    frame = facts.select(
        "row", "person", pl.col("start", "end").to_physical().fill_null(_UNDATED), judgement=judgement.cast(pl.Int8)
    )
    if frame["judgement"].null_count():
        frame = frame.filter(pl.col("judgement").is_not_null())
    return Judged(*(frame[name].to_numpy() for name in ("row", "person", "start", "end", "judgement")))


def nothing(persons: int) -> Verdicts:
    """No evidence about anybody."""
    none = np.empty(0, np.int64)
    return Verdicts(np.zeros(persons, np.int8), Judged(none, none, none, none, none.astype(np.int8)))


def latest(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The judgement of the latest facts, if they agree and one of them surely lies in the window."""
    runs = _Runs(facts)
    last = runs.spread(runs.greatest(facts.start))
    # an undated start is the least of all numbers, so is the last of who has only undated facts
    undated = facts.start == _UNDATED
    chosen = facts.where(undated | (facts.start == last) | (facts.end > last))
    runs = _Runs(chosen)
    low, high = runs.least(chosen.judgement), runs.greatest(chosen.judgement)
    inside = True if window is None else runs.any(chosen.start >= _micros(window))
    return _verdicts(chosen, runs, np.where((low == high) & inside, low, UNKNOWN), persons)


def agree(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The common judgement of the facts that say something."""
    facts = _inside(facts, window)
    runs = _Runs(facts)
    low, high = runs.least(facts.judgement), runs.greatest(facts.judgement)
    contradicted = (low == NOT_MET) & (high == MET)
    return _verdicts(facts, runs, np.where(contradicted, UNKNOWN, np.where(high == MET, MET, low)), persons)


def best(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The greatest judgement."""
    facts = _inside(facts, window)
    runs = _Runs(facts)
    return _verdicts(facts, runs, runs.greatest(facts.judgement), persons)


def history(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """MET when found and not, perhaps later, looked for in vain; NOT_MET when only looked for in vain."""
    facts = _inside(facts, window)
    runs = _Runs(facts)
    found, missed = facts.judgement == MET, facts.judgement == NOT_MET
    last_found = runs.greatest(np.where(found, facts.start, _UNDATED))
    last_missed = runs.greatest(np.where(missed, facts.end, _UNDATED))
    some_missed = runs.any(missed)
    undated = runs.any(missed & (facts.end == _UNDATED))
    stands = ~some_missed | (~undated & (last_found != _UNDATED) & (last_found >= last_missed))
    vain = some_missed & (runs.greatest(facts.judgement) == NOT_MET)
    verdict = np.where(runs.any(found) & stands, MET, np.where(vain, NOT_MET, UNKNOWN))
    return _verdicts(facts, runs, verdict, persons)


def opposite(verdicts: Verdicts) -> Verdicts:
    """The verdicts on the contrary question, from the same evidence."""
    facts = verdicts.weighed
    turned = Judged(facts.row, facts.person, facts.start, facts.end, -facts.judgement)
    return Verdicts(-verdicts.value, turned)


class _Runs:
    """Facts that follow each other and are of one person."""

    def __init__(self, facts: Judged) -> None:
        person = facts.person
        self._begins = np.flatnonzero(np.r_[True, person[1:] != person[:-1]]) if len(person) else np.empty(0, np.int64)
        self._lengths = np.diff(np.r_[self._begins, len(person)])
        self.persons = person[self._begins]

    def greatest(self, values: Array) -> Array:
        return np.maximum.reduceat(values, self._begins) if len(self._begins) else values[:0]

    def least(self, values: Array) -> Array:
        return np.minimum.reduceat(values, self._begins) if len(self._begins) else values[:0]

    def any(self, values: Array) -> Array:
        return np.logical_or.reduceat(values, self._begins) if len(self._begins) else values[:0]

    def spread(self, of_runs: Array) -> Array:
        """The value of each run at each of its facts."""
        return np.repeat(of_runs, self._lengths)


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _inside(facts: Judged, window: datetime | None) -> Judged:
    return facts if window is None else facts.where(facts.start >= _micros(window))


def _verdicts(facts: Judged, runs: _Runs, verdict: Array, persons: int) -> Verdicts:
    value = np.zeros(persons, np.int8)
    value[runs.persons] = verdict
    return Verdicts(value, facts)
