"""Facts made ready for judging, and the rules by which several facts of one person become one verdict.

Only usable facts that do not lie after the day of evaluation get in. They are sorted by person and time once, and found
by code or gene by an index, so that a question looks at few of them; the rules are reductions over runs of one person.

Rules:
* `latest`: of the facts that may be the latest, all must agree. An undated fact may always be the latest.
* `agree`: facts about something that does not change; those that say something must not contradict each other.
* `best`: one MET is enough; NOT_MET only if nothing is UNKNOWN.
* `worst`: all must be MET.
* `history`: something that was found stays found, unless it was looked for again and not found.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from spv_platform.trials.cancers import judge_cancer_codes
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Diagnosis
from spv_platform.trials.terms import OTHER_NAMES, canonical_code, fold_code, table
from spv_platform.view.schema import SCHEMA

Array: TypeAlias = np.ndarray[Any, Any]

#: An instant that no fact has, for what is undated.
UNDATED = np.iinfo(np.int64).min
#: Microseconds of a day.
DAY = 86_400_000_000


@dataclass(frozen=True)
class Judged:
    """Facts with their judgement, sorted by person; all arrays have one length.

    Attributes:
        row: of `Facts.usable`.
        person: its number.
        start: first microsecond when it was true; `UNDATED`: not known.
        end: microsecond when it had ceased to be true; `UNDATED`: not known.
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
        stated: who has anything on record about the question, whether it was weighed or not; None: not looked at.
    """

    value: Array
    weighed: Judged
    stated: Array | None = None


Rule = Callable[[Judged, datetime | None, int], Verdicts]


class Block:
    """The facts of some kinds as arrays, sorted by person; places count from 0. What is asked for often is kept.

    Args:
        usable: all facts that count.
        row: those of the kinds, in order.

    Attributes:
        row, person, start, end: of each fact, see `Judged`.
    """

    def __init__(self, usable: pl.DataFrame, row: Array) -> None:
        self._usable = usable
        self.row = row
        self.person = self._one(pl.col("person"))
        moments = self.columns(*(pl.col(name).to_physical().fill_null(UNDATED) for name in ("start", "end")))
        self.start, self.end = moments["start"].to_numpy(), moments["end"].to_numpy()
        self._kept: dict[object, Any] = {}

    def columns(self, *values: pl.Expr) -> pl.DataFrame:
        """Expressions over the facts, of which only the columns that they name are touched."""
        names = {name for value in values for name in value.meta.root_names()}
        return self._usable.select(sorted(names))[self.row].select(values)

    def keep(self, name: object, make: Callable[[], Any]) -> Any:
        """What was made under the name before, else what is made now."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def numbers(self, column: str) -> Array:
        """A column of numbers; NaN where there is none."""
        found: Array = self.keep(column, lambda: self._one(pl.col(column).cast(pl.Float64).fill_null(np.nan)))
        return found

    def array(self, name: str, value: Callable[[], pl.Expr]) -> Array:
        """An expression over the facts as an array, which is kept; it is made when it is first asked for."""
        found: Array = self.keep(("array", name), lambda: self._one(value()))
        return found

    def _one(self, value: pl.Expr) -> Array:
        return self.columns(value).to_series().to_numpy()

    def coded(self, column: str) -> tuple[Array, list[Any]]:
        """A column as numbers of its distinct values, and these; a list is joined by line feeds, -1 is null."""
        found = self._kept.get(("coded", column))
        if found is None:
            value = pl.col(column)
            found = self.coded_as(column, value.list.join("\n") if column in _LISTS else value)
        return found

    def coded_as(self, name: str, value: pl.Expr) -> tuple[Array, list[Any]]:
        """An expression over the facts, as numbers of its distinct values, and these; -1 is null."""

        def make() -> tuple[Array, list[Any]]:
            values = self.columns(value.alias("value"))
            distinct = values.drop_nulls().unique().with_row_index("code")
            codes = values.join(distinct, on="value", how="left", maintain_order="left")["code"]
            return codes.cast(pl.Int32).fill_null(-1).to_numpy(), distinct["value"].to_list()

        found: tuple[Array, list[Any]] = self.keep(("coded", name), make)
        return found

    def looked_up(self, column: str, places: Array, judge: Callable[[Any], int], null: int = UNKNOWN) -> Array:
        """Per place the judgement of its value, which is made once for each distinct one; Int8."""
        codes, values = self.coded(column)
        return look_up(codes[places], values, judge, null)

    def polarity(self) -> Array:
        """1 present, -1 absent, 0 indeterminate, `NOT_STATED` not stated; Int8."""

        def make() -> Array:
            words = {"present": MET, "absent": NOT_MET}
            polarity = pl.col("polarity").replace_strict(words, default=UNKNOWN, return_dtype=pl.Int8)
            stated = pl.when(pl.col("polarity").is_null()).then(NOT_STATED).otherwise(polarity)
            return self._one(stated.cast(pl.Int8))

        found: Array = self.keep("polarity", make)
        return found

    def having(self, column: str, wanted: Iterable[str]) -> Array:
        """The places of which a list column has a wanted value.

        Args:
            column: of lists of texts; of `codes` the values are folded (`terms.fold_code`).
            wanted: values; one that ends in `*` stands for all that begin so.
        """
        index = self._index(column)
        found = []
        for value in wanted:
            if value.endswith("*"):
                found += [places for known, places in index.items() if known.startswith(value[:-1])]
            elif value in index:
                found.append(index[value])
        if not found:
            return _NO_PLACES
        return np.unique(np.concatenate(found)) if len(found) > 1 else found[0]

    def everywhere(self) -> Array:
        """All places."""
        found: Array = self.keep("everywhere", lambda: np.arange(len(self.row)))
        return found

    def _index(self, column: str) -> dict[str, Array]:
        """Value -> places, in order."""

        def make() -> dict[str, Array]:
            values = (
                self.columns(pl.col(column).alias("value")).with_row_index("place").explode("value").drop_nulls("value")
            )
            if column == "codes":
                folded = {code: fold_code(code) for code in values["value"].unique().to_list()}
                values = values.with_columns(pl.col("value").replace_strict(folded, return_dtype=pl.String))
            grouped = values.group_by("value").agg(pl.col("place").unique().sort())
            return {value: places.to_numpy() for value, places in zip(*grouped, strict=True)}

        found: dict[str, Array] = self.keep(("index", column), make)
        return found

    def judged(self, places: Array, judgement: Array) -> Judged:
        """Facts with their judgement; those without one (`NOTHING`) are left out."""
        if NOTHING in judgement:
            kept = judgement != NOTHING
            places, judgement = places[kept], judgement[kept]
        return Judged(self.row[places], self.person[places], self.start[places], self.end[places], judgement)


