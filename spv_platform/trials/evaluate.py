"""The match: every person against every cohort, in three values.

Each distinct question is put to the facts once, over all persons and all trials; the trees of the cohorts then combine
columns. What each criterion says, with its evidence, is made for the pairs that no gating criterion speaks against; of
any other pair the first criterion that does is told. An approval is a suggestion to a clinician (`describe.WORDING`).
Silence of the data never approves and never rejects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials.describe import describe, evidence_summary
from spv_platform.trials.evidence import Facts, Verdicts
from spv_platform.trials.kleene import MET, NAMES, NOT_MET, Array, Combined, combine, first_against, value_of
from spv_platform.trials.leaves import judge
from spv_platform.trials.model import Cohort, Criterion, Node, Test, Trial, criteria_of, gating_tree
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS, CRITERION_RESULT_COLUMNS, EVIDENCE

MAX_EVIDENCE = 5  # facts that are named per person and criterion, the latest ones

POTENTIALLY_ELIGIBLE = "potentially_eligible"
NOT_ELIGIBLE = "not_eligible"
NEEDS_INFORMATION = "needs_information"

Question = tuple[Test, int | None]
#: How a person stands apart from all criteria.
_STATES = (None, "opted_out", "deceased")


@dataclass(frozen=True)
class _Cohort:
    """A cohort of a trial, with what is the same for all persons.

    Attributes:
        tree: its gating criteria.
        asked: all its criteria, in the order of the file.
        reasons: why nobody is taken, whatever a person is like.
        listed: the registry has the trial.
    """

    trial: Trial
    cohort: Cohort
    tree: Node
    asked: tuple[Criterion, ...]
    reasons: tuple[str, ...]
    listed: bool

    @property
    def takes(self) -> bool:
        """Whether patients are taken."""
        return not {"cohort_closed", "trial_not_recruiting"} & set(self.reasons)


class Evaluation:
    """What came out, as columns; rows are made on demand.

    Args:
        persons: `person_id`, and `state`: an index of `_STATES`.
        facts: ready for judging.
        cohorts: that were matched.
        answers: of each question.
    """

    def __init__(
        self, persons: pl.DataFrame, facts: Facts, cohorts: Sequence[_Cohort], answers: dict[Question, Verdicts]
    ) -> None:
        self._persons, self._facts, self._cohorts, self._answers = persons, facts, cohorts, answers
        self._state = persons["state"].to_numpy()
        self._willing = self._state != _STATES.index("opted_out")

    @cached_property
    def criteria(self) -> pl.DataFrame:
        """What each criterion says (`tables.CRITERION_RESULT_COLUMNS`), of the pairs that nothing speaks against."""
        return self._criterion_rows()

    @cached_property
    def cohorts(self) -> pl.DataFrame:
        """One row per person, trial and cohort (`tables.COHORT_VERDICT_COLUMNS`)."""
        return _stack(list(self.cohort_frames()), COHORT_VERDICT_COLUMNS)

    def cohort_frames(self) -> Iterator[pl.DataFrame]:
        """The rows of `cohorts`, cohort by cohort: of many persons and cohorts they do not fit into memory together."""
        for each in self._cohorts:
            yield self._cohort_rows(each)

    def _leaves(self, each: _Cohort) -> dict[str, Array]:
        return {criterion.id: self._answers[_question(criterion)].value for criterion in each.asked}

    def _cohort_rows(self, each: _Cohort) -> pl.DataFrame:
        leaves = self._leaves(each)
        value = value_of(each.tree, leaves)
        open_ = np.flatnonzero((value != NOT_MET) & (self._state == 0) & each.takes)
        combined = combine(each.tree, {name: column[open_] for name, column in leaves.items()})
        codes, told = self._told(each, value, leaves)
        rows = told[codes].with_columns(self._persons["person_id"])
        needed = np.zeros(len(value), np.int32)
        needed[open_] = combined.answers_needed
        reachable = np.zeros(len(value), bool)
        reachable[open_] = combined.reachable
        return rows.with_columns(
            missing=self._missing(combined, open_),
            answers_needed=pl.select(pl.when(pl.Series(reachable)).then(pl.Series(needed))).to_series(),
        ).select(pl.col(name).cast(dtype) for name, dtype in COHORT_VERDICT_COLUMNS.items())

    def _told(self, each: _Cohort, value: Array, leaves: dict[str, Array]) -> tuple[Array, pl.DataFrame]:
        """Per person the place in a small frame of what can be told of this cohort."""
        names = [criterion.id for criterion in each.asked]
        # 0 MET, 1 UNKNOWN, then the criterion that speaks against
        outcome = np.where(value == MET, 0, 1).astype(np.int32)
        failed = np.flatnonzero((value == NOT_MET) & self._willing)
        if len(failed):
            position = {name: at for at, name in enumerate(names)}
            of_failed = {name: column[failed] for name, column in leaves.items()}
            outcome[failed] = 2 + first_against(each.tree, of_failed, position)
        kinds = 2 + len(names)
        rows = [self._row(each, state, place, names) for state in _STATES for place in range(kinds)]
        schema = {name: COHORT_VERDICT_COLUMNS[name] for name in ("trial", "cohort", "verdict", "approved", "reasons")}
        return self._state.astype(np.int32) * kinds + outcome, pl.DataFrame(rows, schema=schema, orient="row")

    def _row(self, each: _Cohort, state: str | None, place: int, names: list[str]) -> tuple[Any, ...]:
        against = [f"criterion:{names[place - 2]}"] if place > 1 else []
        lost = state is not None or not each.takes or bool(against)
        approved = not lost and place == 0 and each.listed
        verdict = NOT_ELIGIBLE if lost else POTENTIALLY_ELIGIBLE if approved else NEEDS_INFORMATION
        reasons = [*([state] if state else []), *each.reasons, *against]
        return each.trial.trial, each.cohort.id, verdict, approved, reasons

    def _missing(self, combined: Combined, open_: Array) -> pl.Series:
        """Per person the criteria that could still decide, in the order of the file."""
        persons = self._persons.height
        names, columns = list(combined.open), list(combined.open.values())
        if not columns:
            return pl.Series([[]] * persons, dtype=pl.List(pl.String))
        place, which = np.nonzero(np.stack(columns, axis=1))
        flat = pl.DataFrame({"person": open_[place].astype(np.uint32), "name": pl.Series(names)[which]})
        grouped = flat.group_by("person", maintain_order=True).agg("name")
        everybody = pl.DataFrame({"person": np.arange(persons, dtype=np.uint32)})
        return everybody.join(grouped, on="person", how="left", maintain_order="left")["name"].fill_null([])

    def _criterion_rows(self) -> pl.DataFrame:
        """Rows without evidence first; then the evidence of all of them at once."""
        numbers = {question: at for at, question in enumerate(self._answers)}
        parts: list[pl.DataFrame] = []
        static: list[tuple[Any, ...]] = []
        for each in self._cohorts:
            leaves = self._leaves(each)
            chosen = np.flatnonzero((value_of(each.tree, leaves) != NOT_MET) & self._willing).astype(np.uint32)
            if not len(chosen):
                continue
            for position, criterion in enumerate(each.asked):
                verdict = leaves[criterion.id][chosen]
                columns = {"person": chosen, "verdict": verdict}
                parts.append(
                    pl.DataFrame(columns).with_columns(
                        of=pl.lit(len(static), pl.UInt32), question=pl.lit(numbers[_question(criterion)], pl.UInt32)
                    )
                )
                wording = describe(criterion)
                static.append((each.trial.trial, each.cohort.id, criterion.id, position, criterion.gating, wording))
        if not parts:
            return pl.DataFrame(schema=CRITERION_RESULT_COLUMNS)
        names = ("trial", "cohort", "criterion", "position", "gating", "wording")
        schema = {name: CRITERION_RESULT_COLUMNS[name] for name in names}
        described = pl.DataFrame(static, schema=schema, orient="row").with_row_index("of")
        rows = pl.concat(parts)
        evidence = self._evidence(rows.select("question", "person").unique())
        found = (
            rows.lazy()
            .join(described.lazy(), on="of", how="left", maintain_order="left")
            .join(evidence.lazy(), on=["question", "person"], how="left", maintain_order="left")
            .join(self._persons.lazy().select("person_id").with_row_index("person"), on="person", maintain_order="left")
            .with_columns(
                pl.col("verdict").replace_strict(NAMES, return_dtype=pl.String), pl.col("evidence").fill_null([])
            )
        )
        return found.select(pl.col(name).cast(dtype) for name, dtype in CRITERION_RESULT_COLUMNS.items()).collect()

    def _evidence(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """The facts weighed, latest first, of pairs of question and person."""
        weighed = []
        persons = {question: part["person"].to_numpy() for (question,), part in wanted.group_by("question")}
        for at, verdicts in enumerate(self._answers.values()):
            if at not in persons or not len(verdicts.weighed.row):
                continue
            needed = np.zeros(self._persons.height, bool)
            needed[persons[at]] = True
            rows = verdicts.weighed.row[needed[verdicts.weighed.person]].astype(np.uint32)
            weighed.append(pl.DataFrame({"row": rows}).with_columns(question=pl.lit(at, pl.UInt32)))
        if not weighed:
            return wanted.clear().with_columns(evidence=pl.lit(None, CRITERION_RESULT_COLUMNS["evidence"]))
        pairs = pl.concat(weighed)
        line = evidence_summary(self._facts.as_of)
        pointers = [pl.col(name) for name in EVIDENCE if name != "summary"]
        shown = self._facts.usable[np.unique(pairs["row"].to_numpy())].select(
            "row", "person", "start", fact=pl.struct(*pointers, line.alias("summary"))
        )
        return (
            pairs.join(shown, on="row", how="left", maintain_order="left")
            .sort("question", "person", "start", "row", descending=[False, False, True, False], nulls_last=True)
            .group_by("question", "person", maintain_order=True)
            .agg(evidence=pl.col("fact").head(MAX_EVIDENCE))
        )


def evaluate(
    persons: pl.DataFrame, facts: pl.DataFrame, trials: list[Trial], registry: dict[str, Study], as_of: date
) -> Evaluation:
    """Match persons against the cohorts of trials.

    Args:
        persons: `person_id` (String, unique), `opted_out` (Boolean); other columns are ignored.
        facts: the columns of `view.schema.SCHEMA` and `person_id`; only the rows of current resource versions.
        trials: the criteria; each registry id at most once.
        registry: studies by registry id. A trial that is not in it approves nobody.
        as_of: the day of evaluation: ages and windows are counted from it, facts after it do not count.

    Raises:
        ValueError: a person or a trial stands twice, or a cohort has no gating criterion.
    """
    if persons["person_id"].is_duplicated().any():
        raise ValueError("a person_id stands twice")
    if len({trial.trial for trial in trials}) != len(trials):
        raise ValueError("a trial stands twice")
    facts = facts.filter(pl.col("usable").fill_null(False), ~pl.col("deleted").fill_null(False))
    # who does not say is taken to refuse
    opted_out = pl.col("opted_out").fill_null(True) | _states("opt_out", facts)
    state = pl.when(opted_out).then(1).when(_states("deceased", facts)).then(2).otherwise(0).cast(pl.UInt8)
    persons = persons.select("person_id", state=state)
    # what an opted-out person's record says is not looked at
    willing = persons.filter(pl.col("state") != 1).select("person_id")
    ready = Facts(persons, facts.join(willing, on="person_id", how="semi"), as_of)
    cohorts = [_cohort(trial, cohort, registry.get(trial.trial)) for trial in trials for cohort in trial.cohorts]
    answers: dict[Question, Verdicts] = {}
    for each in cohorts:
        for criterion in each.asked:
            question = _question(criterion)
            if question not in answers:
                answers[question] = judge(*question, ready)
    return Evaluation(persons, ready, cohorts, answers)


def _cohort(trial: Trial, cohort: Cohort, study: Study | None) -> _Cohort:
    tree = gating_tree(cohort.criteria)
    if tree is None:
        raise ValueError("a cohort has no gating criterion")
    reasons = [
        *(["cohort_closed"] if "closed" in (cohort.status, trial.status) else []),
        *(["trial_not_recruiting"] if study is not None and not study.recruiting else []),
        *(["trial_not_in_registry"] if study is None else []),
    ]
    asked = tuple(criteria_of(cohort.criteria))
    return _Cohort(trial, cohort, tree, asked, tuple(reasons), listed=study is not None)


def _question(criterion: Criterion) -> Question:
    return criterion.test, criterion.within_days


def _states(kind: str, facts: pl.DataFrame) -> pl.Expr:
    """Whether any fact of a person states this."""
    stating = facts.filter(pl.col("kind") == kind, pl.col("polarity") == "present")
    return pl.col("person_id").is_in(stating["person_id"].unique().to_list())


def _stack(parts: list[pl.DataFrame], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *parts])
