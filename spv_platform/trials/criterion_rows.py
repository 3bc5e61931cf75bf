"""The rows of criteria: what each says of a person, with its evidence, where no gating criterion speaks against.

Evidence is the same wherever a question is asked, so it is gathered once a person and question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from spv_platform.trials.asked import STATES, JudgedCohort
from spv_platform.trials.describe import evidence_summary
from spv_platform.trials.evidence import NO_PLACES, UNDATED, Facts, Verdicts
from spv_platform.trials.kleene import MET, NAMES, NOT_MET, UNKNOWN, Array
from spv_platform.trials.lists import ROWS_AT_ONCE, lists_of
from spv_platform.trials.questions import Reach, Test
from spv_platform.trials.sites import distances
from spv_platform.trials.tables import CRITERION_RESULT_COLUMNS, EVIDENCE

MAX_EVIDENCE = 5  # facts that are named per person and criterion, the latest ones

#: A question, and the verdicts on it.
Answer: TypeAlias = tuple[Test, Verdicts]

_DESCRIBED = ("trial", "cohort", "criterion", "position", "gating", "wording")


def criterion_rows(
    persons: pl.DataFrame, facts: Facts, judged: Sequence[JudgedCohort], answers: Sequence[Answer]
) -> Iterator[pl.DataFrame]:
    """Rows of all cohorts (`tables.CRITERION_RESULT_COLUMNS`): cohort by cohort, then criterion by criterion.

    Args:
        persons: `person_id`, and `state`: an index of `asked.STATES`.
        facts: that were judged.
        judged: the cohorts, with the verdicts of all persons.
        answers: to each question.

    Yields:
        Some rows at a time.
    """
    willing = persons["state"].to_numpy() != STATES.index("opted_out")
    chosen = [np.flatnonzero((each.value != NOT_MET) & willing) for each in judged]
    some = [(each, of) for each, of in zip(judged, chosen, strict=True) if len(of)]
    if not some:
        return
    asked_of: list[list[Array]] = [[] for _ in answers]
    for each, of in some:
        for number in each.questions:
            asked_of[number].append(of)
    evidence = _gather(facts, answers, asked_of)
    schema = {name: CRITERION_RESULT_COLUMNS[name] for name in _DESCRIBED}
    described = pl.DataFrame([row for each, _ in some for row in each.asked.described], schema=schema, orient="row")
    heights = np.concatenate([np.full(len(each.questions), len(of)) for each, of in some])
    criterion = np.repeat(np.arange(described.height, dtype=np.uint32), heights)
    question = np.repeat(np.concatenate([each.questions for each, _ in some]), heights)
    person = np.concatenate([np.tile(of, len(each.questions)) for each, of in some])
    verdict = np.concatenate([column[of] for each, of in some for column in each.leaves.values()])
    names = pl.Series([NAMES[value] for value in (NOT_MET, UNKNOWN, MET)])
    for start in range(0, len(verdict), ROWS_AT_ONCE):
        at = slice(start, start + ROWS_AT_ONCE)
        place = evidence.places(question[at], person[at])
        found = described[criterion[at]].with_columns(
            person_id=persons["person_id"][person[at]],
            verdict=names[verdict[at].astype(np.int64) - NOT_MET],
            # what speaks for it and what speaks against it cannot both be true
            conflict=(verdict[at] == UNKNOWN) & evidence.conflict[place],
            evidence=evidence.lists(place),
        )
        yield found.select(pl.col(name).cast(dtype) for name, dtype in CRITERION_RESULT_COLUMNS.items())


@dataclass(frozen=True)
class _Evidence:
    """The facts weighed about persons and questions, the latest first. The last place is that of no evidence.

    Attributes:
        key: of each question and person, ascending; see `_key`.
        begin, length: which of `shown` are its facts.
        conflict: some speak for it, and some against.
        shown: indices of `facts`.
        facts: as they are told.
    """

    persons: int
    key: Array
    begin: Array
    length: Array
    conflict: Array
    shown: Array
    facts: pl.Series

    def places(self, question: Array, person: Array) -> Array:
        """Where questions and persons stand."""
        wanted = question * self.persons + person
        found = np.searchsorted(self.key, wanted)
        known = np.append(self.key, -1)[found] == wanted
        return np.where(known, found, len(self.key))

    def lists(self, places: Array) -> pl.Series:
        """The facts at places."""
        length = self.length[places]
        # counted through all lists, and from the beginning of each
        at = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        members = self.facts[self.shown[np.repeat(self.begin[places], length) + at]]
        return lists_of(members, length)


def _gather(facts: Facts, answers: Sequence[Answer], asked_of: Sequence[Sequence[Array]]) -> _Evidence:
    """The evidence on the persons of whom each question is asked."""
    parts = [(NO_PLACES, NO_PLACES, NO_PLACES), *_weighed(facts.persons, answers, asked_of)]
    key, row, judgement = (np.concatenate(column) for column in zip(*parts, strict=True))
    # the latest first, then in the order of the facts; what is undated comes last
    start = facts.start[row]
    order = np.lexsort((row, np.where(start == UNDATED, -(UNDATED + 1), -start), key))
    key, row, judgement = key[order], row[order], judgement[order]
    begin = np.flatnonzero(np.diff(key, prepend=-1))
    length = np.diff(begin, append=len(key))
    met, not_met = (
        np.logical_or.reduceat(judgement == value, begin) if len(begin) else np.empty(0, bool)
        for value in (MET, NOT_MET)
    )
    used, shown = np.unique(row, return_inverse=True)
    told = _told(facts, used)
    for number, (test, _) in enumerate(answers):
        if isinstance(test, Reach):  # what is told of a place depends on the question
            at = slice(*np.searchsorted(key, (number * facts.persons, (number + 1) * facts.persons)))
            shown[at] = told.len() + np.arange(at.stop - at.start)
            told.append(_told(facts, row[at], distances(test, facts, row[at])))
    return _Evidence(
        persons=facts.persons,
        key=key[begin],
        begin=np.append(begin, 0),
        length=np.append(np.minimum(length, MAX_EVIDENCE), 0),
        conflict=np.append(met & not_met, False),
        shown=shown,
        facts=told,
    )


def _told(facts: Facts, rows: Array, words: pl.Series | None = None) -> pl.Series:
    """Facts as evidence, in these words where there are any."""
    pointers = [pl.col(name) for name in EVIDENCE if name != "summary"]
    summary = evidence_summary(facts.as_of)
    if words is not None:
        summary = pl.coalesce(pl.lit(words), summary)
    return facts.columns(rows, pl.struct(*pointers, summary.alias("summary"))).to_series()


def _weighed(
    persons: int, answers: Sequence[Answer], asked_of: Sequence[Sequence[Array]]
) -> Iterator[tuple[Array, Array, Array]]:
    """Question and person as one number, the fact, and its judgement."""
    needed = np.zeros(persons, bool)
    for number, ((_, verdicts), asked) in enumerate(zip(answers, asked_of, strict=True)):
        weighed = verdicts.weighed
        if not asked or not len(weighed.row):
            continue
        for of in asked:
            needed[of] = True
        kept = np.flatnonzero(needed[weighed.person])
        needed[:] = False
        if len(kept):
            yield number * persons + weighed.person[kept].astype(np.int64), weighed.row[kept], weighed.judgement[kept]
