"""Facts made ready for judging, and what was judged of them.

Only usable facts that do not lie after the day of evaluation get in. They are sorted by person and time once, and found
by code or gene by an index, so that a question looks at few of them. How those of one person become one verdict is in
`rules`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from spv_platform.trials.cancers import judge_cancer_codes
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.questions import Diagnosis
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
        row: its number among `Facts`.
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
        return Judged(self.row[mask], self.person[mask], self.start[mask], self.end[mask], self.judgement[mask])


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one question.

    Attributes:
        value: Int8, one a person; 0 for who has no evidence.
        weighed: the facts that were weighed.
        stated: numbers of those who have anything on record about the question, whether it was weighed or not; None:
            not looked at.
    """

    value: Array
    weighed: Judged
    stated: Array | None = None


class Block:
    """The facts of some kinds as arrays, sorted by person; places count from 0. What is asked for often is kept.

    Args:
        facts: all facts that count.
        row: those of the kinds, in order.

    Attributes:
        row, person, start, end: of each fact, see `Judged`.
    """

    def __init__(self, facts: "Facts", row: Array) -> None:
        self._facts = facts
        self.row = row
        self.person, self.start, self.end = facts.person[row], facts.start[row], facts.end[row]
        self._kept: dict[object, Any] = {}

    def columns(self, *values: pl.Expr) -> pl.DataFrame:
        """Expressions over the facts, of which only the columns that they name are touched."""
        return self._facts.columns(self.row, *values)

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
            return NO_PLACES
        if len(found) == 1:
            return found[0]
        # few things have two of the values: to look is cheaper than to make unique
        places = np.concatenate(found)
        places.sort(kind="stable")
        return np.unique(places) if (places[1:] == places[:-1]).any() else places

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
NO_PLACES = np.empty(0, np.int64)


_LISTS = frozenset(name for name, dtype in SCHEMA.items() if isinstance(dtype, pl.List))


def look_up(codes: Array, values: Sequence[Any], judge: Callable[[Any], int], null: int) -> Array:
    """Per code the judgement of its value, which is made once for each code that occurs; Int8."""
    table = np.full(len(values) + 1, null, np.int8)  # the last one is for -1
    for code in np.unique(codes):
        if code >= 0:
            table[code] = judge(values[code])
    return table[codes]


class Facts:
    """The usable facts of some persons, ready for judging: sorted by person and time, and numbered in this order.

    Attributes:
        as_of: the day of evaluation.
        persons: the number of persons; they are numbered from 0 in the order given.
        person, start, end: of each fact, see `Judged`.
    """

    def __init__(self, persons: pl.DataFrame, facts: pl.DataFrame, as_of: date, *, later: bool = False) -> None:
        """`later`: facts after the day of evaluation count too."""
        self.as_of = as_of
        self.persons = persons.height
        self.horizon = datetime.combine(as_of + timedelta(days=1), time.min)
        # few of the columns are looked at, of few of the facts: they stay where they are
        sent = _of_specimens(facts)
        self._sent = sent.with_columns(_canonical_codes(sent["codes"]))
        numbers = persons.select("person_id").with_row_index("person")
        end = pl.min_horizontal(pl.col("time_end").fill_null(self.horizon), pl.lit(self.horizon))
        ordered = (
            self._sent.lazy()
            .select("person_id", "time_end", start="time_start")
            .with_row_index("at")
            .filter(pl.col("start").is_null() | (pl.col("start") < self.horizon) | pl.lit(later))
            .join(numbers.lazy(), on="person_id", how="inner")
            .select("at", "person", "start", end=pl.when(pl.col("start").is_not_null()).then(end))
            .sort("person", "start", "at", nulls_last=True)
            .collect()
        )
        self._own = ordered.select("person", "start", "end")
        self._at = _settle_ties(self._sent, ordered)
        self.person = ordered["person"].to_numpy()
        moments = ordered.select(pl.col("start", "end").to_physical().fill_null(UNDATED))
        self.start, self.end = moments["start"].to_numpy(), moments["end"].to_numpy()
        rows = self._sent.select("kind")[self._at].with_row_index("row").group_by("kind").agg("row")
        self._rows = {kind: found.to_numpy() for kind, found in zip(*rows, strict=True)}
        self._blocks: dict[tuple[str, ...], Block] = {}
        self._others: dict[tuple[Diagnosis, ...], Array | None] = {}
        # the facts that say which cancer they belong to
        named = np.flatnonzero(self._sent["cancers"].list.len().fill_null(0).to_numpy()[self._at])
        bound = self.columns(named, pl.col("person"), pl.col("source"), pl.col("cancers").alias("cancer"))
        self._bound = bound.with_columns(row=named).explode("cancer")

    def columns(self, rows: Array, *values: pl.Expr) -> pl.DataFrame:
        """Expressions over some facts: the columns of the view, and `person`, `start` and `end`."""
        names = {name for value in values for name in value.meta.root_names()}
        own = names.intersection(self._own.columns)
        parts = []
        if own:
            parts.append(self._own.select(sorted(own))[rows])
        if names - own:
            parts.append(self._sent.select(sorted(names - own))[self._at[rows]])
        return pl.concat(parts, how="horizontal").select(values)

    def read(self, row: int) -> dict[str, Any]:
        """One fact, with the columns of the view."""
        return self._sent.row(int(self._at[row]), named=True)

    def of(self, *kinds: str) -> Block:
        """The facts of these kinds."""
        if kinds not in self._blocks:
            parts = [self._rows[kind] for kind in kinds if kind in self._rows]
            self._blocks[kinds] = Block(self, np.sort(np.concatenate([NO_PLACES, *parts])))
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
        others = np.zeros(len(self.person), bool)
        others[rows.to_numpy()] = True
        return others

    def window_start(self, within_days: int | None) -> datetime | None:
        """The first moment from which evidence counts; None: all counts."""
        if within_days is None:
            return None
        # a window that reaches before the calendar's first day takes everything that is dated
        days = min(within_days, (self.as_of - date.min).days)
        return datetime.combine(self.as_of - timedelta(days=days), time.min)


