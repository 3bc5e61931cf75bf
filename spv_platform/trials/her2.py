"""Judging HER2, which is ordinal: scores of the immune stain, and amplification by in-situ hybridisation.

Source: ASCO/CAP guideline (Wolff et al., 2023) and the definition of HER2-low: score 1+, or 2+ without amplification.
A result that only says "negative" is negative, but it leaves open whether the tumour is HER2-low.
"""

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl

from spv_platform.trials.evidence import DAY, NOTHING, UNDATED, Array, Block, Judged, coded_with
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.terms import table

_SCORE = re.compile(
    r"(?:^|[^\d+])(?P<digit>[0-3])\s*\+|(?<![\d+])(?P<signs>\+{1,3})(?!\+)|\b(?:score|ihc)\s*:?\s*(?P<score>[0-3])\b",
    re.I,
)
#: A range, a choice or a negation: not one score.
_NO_ONE_SCORE = re.compile(r"[0-3]\+?\s*(?:[-/\u2013]|\bto\b|\bor\b)\s*[0-3]|\bnot\b", re.IGNORECASE)
#: Stain and hybridisation belong together when they are so far apart at most.
_SAME_TUMOUR_DAYS = 180
_ULTRALOW = re.compile(r"\bultra-?low\b", re.IGNORECASE)

#: What a score says of each state; 2+ is told by the hybridisation.
_BY_SCORE = {
    "0": {"positive": NOT_MET, "negative": MET, "low": NOT_MET, "ultralow": UNKNOWN},
    "ultralow": {"positive": NOT_MET, "negative": MET, "low": NOT_MET, "ultralow": MET},
    "1+": {"positive": NOT_MET, "negative": MET, "low": MET, "ultralow": NOT_MET},
    "3+": {"positive": MET, "negative": NOT_MET, "low": NOT_MET, "ultralow": NOT_MET},
}
_AMPLIFIED = {"positive": MET, "negative": NOT_MET, "low": NOT_MET, "ultralow": NOT_MET}
_EQUIVOCAL_NOT_AMPLIFIED = {"positive": NOT_MET, "negative": MET, "low": MET, "ultralow": NOT_MET}
_ONLY_NEGATIVE = {"positive": NOT_MET, "negative": MET, "low": UNKNOWN, "ultralow": UNKNOWN}


@cache
def score(said: str) -> str | None:
    """The score of an immune stain in codes and words, one a line: 0, ultralow, 1+, 2+ or 3+; None: there is none."""
    scores: dict[str, str] = table("markers")["her2_scores"]
    lines = said.split("\n")
    coded = {scores[line] for line in lines if line in scores}
    if coded:
        return coded.pop() if len(coded) == 1 else None
    if any(_NO_ONE_SCORE.search(line) for line in lines):
        return None
    if any(_ULTRALOW.search(line) for line in lines):
        return "ultralow"
    found = {_number(match) for line in lines for match in _SCORE.finditer(line)}
    if len(found) != 1:
        return None
    number = found.pop()
    return f"{number}+" if number else "0"


def _number(match: re.Match[str]) -> int:
    return len(match["signs"]) if match["signs"] else int(match["digit"] or match["score"])


def judge(state: str, markers: Block, places: Array) -> Judged:
    """The results of HER2 tests, each with what it says about a state.

    Args:
        state: positive, negative, low or ultralow.
        markers: all marker results.
        places: those of HER2.
    """
    words = pl.concat_str(
        *(pl.col("value_codes").list.join("\n"), "value_display", "value_text"), separator="\n", ignore_nulls=True
    )
    codes, values = markers.coded_as("her2", words.fill_null(""))
    by_code = [score(value) for value in values]
    hybridised = markers.array("her2 hybridisation", lambda: coded_with(table("markers")["her2_hybridisation"]))[places]
    polarity = markers.polarity()[places]
    of = markers.coded("cancers")[0][places]
    results = [
        _Result(int(person), int(start), int(cancer), by_code[code], int(polar), bool(ish))
        for person, start, cancer, code, polar, ish in zip(
            markers.person[places], markers.start[places], of, codes[places], polarity, hybridised, strict=True
        )
    ]
    of_person: dict[int, list[_Result]] = {}
    for result in results:
        of_person.setdefault(result.person, []).append(result)
    judged = np.array([_judge_one(state, result, of_person[result.person]) for result in results], np.int8)
    return markers.judged(places, judged)


class _Result(NamedTuple):
    """A result of a HER2 test; `cancer` is a number, negative where the record names none."""

    person: int
    start: int
    cancer: int
    stain: str | None
    polarity: int
    hybridised: bool

    def goes_with(self, other: "_Result") -> bool:
        """Whether both are about one tumour, as far as can be told."""
        near = UNDATED not in (self.start, other.start) and abs(self.start - other.start) <= _SAME_TUMOUR_DAYS * DAY
        return near and (other.cancer < 0 or self.cancer < 0 or other.cancer == self.cancer)


def _judge_one(state: str, result: _Result, others: list[_Result]) -> int:
    beside = [other for other in others if other.hybridised != result.hybridised and result.goes_with(other)]
    if result.hybridised:
        return _judge_hybridisation(state, result.polarity, {other.stain for other in beside})
    if result.stain == "2+":
        amplified = {other.polarity for other in beside}
        if amplified == {NOT_MET}:
            return _EQUIVOCAL_NOT_AMPLIFIED[state]
        return _AMPLIFIED[state] if amplified == {MET} else UNKNOWN
    if result.stain is not None:
        # a word that contradicts the score beside it
        positive = result.stain == "3+"
        if result.polarity in (MET, NOT_MET) and positive != (result.polarity == MET):
            return UNKNOWN
        return _BY_SCORE[result.stain][state]
    if result.polarity == MET:
        return _AMPLIFIED[state]
    return _ONLY_NEGATIVE[state] if result.polarity == NOT_MET else UNKNOWN


def _judge_hybridisation(state: str, polarity: int, stains: set[str | None]) -> int:
    if polarity == MET:
        return _AMPLIFIED[state]
    if polarity != NOT_MET or "3+" in stains:
        return UNKNOWN
    # without amplification the stain decides between low and not even that
    return {"positive": NOT_MET, "negative": MET}.get(state, int(NOTHING))
