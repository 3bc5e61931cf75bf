"""The rules by which several facts of one person become one verdict: reductions over runs of one person.

Rules:
* `latest`: of the facts that may be the latest, all must agree. An undated fact may always be the latest.
* `agree`: facts about something that does not change; those that say something must not contradict each other.
* `best`: one MET is enough; NOT_MET only if nothing is UNKNOWN.
* `worst`: all must be MET.
* `history`: something that was found stays found, unless it was looked for again and not found.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

import numpy as np

from spv_platform.trials.evidence import UNDATED, Judged, Verdicts, micros
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN, Array

Rule = Callable[[Judged, datetime | None, int], Verdicts]


@lru_cache(maxsize=4)
def nothing(persons: int) -> Verdicts:
    """No evidence about anybody."""
    none = np.empty(0, np.int64)
    return Verdicts(np.zeros(persons, np.int8), Judged(none, none, none, none, none.astype(np.int8)), stated=none)


def decide_together(
    rule: Rule, questions: Sequence[Judged], window: datetime | None, persons: int
) -> Iterator[Verdicts]:
    """The verdicts on several questions by one rule, to which a person is another one in each question.

    Args:
        rule: one of this module.
        questions: the facts about each.
        window: from when on evidence counts.
        persons: their number.
    """
    firsts = np.arange(len(questions) + 1) * persons
    columns = ((each.row, each.person, each.start, each.end, each.judgement) for each in questions)
    row, person, start, end, judgement = (np.concatenate(column) for column in zip(*columns, strict=True))
    person = person + np.repeat(firsts[:-1], [len(each.row) for each in questions])
    verdicts = rule(Judged(row, person, start, end, judgement), window, int(firsts[-1]))
    weighed = verdicts.weighed
    person = weighed.person % persons
    begins = np.searchsorted(weighed.person, firsts)
    for at, each in enumerate(questions):
        of = slice(begins[at], begins[at + 1])
        yield Verdicts(
            verdicts.value[firsts[at] : firsts[at + 1]],
            Judged(weighed.row[of], person[of], weighed.start[of], weighed.end[of], weighed.judgement[of]),
            stated=each.person,
        )


def latest(facts: Judged, window: datetime | None, persons: int) -> Verdicts:
    """The judgement of the latest facts, if they agree and one of them surely lies in the window."""
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
    return Verdicts(-verdicts.value, replace(facts, judgement=-facts.judgement), verdicts.stated)


class _Runs:
    """Facts that follow each other and are of one person."""

    def __init__(self, facts: Judged) -> None:
        person = facts.person
        self._begins = np.flatnonzero(np.diff(person, prepend=-1))
        self._lengths = np.diff(self._begins, append=len(person))
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


def _inside(facts: Judged, window: datetime | None) -> Judged:
    return facts if window is None else facts.where(facts.start >= micros(window))


def _verdicts(facts: Judged, runs: _Runs, verdict: Array, persons: int) -> Verdicts:
    value = np.zeros(persons, np.int8)
    value[runs.persons] = verdict
    return Verdicts(value, facts)
