"""The match: every person against every cohort, in three values.

Each distinct question is put to the facts once, over all persons and all trials; the trees of the cohorts then combine
columns. What each criterion says, with its evidence, is made for the pairs that no gating criterion speaks against; of
any other pair the first criterion that does is told. An approval is a suggestion to a clinician (`describe.WORDING`).
Silence of the data never approves and never rejects.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from spv_platform.trials.asked import JudgedCohort, asked_cohort
from spv_platform.trials.cohort_rows import cohort_rows
from spv_platform.trials.criterion_rows import Answer, criterion_rows
from spv_platform.trials.evidence import Facts, Verdicts
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN, Array, alone, value_of
from spv_platform.trials.leaves import judge_all
from spv_platform.trials.lists import ROWS_AT_ONCE
from spv_platform.trials.model import Criterion, Trial
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS, CRITERION_RESULT_COLUMNS


class Evaluation:
    """What came out, as columns; rows are made on demand.

    Args:
        persons: `person_id`, and `state`: an index of `asked.STATES`.
        facts: ready for judging.
        judged: the cohorts that were matched.
        answers: to each question.
    """

    def __init__(
        self, persons: pl.DataFrame, facts: Facts, judged: Sequence[JudgedCohort], answers: Sequence[Answer]
    ) -> None:
        self._persons, self._facts, self._judged, self._answers = persons, facts, judged, answers

    @cached_property
    def criteria(self) -> pl.DataFrame:
        """What each criterion says (`tables.CRITERION_RESULT_COLUMNS`), of the pairs that nothing speaks against."""
        rows = criterion_rows(self._persons, self._facts, self._judged, self._answers)
        return pl.concat([pl.DataFrame(schema=CRITERION_RESULT_COLUMNS), *rows])

    @cached_property
    def cohorts(self) -> pl.DataFrame:
        """One row per person, trial and cohort (`tables.COHORT_VERDICT_COLUMNS`)."""
        return pl.concat([pl.DataFrame(schema=COHORT_VERDICT_COLUMNS), *self.cohort_frames()])

    def cohort_frames(self) -> Iterator[pl.DataFrame]:
        """The rows of `cohorts`, some cohorts at a time: of many they do not fit into memory together."""
        at_once = max(1, ROWS_AT_ONCE // max(1, self._persons.height))
        for start in range(0, len(self._judged), at_once):
            yield cohort_rows(self._persons, self._judged[start : start + at_once])

    def one_away(self) -> pl.DataFrame:
        """Pairs that one answer alone could make potentially eligible: `person_id`, `trial`, `cohort`, `criterion`."""
        found = [pl.DataFrame(schema=dict.fromkeys(("person_id", "trial", "cohort", "criterion"), pl.String))]
        undecided = self._persons["state"].to_numpy() == 0
        for each in self._judged:
            if not (each.asked.takes and each.asked.listed):
                continue
            open_ = np.flatnonzero((each.value == UNKNOWN) & undecided)
            leaves = {name: column[open_] for name, column in each.leaves.items()}
            for name, deciding in alone(each.asked.tree, leaves).items():
                persons = self._persons[open_[deciding]].select("person_id")
                names = {"trial": each.asked.trial.trial, "cohort": each.asked.cohort.id, "criterion": name}
                found.append(persons.with_columns(pl.lit(value).alias(column) for column, value in names.items()))
        return pl.concat(found)


class Matcher:
    """Criteria made ready for matching: what can be told of cohorts, and each distinct question once.

    Args:
        trials: the criteria; each registry id at most once.
        registry: studies by registry id. A trial that is not in it approves nobody.

    Raises:
        ValueError: a trial stands twice, or a cohort has no gating criterion.
    """

    def __init__(self, trials: Sequence[Trial], registry: Mapping[str, Study]) -> None:
        if len({trial.trial for trial in trials}) != len(trials):
            raise ValueError("a trial stands twice")
        self._cohorts = [
            asked_cohort(trial, cohort, registry.get(trial.trial)) for trial in trials for cohort in trial.cohorts
        ]
        self._questions = list(dict.fromkeys(question for each in self._cohorts for question in each.questions))
        numbers = {question: number for number, question in enumerate(self._questions)}
        self._asked = [np.array([numbers[question] for question in each.questions]) for each in self._cohorts]

    def evaluate(self, persons: pl.DataFrame, facts: pl.DataFrame, as_of: date) -> Evaluation:
        """Match persons against all cohorts.

        Args:
            persons: `person_id` (String, unique), `opted_out` (Boolean); other columns are ignored.
            facts: the columns of `view.schema.SCHEMA` and `person_id`; only the rows of current resource versions.
            as_of: the day of evaluation: ages and windows are counted from it, facts after it do not count.

        Raises:
            ValueError: a person stands twice.
        """
        if persons["person_id"].is_duplicated().any():
            raise ValueError("a person_id stands twice")
        facts = facts.filter(pl.col("usable").fill_null(False), ~pl.col("deleted").fill_null(False))
        # who does not say is taken to refuse
        opted_out = pl.col("opted_out").fill_null(True) | _states("opt_out", facts, date.max)
        state = pl.when(opted_out).then(1).when(_states("deceased", facts, as_of)).then(2).otherwise(0).cast(pl.UInt8)
        persons = persons.select("person_id", state=state)
        # what an opted-out person's record says is not looked at
        unwilling = persons.filter(pl.col("state") == 1)["person_id"]
        if len(unwilling):
            facts = facts.filter(~pl.col("person_id").is_in(unwilling.implode()))
        ready = Facts(persons, facts, as_of)
        answers = self._answers(ready)
        tests = [test for test, _, _ in self._questions]
        return Evaluation(persons, ready, self._judged(answers), [*zip(tests, answers, strict=True)])

    def _answers(self, facts: Facts) -> list[Verdicts]:
        """The verdicts on each question."""
        # where nobody's facts are told apart by it, the cancer makes no other question
        asked = [
            (test, days, of if of and facts.of_other_cancers(of) is not None else ())
            for test, days, of in self._questions
        ]
        distinct = {question: number for number, question in enumerate(dict.fromkeys(asked))}
        verdicts = judge_all(list(distinct), facts)
        return [verdicts[distinct[question]] for question in asked]

    def _judged(self, answers: Sequence[Verdicts]) -> list[JudgedCohort]:
        found = []
        for each, questions in zip(self._cohorts, self._asked, strict=True):
            leaves = {
                criterion.id: with_missing(criterion, answers[number])
                for criterion, number in zip(each.asked, questions.tolist(), strict=True)
            }
            found.append(JudgedCohort(each, questions, leaves, value_of(each.tree, leaves)))
        return found


def evaluate(
    persons: pl.DataFrame, facts: pl.DataFrame, trials: Sequence[Trial], registry: Mapping[str, Study], as_of: date
) -> Evaluation:
    """Match persons against the cohorts of trials, once; see `Matcher`."""
    return Matcher(trials, registry).evaluate(persons, facts, as_of)


def with_missing(criterion: Criterion, verdicts: Verdicts) -> Array:
    """The verdicts, with what it means that there is no evidence."""
    if criterion.missing == "unknown" or verdicts.stated is None:
        return verdicts.value
    fill = MET if criterion.missing == "met" else NOT_MET
    value = np.full_like(verdicts.value, fill)
    value[verdicts.stated] = verdicts.value[verdicts.stated]
    return value


def _states(kind: str, facts: pl.DataFrame, by: date) -> pl.Expr:
    """Whether any fact of a person states this, by the end of a day."""
    dated = pl.col("time_start").is_null() | (pl.col("time_start").dt.date() <= by)
    stating = facts.filter(pl.col("kind") == kind, pl.col("polarity") == "present", dated)
    return pl.col("person_id").is_in(stating["person_id"].unique().to_list())
