"""Judging systemic anticancer therapy: which drugs were taken, how long ago, and in how many lines.

Only exposures count, never orders. A drug is known by its RxNorm code or by its ingredient's name in what was sent.

Lines are counted by a rule, since records rarely state them: drugs that begin within `SAME_LINE_DAYS` of each other are
one line, and a drug that the line does not have and that begins later opens the next one. Stopping a drug, or taking
it again, opens none. The records cannot tell when one of these drugs is undated, or when there is none at all: then
the number is UNKNOWN. Nor do they say that nothing was taken elsewhere, so the count may be too low: at least so many
can be MET, at most so many can only be NOT_MET or UNKNOWN.

Drugs that are given for other diseases too count only where the record ties them to a condition; forms that act locally
do not count.

An exposure that no table identifies may have been any drug, and so may a procedure such as "chemotherapy" that names
none: whoever has one cannot be said never to have had a drug, whatever silence means to the protocol.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials.evidence import DAY, UNDATED, Array, Block, Facts, Judged, look_up, micros
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.questions import Range, Therapy
from spv_platform.trials.terms import canonical_code, table

#: Drugs that begin within so many days are given together.
SAME_LINE_DAYS = 28


@cache
def _by_code() -> dict[str, str]:
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    return {canonical_code(f"rxnorm|{entry['rxnorm']}"): name for name, entry in drugs.items() if "rxnorm" in entry}


@cache
def _by_name() -> dict[str, frozenset[str]]:
    """Ingredient, other name, brand or regimen -> drugs."""
    drugs: dict[str, dict[str, Any]] = table("drugs")["drugs"]
    found = {name: frozenset({drug}) for drug, entry in drugs.items() for name in (drug, *entry.get("names", ()))}
    return found | {name: frozenset(given) for name, given in table("drugs")["regimens"].items()}


@cache
def _names() -> re.Pattern[str]:
    return _any_of(_by_name())


@cache
def _other_names() -> re.Pattern[str]:
    return _any_of(table("other_drugs")["names"])


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    # the longest first: trastuzumab emtansine is not trastuzumab
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


@cache
def ingredients(said: str) -> frozenset[str]:
    """The anticancer drugs that codes and words of a medication name, one a line."""
    lines = said.split("\n")
    if any(_LOCAL.search(line) for line in lines):
        return frozenset()
    coded = frozenset(_by_code()[line] for line in lines if line in _by_code())
    return coded or frozenset().union(
        *(_by_name()[name.casefold()] for line in lines for name in _names().findall(line))
    )


@cache
def identified(said: str) -> bool:
    """Whether the tables tell which drugs a medication is, against cancer or not; a local form needs no name."""
    lines = said.split("\n")
    if any(line in _by_code() or _LOCAL.search(line) for line in lines):
        return True
    words = [line for line in lines if line and "|" not in line]
    # of a combination each part must be known
    return any(all(_names().search(p) or _other_names().search(p) for p in _TOGETHER.split(line)) for line in words)


def drug_names(said: str) -> list[str]:
    """The drugs that a medication names, against cancer or not; sorted."""
    words = [line for line in said.split("\n") if "|" not in line]
    others = {name.casefold() for line in words for name in _other_names().findall(line)}
    return sorted(ingredients(said) | others)


@cache
def _names_no_drug(said: str) -> bool:
    """Whether a procedure is a systemic anticancer therapy that does not say with which drugs."""
    lines = said.split("\n")
    return any(line in _THERAPIES for line in lines) or any(_THERAPY_WORDS.search(line) for line in lines)


#: What stands between the parts of a combination.
_TOGETHER = re.compile(r"\s[/+]\s|\b(?:and|plus|with)\b", re.IGNORECASE)
#: Procedures that are systemic anticancer therapy, by code (SNOMED CT: chemotherapy, alone and with radiation).
_THERAPIES = frozenset({"http://snomed.info/sct|367336001", "http://snomed.info/sct|703423002"})
_THERAPY_WORDS = re.compile(
    r"\b(?:\w*chemotherap\w*|antineoplastic|chemoradi\w*|(?<!allergen )(?<!allergy )(?<!venom )immunotherapy"
    r"|(?:endocrine|hormon\w+|targeted|biological) therapy)\b",
    re.IGNORECASE,
)
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
    unidentified, until = _unidentified(facts)
    if test.lines is not None:
        counted = _lines(test.lines, medications, places[sure], facts)
        unsure = medications.judged(places[~sure], np.full(np.count_nonzero(~sure), UNKNOWN, np.int8))
        return _beside(_beside(counted, unsure), unidentified)
    taken = np.where(sure, MET, UNKNOWN).astype(np.int8)
    if test.washout_days is None:
        return _beside(as_lasting(facts, medications, places, taken), unidentified)
    limit = micros(facts.horizon) - (test.washout_days + 1) * DAY
    end, start = medications.end[places], medications.start[places]
    over = np.where(start == UNDATED, UNKNOWN, np.where(~_lasts(medications)[places] & (end <= limit), MET, NOT_MET))
    judged = medications.judged(places, over.astype(np.int8))
    return _together(judged, replace(unidentified, judgement=np.where(until <= limit, MET, UNKNOWN).astype(np.int8)))


def _unidentified(facts: Facts) -> tuple[Judged, Array]:
    """Of each person the exposure that no table identifies and that went on the longest, and until when it did."""
    exposures = facts.of("medication", "procedure")

    def make() -> tuple[Judged, Array]:
        said, words = _said(exposures)
        kinds, names = exposures.coded("kind")
        drugs = np.isin(kinds, [code for code, name in enumerate(names) if name == "medication"])
        unnamed = look_up(said, words, lambda text: int(not identified(text)), null=0)
        therapies = look_up(said, words, lambda text: int(_names_no_drug(text)), null=0)
        places = np.flatnonzero(np.where(drugs, unnamed, therapies))
        endless = _lasts(exposures)[places] | (exposures.start[places] == UNDATED)
        until = np.where(endless, np.iinfo(np.int64).max, exposures.end[places])
        order = np.lexsort((until, exposures.person[places]))
        person = exposures.person[places][order]
        last = order[np.r_[person[1:] != person[:-1], True]] if len(order) else order
        nothing_said = np.full(len(last), UNKNOWN, np.int8)
        return as_lasting(facts, exposures, places[last], nothing_said), until[last]

    found: tuple[Judged, Array] = exposures.keep("unidentified", make)
    return found


def _beside(judged: Judged, others: Judged) -> Judged:
    """The facts, and those of persons of whom there is none."""
    return _together(judged, others.where(~np.isin(others.person, judged.person)))


def _together(*parts: Judged) -> Judged:
    """Facts of several kinds, in the order of persons."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("row", "person", "start", "end", "judgement")
    }
    order = np.argsort(columns["row"], kind="stable")
    return Judged(**{name: column[order] for name, column in columns.items()})


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


def _said(exposures: Block) -> tuple[Array, list[Any]]:
    return exposures.coded_as("said", _words())


def _words() -> pl.Expr:
    words = pl.concat_str(pl.col("codes").list.join("\n"), pl.col("display"), separator="\n", ignore_nulls=True)
    return words.fill_null("")


def not_identified() -> pl.Expr:
    """Whether a fact is a medication that no table identifies."""
    words = pl.when(pl.col("kind") == "medication").then(_words())
    return words.map_batches(_not_identified, return_dtype=pl.Boolean)


def _not_identified(said: pl.Series) -> pl.Series:
    answers = {text: not identified(text) for text in said.drop_nulls().unique()}
    unknown = [text for text, answer in answers.items() if answer]
    return said.is_in(unknown).fill_null(value=False)


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
