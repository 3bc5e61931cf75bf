"""Judging HER2, which is ordinal: scores of the immune stain, and amplification by in-situ hybridisation.

Source: ASCO/CAP guideline (Wolff et al., 2023) and the definition of HER2-low: score 1+, or 2+ without amplification.
A result that only says "negative" is negative, but it leaves open whether the tumour is HER2-low.
"""

import re
from functools import cache

import numpy as np
import polars as pl

from spv_platform.trials.evidence import NOTHING, Array, Block, Judged
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.terms import canonical_code, table

_SCORE = re.compile(
    r"(?:^|[^\d+])(?P<digit>[0-3])\s*\+|(?<![\d+])(?P<signs>\+{1,3})(?!\+)|\b(?:score|ihc)\s*:?\s*(?P<score>[0-3])\b",
    re.I,
)
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
    hybridised = _is_hybridisation(markers)[places]
    polarity = markers.polarity()[places]
    amplified = {
        person: {int(p) for p in polarity[hybridised & (markers.person[places] == person)]}
        for person in np.unique(markers.person[places[hybridised]])
    }
    judged = np.array(
        [
            _judge_one(state, by_code[code], int(polar), bool(ish), amplified.get(person, set()))
            for code, polar, ish, person in zip(
                codes[places], polarity, hybridised, markers.person[places], strict=True
            )
        ],
        np.int8,
    )
    return markers.judged(places, judged)


def _judge_one(state: str, stain: str | None, polarity: int, hybridised: bool, amplified: set[int]) -> int:
    if hybridised:
        if polarity == MET:
            return _AMPLIFIED[state]
        # without amplification the stain decides between low and not even that
        return {"positive": NOT_MET, "negative": MET}.get(state, int(NOTHING)) if polarity == NOT_MET else UNKNOWN
    if stain == "2+":
        if amplified == {NOT_MET}:
            return _EQUIVOCAL_NOT_AMPLIFIED[state]
        return _AMPLIFIED[state] if amplified == {MET} else UNKNOWN
    if stain is not None:
        return _BY_SCORE[stain][state]
    if polarity == MET:
        return _AMPLIFIED[state]
    return _ONLY_NEGATIVE[state] if polarity == NOT_MET else UNKNOWN


def _is_hybridisation(markers: Block) -> Array:
    known = [canonical_code(code) for code in table("markers")["her2_hybridisation"]]
    coded = pl.col("codes").list.eval(pl.element().is_in(known)).list.any().fill_null(value=False)
    return markers.flags("her2 hybridisation", coded)