#: The judgement of a fact that says nothing about the question.
NOTHING = np.int8(-9)
#: The polarity of a fact that has none.
NOT_STATED = -2
_NO_PLACES = np.empty(0, np.int64)


_LISTS = frozenset(name for name, dtype in SCHEMA.items() if isinstance(dtype, pl.List))


def look_up(codes: Array, values: Sequence[Any], judge: Callable[[Any], int], null: int) -> Array:
    """Per code the judgement of its value, which is made once for each code that occurs; Int8."""
    table = np.full(len(values) + 1, null, np.int8)  # the last one is for -1
    for code in np.unique(codes):
        if code >= 0:
            table[code] = judge(values[code])
    return table[codes]


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
        facts = _of_specimens(facts)
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
        rows = self.usable.group_by("kind").agg("row")
        self._rows = {kind: found.to_numpy() for kind, found in zip(rows["kind"], rows["row"], strict=True)}
        self._blocks: dict[tuple[str, ...], Block] = {}
        self._others: dict[tuple[Diagnosis, ...], Array | None] = {}
        # the facts that say which cancer they belong to
        named = self.usable.select("row", "person", "source", cancer="cancers").filter(pl.col("cancer").list.len() > 0)
        self._bound = named.explode("cancer")

    def of(self, *kinds: str) -> Block:
        """The facts of these kinds."""
        if kinds not in self._blocks:
            parts = [self._rows[kind] for kind in kinds if kind in self._rows]
            self._blocks[kinds] = Block(self.usable, np.sort(np.concatenate([_NO_PLACES, *parts])))
        return self._blocks[kinds]

    def of_other_cancers(self, diagnoses: tuple[Diagnosis, ...]) -> Array | None:
        """Which of the usable facts belong to cancers of the person that certainly are none of these; None: none do.

        A fact that names no cancer, or one that is not on record, is not among them.
        """
        if diagnoses not in self._others:
            self._others[diagnoses] = self._find_others(diagnoses)
        return self._others[diagnoses]

    def _find_others(self, diagnoses: tuple[Diagnosis, ...]) -> Array | None:
        bound = self._bound
        if bound.is_empty():
            return None
        cancers = self.of("cancer")
        key = pl.concat_str(pl.col("resource_type"), pl.lit("/"), pl.col("resource_id"))
        known = cancers.columns(pl.col("person"), pl.col("source"), key.alias("cancer"))
        codes = tuple(code for diagnosis in diagnoses for code in diagnosis.codes)
        other = cancers.looked_up(
            "codes", cancers.everywhere(), lambda said: judge_cancer_codes(codes, said.split("\n")) if said else UNKNOWN
        )
        found = bound.join(
            known.with_columns(other=pl.Series(other == NOT_MET)), on=["person", "source", "cancer"], how="left"
        )
        rows = found.group_by("row").agg(pl.col("other").fill_null(value=False).all()).filter("other")["row"]
        if rows.is_empty():
            return None
        others = np.zeros(self.usable.height, bool)
        others[rows.to_numpy()] = True
        return others

    def window_start(self, within_days: int | None) -> datetime | None:
        """The first moment from which evidence counts; None: all counts."""
        if within_days is None:
            return None
        # a window that reaches before the calendar's first day takes everything that is dated
        days = min(within_days, (self.as_of - date.min).days)
        return datetime.combine(self.as_of - timedelta(days=days), time.min)


