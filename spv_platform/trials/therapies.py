"""Judging systemic anticancer therapy: which drugs were taken, how long ago, and in how many lines.

Only exposures count, never orders. A drug is known by its RxNorm code or by its ingredient's name in what was sent.

Lines are counted by a rule, since records rarely state them: drugs that begin within `SAME_LINE_DAYS` of each other are
one line, and a drug that the line does not have and that begins later opens the next one. Stopping a drug, or taking
it again, opens none. The records cannot tell when one of these drugs is undated, or when there is none at all: then
the number is UNKNOWN. Nor do they say that nothing was taken elsewhere, so the count may be too low: at least so many
can be MET, at most so many can only be NOT_MET or UNKNOWN.

Drugs that are given for other diseases too count only where the record ties them to a condition; forms that act locally
do not count.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials.evidence import DAY, UNDATED, Array, Block, Facts, Judged, micros
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Range, Therapy
from spv_platform.trials.terms import canonical_code, table

#: Drugs that begin within so many days are given together.
SAME_LINE_DAYS = 28


@cache
def _by_code() -> dict[str, str]:
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    return {canonical_code(f"rxnorm|{entry['rxnorm']}"): name for name, entry in drugs.items() if "rxnorm" in entry}


@cache
def _by_name() -> dict[str, str]:
    """Ingredient, other name or brand -> drug."""
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    return {name: drug for drug, entry in drugs.items() for name in (drug, *entry.get("names", ()))}


@cache
def _names() -> re.Pattern[str]:
    # the longest first: trastuzumab emtansine is not trastuzumab
    names = sorted(_by_name(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)


@cache
def ingredients(said: str) -> frozenset[str]:
    """The anticancer drugs that codes and words of a medication name, one a line."""
    lines = said.split("\n")
    if any(_LOCAL.search(line) for line in lines):
        return frozenset()
    coded = {_by_code()[line] for line in lines if line in _by_code()}
    return frozenset(coded or {_by_name()[name.casefold()] for line in lines for name in _names().findall(line)})


#: Forms that act where they are put.
_LOCAL = re.compile(r"\b(?:topical|cream|ointment|gel|ophthalmic|intravitreal|intraocular)\b", re.IGNORECASE)
#: Exposures that go on whatever time is stated.
_GOES_ON = ("statement:active", "statement:on-hold", "administration:in-progress", "administration:on-hold")


def wanted(test: Therapy) -> frozenset[str]:
    """The drugs that a criterion asks for."""
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    if not test.drugs and not test.classes:
        return frozenset(drugs)
    classes = set(test.classes)
    return frozenset(test.drugs) | {name for name, entry in drugs.items() if classes.intersection(entry["classes"])}


def judge_therapy(test: Therapy, facts: Facts) -> Judged:
    """Exposures, each with what it says: that a drug was taken, whether it was long enough ago, or the lines."""
    medications = facts.of("medication")
    names = wanted(test)
    places, sure = _places(medications, names)
    if test.lines is not None:
        return _lines(test.lines, medications, places[sure], facts)
    taken = np.where(sure, MET, UNKNOWN).astype(np.int8)
    if test.washout_days is None:
        return as_lasting(facts, medications, places, taken)
    limit = micros(facts.horizon) - (test.washout_days + 1) * DAY
    end, start = medications.end[places], medications.start[places]
    over = np.where(start == UNDATED, UNKNOWN, np.where(~_lasts(medications)[places] & (end <= limit), MET, NOT_MET))
    return medications.judged(places, over.astype(np.int8))


def as_lasting(facts: Facts, medications: Block, places: Array, judgement: Array) -> Judged:
    """Exposures by the last moment on which they were going on: a window asks for that, not for their beginning."""

    def make() -> Array:
        last = np.maximum(medications.end - 1, medications.start)
        last = np.where(_lasts(medications), micros(facts.horizon) - 1, last)
        return np.where(medications.start == UNDATED, UNDATED, last)

    last: Array = medications.keep("last moments", make)
    return replace(medications.judged(places, judgement), start=last[places])


def _lasts(medications: Block) -> Array:
    """Whether an exposure has not ended: it has a beginning and no end, or its status says so."""

    def lasting() -> pl.Expr:
        no_end = pl.col("time_end").is_null() & pl.col("time_start").is_not_null()
        return no_end | pl.col("status").is_in(_GOES_ON).fill_null(value=False)

    return medications.array("lasts", lasting)


def _places(medications: Block, names: frozenset[str]) -> tuple[Array, Array]:
    """The exposures to one of the drugs, and of which it is sure that they are against cancer."""
    codes, said = _said(medications)
    found = [ingredients(words) & names for words in said]
    places = np.flatnonzero(np.isin(codes, [code for code, drugs in enumerate(found) if drugs]))
    others = frozenset(name for name, entry in table("drugs")["drugs"].items() if entry.get("other_uses"))
    only = np.array([drugs != frozenset() and not drugs <= others for drugs in found] + [False])
    tied = medications.array("tied", lambda: pl.col("cancers").list.len().fill_null(0) > 0)
    return places, only[codes[places]] | tied[places]


def _said(medications: Block) -> tuple[Array, list[Any]]:
    words = pl.concat_str(pl.col("codes").list.join("\n"), pl.col("display"), separator="\n", ignore_nulls=True)
    return medications.coded_as("said", words.fill_null(""))


def _lines(limits: Range, medications: Block, places: Array, facts: Facts) -> Judged:
    codes, said = _said(medications)
    judgement = np.zeros(len(places), np.int8)
    person = medications.person[places]
    borders = np.flatnonzero(np.r_[True, person[1:] != person[:-1], True]) if len(person) else np.empty(0, np.int64)
    for first, last in pairwise(borders):
        mine = places[first:last]
        starts = medications.start[mine]
        if (starts == UNDATED).any():
            continue
        taken = [(int(start), ingredients(said[codes[place]])) for start, place in zip(starts, mine, strict=True)]
        judgement[first:last] = _judge_count(count_lines(taken), limits)
    return medications.judged(places, judgement)


def count_lines(taken: Iterable[tuple[int, frozenset[str]]]) -> int:
    """Lines of therapy.

    Args:
        taken: when each exposure began (microseconds) and its drugs.
    """
    lines, began = 0, UNDATED
    regimen: set[str] = set()
    together: dict[int, set[str]] = {}
    for start, given in taken:
        together.setdefault(start, set()).update(given)
    for start, drugs in sorted(together.items()):
        if lines and start - began <= SAME_LINE_DAYS * DAY:
            regimen |= drugs
        elif not drugs <= regimen:
            lines, began, regimen = lines + 1, start, drugs
    return lines


def _judge_count(lines: int, limits: Range) -> int:
    """What a count that may be too low says."""
    above = (limits.max is not None and lines > limits.max) or (limits.under is not None and lines >= limits.under)
    below = (limits.min is not None and lines < limits.min) or (limits.over is not None and lines <= limits.over)
    if above:
        return NOT_MET
    bounded = limits.max is not None or limits.under is not None
    return UNKNOWN if below or bounded else MET