def _of_specimens(facts: pl.DataFrame) -> pl.DataFrame:
    """Facts with `liquid`: whether they come from what a tumour sheds; undated ones get the time of their specimen.

    `specimen_display` is what the specimen is, in words of the result or of the specimen itself.
    """
    specimens = facts.filter(pl.col("kind") == "specimen")
    if specimens.is_empty():
        return facts.with_columns(liquid=_says_liquid())
    # a result may name its specimen by the key or by an identifier of it
    key = pl.concat_str(pl.lit("Specimen/"), pl.col("resource_id"))
    names = pl.concat_list(key, pl.col("value_codes").fill_null([])).alias("specimen")
    own = (pl.col(name).alias(f"_{name}") for name in (*_TIMES, "display"))
    liquid = _is_liquid().alias("_liquid")
    taken = specimens.select("person_id", "source", names, liquid, *own).explode("specimen")
    # an identifier of two specimens may mean either
    taken = taken.sort("_liquid", descending=True, maintain_order=True)
    taken = taken.unique(["person_id", "source", "specimen"], keep="first", maintain_order=True)
    undated = pl.col("time_start").is_null()
    times = {name: pl.when(undated).then(f"_{name}").otherwise(name) for name in _TIMES}
    joined = facts.join(taken, on=["person_id", "source", "specimen"], how="left", maintain_order="left")
    return joined.with_columns(
        **times,
        liquid=_says_liquid() | pl.col("_liquid").fill_null(value=False),
        specimen_display=pl.coalesce("specimen_display", "_display"),
    ).drop("_liquid", *(f"_{name}" for name in (*_TIMES, "display")))


_TIMES = ("time", "time_start", "time_end")


def _is_liquid() -> pl.Expr:
    return coded_with(table("specimens")["liquid"]) | _named_liquid("display")


def _says_liquid() -> pl.Expr:
    identified = ~pl.col("specimen").str.starts_with("Specimen/").fill_null(value=False)
    in_words = (_named_liquid(name) for name in ("method", "specimen_display"))
    return pl.any_horizontal(*in_words, _named_liquid("specimen") & identified)


def _named_liquid(column: str) -> pl.Expr:
    return pl.col(column).str.contains(table("specimens")["words"]).fill_null(value=False)


def coded_with(codes: Iterable[str]) -> pl.Expr:
    """Whether a fact has one of these codes."""
    known = [canonical_code(code) for code in codes]
    return pl.col("codes").list.eval(pl.element().is_in(known)).list.any().fill_null(value=False)


_ORDER = ("kind", "source", "resource_type", "source_object", "source_entry")


def _settle_ties(facts: pl.DataFrame, ordered: pl.DataFrame) -> Array:
    """The places of facts in a fixed order: equal facts in another order give the same evidence.

    Args:
        facts: in any order.
        ordered: `at` (place in `facts`), `person`, `start`; in their order.
    """
    at = ordered["at"].to_numpy()
    run = ordered.select(pl.struct("person", "start").rle_id()).to_series().to_numpy()
    same = run[1:] == run[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if not len(tied):
        return at
    settled = (
        facts.select(_ORDER)[at[tied]]
        .with_columns(run=run[tied], at=at[tied])
        .sort("run", *_ORDER, nulls_last=True, maintain_order=True)["at"]
    )
    found = at.copy()
    found[tied] = settled.to_numpy()
    return found


def _canonical_codes(codes: pl.Series) -> pl.Series:
    """Lists of codes, their systems under the names that criteria use."""
    code = pl.col("sent").str.replace("/|", "|", literal=True)
    for other, name in OTHER_NAMES.items():
        code = code.str.replace(f"{other}|", f"{name}|", literal=True)
    distinct = codes.list.explode().drop_nulls().unique().to_frame("sent")
    renamed = dict(distinct.select("sent", used=code).filter(pl.col("sent") != pl.col("used")).rows())
    return codes.list.eval(pl.element().replace(renamed)) if renamed else codes


_EPOCH = datetime(1970, 1, 1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