def is_asked(facts: pl.DataFrame, lab_codes: Iterable[str]) -> pl.Expr:
    """Whether a fact is anything but a laboratory result that nobody asks for: most facts of a record are such.

    Args:
        facts: of which it is asked.
        lab_codes: as criteria name them.
    """
    lab = pl.col("kind") == "lab"
    known = facts.select(pl.col("codes").filter(lab).explode().unique().drop_nulls())
    folded = {fold_code(code) for code in lab_codes}
    beginnings = tuple(code[:-1] for code in folded if code.endswith("*"))
    found = [
        code
        for code, named in known.with_columns(named=_named(pl.col("codes"))).iter_rows()
        if fold_code(named) in folded or fold_code(named).startswith(beginnings)
    ]
    return ~lab | pl.col("codes").list.eval(pl.element().is_in(found)).list.any().fill_null(value=False)


def _of_specimens(facts: pl.DataFrame) -> pl.DataFrame:
    """Facts with `liquid`: whether they come from what a tumour sheds; undated ones get the time of their specimen."""
    specimens = facts.filter(pl.col("kind") == "specimen")
    if specimens.is_empty():
        return facts.with_columns(liquid=_says_liquid())
    key = pl.concat_str(pl.lit("Specimen/"), pl.col("resource_id"))
    taken = specimens.select(
        "person_id",
        "source",
        key.alias("specimen"),
        *(pl.col(name).alias(f"_{name}") for name in _TIMES),
        _liquid=_is_liquid(),
    ).unique(["person_id", "source", "specimen"], keep="first", maintain_order=True)
    undated = pl.col("time_start").is_null()
    own = {name: pl.when(undated).then(f"_{name}").otherwise(name) for name in _TIMES}
    joined = facts.join(taken, on=["person_id", "source", "specimen"], how="left", maintain_order="left")
    return joined.with_columns(**own, liquid=_says_liquid() | pl.col("_liquid").fill_null(value=False)).drop(
        "_liquid", *(f"_{name}" for name in _TIMES)
    )


