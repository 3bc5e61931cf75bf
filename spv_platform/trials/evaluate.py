"""The match: every person against every cohort, in three values.

Each distinct question is put to the facts once, over all persons; the trees of the cohorts then combine columns. An
approval is a suggestion to a clinician (`describe.WORDING`). Silence of the data never approves and never rejects.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from spv_platform.trials.describe import describe, evidence_summary
from spv_platform.trials.evidence import Facts
from spv_platform.trials.kleene import MET, NAMES, NOT_MET, Combined, combine
from spv_platform.trials.leaves import judge
from spv_platform.trials.model import Cohort, Criterion, Test, Trial, criteria_of, gating_tree
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS, CRITERION_RESULT_COLUMNS, EVIDENCE

MAX_EVIDENCE = 5  # facts that are named per person and criterion, the latest ones

POTENTIALLY_ELIGIBLE = "potentially_eligible"
NOT_ELIGIBLE = "not_eligible"
NEEDS_INFORMATION = "needs_information"

_Question = tuple[Test, int | None]


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        criteria: one row per person, trial, cohort and criterion (`tables.CRITERION_RESULT_COLUMNS`); none for
            persons who opted out.
        cohorts: one row per person, trial and cohort (`tables.COHORT_VERDICT_COLUMNS`).
    """

    criteria: pl.DataFrame
    cohorts: pl.DataFrame


@dataclass(frozen=True)
class _Answer:
    value: pl.Series  # Int8, one a person
    shown: pl.DataFrame  # person_id, verdict, evidence; persons who have not opted out


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
        ValueError: a person or a trial stands twice.
    """
    if persons["person_id"].is_duplicated().any():
        raise ValueError("a person_id stands twice")
    if len({trial.trial for trial in trials}) != len(trials):
        raise ValueError("a trial stands twice")
    facts = facts.filter(pl.col("usable").fill_null(False), ~pl.col("deleted").fill_null(False))
    # who does not say is taken to refuse
    persons = persons.select(
        "person_id",
        opted_out=pl.col("opted_out").fill_null(True) | _states("opt_out", facts),
        deceased=_states("deceased", facts),
    )
    # what an opted-out person's record says is not looked at
    willing = persons.filter(~pl.col("opted_out")).select("person_id")
    ready = Facts(persons, facts.join(willing, on="person_id", how="semi"), as_of)
    answers: dict[_Question, _Answer] = {}
    criteria, cohorts = [], []
    for trial in trials:
        for cohort in trial.cohorts:
            asked = criteria_of(cohort.criteria)
            for criterion in asked:
                question = (criterion.test, criterion.within_days)
                if question not in answers:
                    answers[question] = _answer(question, persons, ready)
            found = {criterion.id: answers[(criterion.test, criterion.within_days)] for criterion in asked}
            criteria += [
                _criterion_rows(trial, cohort, position, criterion, found[criterion.id])
                for position, criterion in enumerate(asked)
            ]
            cohorts.append(_cohort_rows(trial, cohort, registry.get(trial.trial), persons, found))
    return Evaluation(_stack(criteria, CRITERION_RESULT_COLUMNS), _stack(cohorts, COHORT_VERDICT_COLUMNS))


def _stack(parts: list[pl.DataFrame], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _states(kind: str, facts: pl.DataFrame) -> pl.Expr:
    """Whether any fact of a person states this."""
    stating = facts.filter(pl.col("kind") == kind, pl.col("polarity") == "present")
    return pl.col("person_id").is_in(stating["person_id"].unique().to_list())


def _answer(question: _Question, persons: pl.DataFrame, facts: Facts) -> _Answer:
    verdicts = judge(*question, facts)
    numbered = persons.with_row_index("person")
    value = numbered.join(verdicts.by_person, on="person", how="left", maintain_order="left")["verdict"].fill_null(0)
    line = evidence_summary(facts.as_of)
    pointers = [pl.col(name) for name in EVIDENCE if name != "summary"]
    evidence = (
        facts.usable.join(verdicts.evidence.select("row"), on="row", how="semi")
        .sort("person", "start", "row", descending=[False, True, False], nulls_last=True)
        .group_by("person", maintain_order=True)
        .agg(evidence=pl.struct(*pointers, line.alias("summary")).head(MAX_EVIDENCE))
    )
    shown = (
        numbered.with_columns(verdict=value.replace_strict(NAMES, return_dtype=pl.String))
        .join(evidence, on="person", how="left", maintain_order="left")
        .filter(~pl.col("opted_out"))
        .select("person_id", "verdict", pl.col("evidence").fill_null([]))
    )
    return _Answer(value, shown)


def _criterion_rows(trial: Trial, cohort: Cohort, position: int, criterion: Criterion, answer: _Answer) -> pl.DataFrame:
    rows = answer.shown.with_columns(
        trial=pl.lit(trial.trial),
        cohort=pl.lit(cohort.id),
        criterion=pl.lit(criterion.id),
        position=pl.lit(position),
        gating=pl.lit(criterion.gating),
        wording=pl.lit(describe(criterion)),
    )
    return rows.select(pl.col(name).cast(dtype) for name, dtype in CRITERION_RESULT_COLUMNS.items())


def _cohort_rows(
    trial: Trial, cohort: Cohort, study: Study | None, persons: pl.DataFrame, found: dict[str, _Answer]
) -> pl.DataFrame:
    tree = gating_tree(cohort.criteria)
    if tree is None:
        raise ValueError("a cohort has no gating criterion")
    combined = combine(tree, {criterion.id: found[criterion.id].value for criterion in criteria_of(tree)})
    closed = "closed" in (cohort.status, trial.status)
    not_recruiting = study is not None and not study.recruiting
    willing = ~pl.col("opted_out")
    value = combined.value
    lost = pl.col("opted_out") | pl.col("deceased") | pl.lit(closed or not_recruiting) | (value == NOT_MET)
    approved = ~lost & (value == MET) & pl.lit(study is not None)
    verdict = (
        pl.when(lost)
        .then(pl.lit(NOT_ELIGIBLE))
        .when(approved)
        .then(pl.lit(POTENTIALLY_ELIGIBLE))
        .otherwise(pl.lit(NEEDS_INFORMATION))
    )
    reasons = [
        _if(pl.col("opted_out"), "opted_out"),
        _if(willing & pl.col("deceased"), "deceased"),
        _if(pl.lit(closed), "cohort_closed"),
        _if(pl.lit(not_recruiting), "trial_not_recruiting"),
        _if(pl.lit(study is None), "trial_not_in_registry"),
        *(_if(willing & column, f"criterion:{name}") for name, column in combined.against.items()),
    ]
    return persons.select(
        "person_id",
        trial=pl.lit(trial.trial),
        cohort=pl.lit(cohort.id),
        verdict=verdict,
        approved=approved,
        reasons=pl.concat_list(reasons).list.drop_nulls(),
        missing=_missing(combined, ~lost),
        answers_needed=pl.when(~lost).then(combined.answers_needed),
    ).select(pl.col(name).cast(dtype) for name, dtype in COHORT_VERDICT_COLUMNS.items())


def _missing(combined: Combined, wanted: pl.Expr) -> pl.Expr:
    columns = [_if(wanted & column, name) for name, column in combined.open.items()]
    return pl.concat_list(columns).list.drop_nulls()


def _if(condition: pl.Expr, text: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit(text))
