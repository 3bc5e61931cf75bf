"""Match documents as MatchMiner writes them: who matches which level of a trial, by which way, on which records.

For each way to meet a level's criteria and each sample that goes it: one document for each genomic record that answers
a question, one for each question whose answer is that there is no such record, one for each question of mutational
burden, and one alone if there is none of these.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from spv_platform.trials.describe import describe
from spv_platform.trials.evaluate import with_missing
from spv_platform.trials.evidence import Facts
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.leaves import judge
from spv_platform.trials.matchminer.records import Records
from spv_platform.trials.model import Cohort, Criterion, Node, Trial, gating_tree
from spv_platform.trials.paths import Literal, Path, TooManyPathsError, paths
from spv_platform.trials.questions import Biomarker


@dataclass(frozen=True)
class _Answer:
    """Per person (by number) the verdict, and the facts that made it MET."""

    verdicts: list[int]
    facts: dict[int, list[int]]


def match_documents(
    trials: Iterable[Trial],
    records: Records,
    as_of: date,
    *,
    closed_world: bool,
    include_deceased: bool = False,
    include_closed: bool = False,
    include_unknown: bool = False,
) -> Iterator[dict[str, Any]]:
    """The match documents, trial by trial.

    Args:
        trials: the criteria.
        records: of the samples.
        as_of: the day on which ages are counted.
        closed_world: what is not on record is not so, as MatchMiner takes it; else it is unknown, and no match.
        include_deceased: match those too who are recorded as deceased.
        include_closed: match closed trials and suspended arms too.
        include_unknown: tell too who would match if what is not known turned out right: `reason` is `unknown`, and
            `criterion` the list of what is not known. Nobody in a closed world.

    Yields:
        `trial`, `level`, `level_id`, `cohort`, `sample`, `path` (what had to hold, in words), `reason` (genomic,
        negative, clinical), `criterion` (the question that the document is about), `evidence` (records, with what they
        say).

    Raises:
        TooManyPathsError: a level can be met in too many ways.
    """
    facts = Facts(records.persons, records.facts, as_of, later=True)
    alive = _alive(records, include_deceased=include_deceased)
    answers: dict[object, _Answer] = {}
    for trial in trials:
        for cohort in trial.cohorts:
            if not include_closed and "closed" in (trial.status, cohort.status):
                continue
            tree = gating_tree(cohort.criteria)
            for path in _paths(tree, trial, cohort) if tree else ():
                for literal in path:
                    if literal.criterion not in answers:
                        answers[literal.criterion] = _answer(literal.criterion, facts)
                found = [answers[literal.criterion] for literal in path]
                for person, name in alive:
                    held = [_held(*each, person, closed_world) for each in zip(path, found, strict=True)]
                    if min(held) == MET:
                        yield from _documents(trial, cohort, path, found, person, records.samples[name], facts)
                    elif include_unknown and min(held) == UNKNOWN:
                        open_ = [_words(literal) for literal, value in zip(path, held, strict=True) if value == UNKNOWN]
                        shared = _shared(trial, cohort, records.samples[name], path)
                        yield {**shared, "reason": "unknown", "criterion": open_, "evidence": []}


def _alive(records: Records, *, include_deceased: bool) -> list[tuple[int, str]]:
    dead = records.facts.filter(pl.col("kind") == "deceased", pl.col("polarity") == "present")["person_id"]
    gone = set() if include_deceased else set(dead)
    return [(number, name) for number, name in enumerate(records.persons["person_id"]) if name not in gone]


def _paths(tree: Node, trial: Trial, cohort: Cohort) -> list[Path]:
    try:
        return paths(tree)
    except TooManyPathsError as error:
        raise TooManyPathsError(
            f"{trial.trial}: cohort {cohort.id}: {error}: divide it, or leave the trial out"
        ) from None


def _answer(criterion: Criterion, facts: Facts) -> _Answer:
    """What the records say, of whichever cancer: a sample has one, and none of its records names another."""
    verdicts = judge(criterion.test, criterion.within_days, facts)
    met: dict[int, list[int]] = {}
    weighed = verdicts.weighed
    for person, row in zip(
        weighed.person[weighed.judgement == MET], weighed.row[weighed.judgement == MET], strict=True
    ):
        met.setdefault(int(person), []).append(int(row))
    return _Answer(with_missing(criterion, verdicts).tolist(), met)


def _held(literal: Literal, answer: _Answer, person: int, closed_world: bool) -> int:
    verdict = answer.verdicts[person]
    if closed_world and verdict == UNKNOWN:
        verdict = NOT_MET
    return -verdict if literal.negated else verdict


def _documents(
    trial: Trial, cohort: Cohort, path: Path, found: list[_Answer], person: int, sample: str, facts: Facts
) -> Iterator[dict[str, Any]]:
    shared = _shared(trial, cohort, sample, path)
    alone = True
    for literal, answer in zip(path, found, strict=True):
        test = literal.criterion.test
        if not isinstance(test, Biomarker) or test.marker is not None:
            continue
        if literal.negated:
            reasons: list[tuple[str, list[dict[str, Any]]]] = [("negative", [])]
        elif test.tmb is not None:
            reasons = [("clinical", [_record(row, facts) for row in answer.facts.get(person, [])])]
        else:
            reasons = [("genomic", [_record(row, facts)]) for row in answer.facts.get(person, [])]
        for reason, evidence in reasons:
            alone = False
            yield {**shared, "reason": reason, "criterion": _words(literal), "evidence": evidence}
    if alone:
        rows = [row for answer in found for row in answer.facts.get(person, [])]
        yield {**shared, "reason": "clinical", "criterion": None, "evidence": [_record(row, facts) for row in rows]}


def _shared(trial: Trial, cohort: Cohort, sample: str, path: Path) -> dict[str, Any]:
    level_id = int(cohort.level_id) if cohort.level_id.isdigit() else cohort.level_id or cohort.id
    place = {"trial": trial.trial, "level": cohort.level, "level_id": level_id, "cohort": cohort.id, "sample": sample}
    return {**place, "path": [_words(literal) for literal in path]}


def _words(literal: Literal) -> str:
    return f"not: {describe(literal.criterion)}" if literal.negated else describe(literal.criterion)


def _record(row: int, facts: Facts) -> dict[str, Any]:
    fact = facts.read(row)
    names = ("genes", "hgvs_protein", "alteration", "call", "consequence", "exon", "polarity", "value_text", "display")
    said = {name: fact[name] for name in names if fact[name] not in (None, [])}
    return {"record": fact["resource_id"], "kind": fact["kind"], **said}
