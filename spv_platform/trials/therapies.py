"""Judging systemic anticancer therapy: which drugs were taken, how long ago, and in how many lines.

Only exposures count, never orders. A drug is known by its RxNorm code or by its ingredient's name in what was sent.

Lines are counted by a rule, since records rarely state them: drugs that begin within `SAME_LINE_DAYS` of each other are
one line, and a drug that the line does not have and that begins later opens the next one. Stopping a drug, or taking
it again, opens none. The records cannot tell when one of these drugs is undated, or when there is none at all: then the
number is UNKNOWN. A count that is below what is asked for is UNKNOWN as well, since earlier lines may be on record
elsewhere; one that is above it is NOT_MET.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials.evidence import UNDATED, Array, Block, Facts, Judged, micros
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Range, Therapy
from spv_platform.trials.terms import canonical_code, table

#: Drugs that begin within so many days are given together.
SAME_LINE_DAYS = 28
_DAY = 86_400_000_000  # microseconds


@cache
def _by_code() -> dict[str, str]:
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    return {canonical_code(f"rxnorm|{entry['rxnorm']}"): name for name, entry in drugs.items() if "rxnorm" in entry}


@cache
def _names() -> re.Pattern[str]:
    # the longest first: ado-trastuzumab emtansine is not trastuzumab
    names = sorted(table("drugs")["drugs"], key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)


@cache
def ingredients(said: str) -> frozenset[str]:
    """The anticancer drugs that codes and words of a medication name, one a line."""
    lines = said.split("\n")
    coded = {_by_code()[line] for line in lines if line in _by_code()}
    return frozenset(coded or {found.casefold() for line in lines for found in _names().findall(line)})


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
    places = _places(medications, names)
    if test.lines is not None:
        return _lines(test.lines, medications, places, facts)
    if test.washout_days is None:
        return medications.judged(places, np.full(len(places), MET, np.int8))
    limit = micros(facts.horizon) - (test.washout_days + 1) * _DAY
    end, start = medications.end[places], medications.start[places]
    # an exposure that has begun and has no end goes on
    open_end = medications.flags("open", pl.col("time_end").is_null() & pl.col("time_start").is_not_null())[places]
    over = np.where(start == UNDATED, UNKNOWN, np.where(~open_end & (end <= limit), MET, NOT_MET))
    return medications.judged(places, over.astype(np.int8))


def _places(medications: Block, names: frozenset[str]) -> Array:
    codes, said = _said(medications)
    hits = [code for code, words in enumerate(said) if ingredients(words) & names]
    return np.flatnonzero(np.isin(codes, hits))


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
        if lines and start - began <= SAME_LINE_DAYS * _DAY:
            regimen |= drugs
        elif not drugs <= regimen:
            lines, began, regimen = lines + 1, start, drugs
    return lines


def _judge_count(lines: int, limits: Range) -> int:
    """What a count that may be too low says."""
    above = (limits.max is not None and lines > limits.max) or (limits.under is not None and lines >= limits.under)
    below = (limits.min is not None and lines < limits.min) or (limits.over is not None and lines <= limits.over)
    return NOT_MET if above else UNKNOWN if below else MET