_TIMES = ("time", "time_start", "time_end")


def _is_liquid() -> pl.Expr:
    named = pl.col("display").str.contains(table("specimens")["words"]).fill_null(value=False)
    return coded_with(table("specimens")["liquid"]) | named


def _says_liquid() -> pl.Expr:
    return pl.col("method").str.contains(table("specimens")["words"]).fill_null(value=False)


def coded_with(codes: Iterable[str]) -> pl.Expr:
    """Whether a fact has one of these codes."""
    known = [canonical_code(code) for code in codes]
    return pl.col("codes").list.eval(pl.element().is_in(known)).list.any().fill_null(value=False)


_ORDER = ("person", "start", "kind", "source", "resource_type", "source_object", "source_entry")


def _codes() -> pl.Expr:
    """The codes, their systems under the names that criteria use."""
    return pl.col("codes").list.eval(_named(pl.element()))


def _named(code: pl.Expr) -> pl.Expr:
    code = code.str.replace("/|", "|", literal=True)
    for other, name in OTHER_NAMES.items():
        code = code.str.replace(f"{other}|", f"{name}|", literal=True)
    return code


@lru_cache(maxsize=4)
def nothing(persons: int) -> Verdicts:
    """No evidence about anybody."""
    none = np.empty(0, np.int64)
    return Verdicts(np.zeros(persons, np.int8), Judged(none, none, none, none, none.astype(np.int8)))


def latest(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The judgement of the latest facts, if they agree and one of them surely lies in the window."""
    if not len(facts.row):
        return nothing(persons)
    runs = _Runs(facts)
    last = runs.spread(runs.greatest(facts.start))
    # an undated start is the least of all numbers, so is the last of who has only undated facts
    undated = facts.start == UNDATED
    chosen = facts.where(undated | (facts.start == last) | (facts.end > last))
    runs = _Runs(chosen)
    low, high = runs.least(chosen.judgement), runs.greatest(chosen.judgement)
    inside = True if window is None else runs.any(chosen.start >= micros(window))
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


def worst(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The least judgement."""
    facts = _inside(facts, window)
    runs = _Runs(facts)
    return _verdicts(facts, runs, runs.least(facts.judgement), persons)


def history(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """MET when found and not, perhaps later, looked for in vain; NOT_MET when only looked for in vain."""
    facts = _inside(facts, window)
    if not len(facts.row):
        return nothing(persons)
    runs = _Runs(facts)
    found, missed = facts.judgement == MET, facts.judgement == NOT_MET
    last_found = runs.greatest(np.where(found, facts.start, UNDATED))
    last_missed = runs.greatest(np.where(missed, facts.end, UNDATED))
    some_missed = runs.any(missed)
    undated = runs.any(missed & (facts.end == UNDATED))
    stands = ~some_missed | (~undated & (last_found != UNDATED) & (last_found >= last_missed))
    vain = some_missed & (runs.greatest(facts.judgement) == NOT_MET)
    verdict = np.where(runs.any(found) & stands, MET, np.where(vain, NOT_MET, UNKNOWN))
    return _verdicts(facts, runs, verdict, persons)


def opposite(verdicts: Verdicts) -> Verdicts:
    """The verdicts on the contrary question, from the same evidence."""
    facts = verdicts.weighed
    turned = Judged(facts.row, facts.person, facts.start, facts.end, -facts.judgement)
    return Verdicts(-verdicts.value, turned, verdicts.stated)


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


_EPOCH = datetime(1970, 1, 1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _inside(facts: Judged, window: datetime | None) -> Judged:
    return facts if window is None else facts.where(facts.start >= micros(window))


def _verdicts(facts: Judged, runs: _Runs, verdict: Array, persons: int) -> Verdicts:
    value = np.zeros(persons, np.int8)
    value[runs.persons] = verdict
    return Verdicts(value, facts)
