"""What is expected of the approvals that a batch would publish, whatever the matching says.

Each condition is looked up anew, in the criteria's results, the criteria files, the registry and the candidate views:
an approval must not rest on one flag.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from spv_platform.quality.expectations import Suite, key_expectations
from spv_platform.trials.kleene import NAMES, UNKNOWN
from spv_platform.trials.model import Criterion, Node, Trial, gating_tree
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import APPROVED_PATIENTS

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

GATE = "candidate_approvals"
_KEY = list(APPROVED_PATIENTS.key)
_KEY_SCHEMA = dict.fromkeys(_KEY, pl.String)
_NUMBERS = {name: value for value, name in NAMES.items()}


@dataclass(frozen=True)
class Candidates:
    """What a batch would publish about trials, and what it is held against.

    Attributes:
        approved: rows of `approved_patients`.
        announced: keys of the approvals that the ledger would keep and tell the practices.
        criteria: rows of `criterion_result`.
        opted_out: `person_id`, `opted_out`.
        views: rows of `patient_view`.
    """

    approved: pl.DataFrame
    announced: Collection[tuple[str, str, str]]
    criteria: pl.DataFrame
    opted_out: pl.DataFrame
    views: pl.DataFrame
    trials: list[Trial]
    studies: dict[str, Study]


def measure(candidates: Candidates) -> pl.DataFrame:
    """One row per approval: whether what it needs is so.

    Columns: the key; `criteria`, what the results of the gating criteria come to; `agreed`, whether table and ledger
    both have it; `open`, `alive` and `willing`.
    """
    approved = candidates.approved.select(_KEY)
    announced = pl.DataFrame(list(candidates.announced), schema=_KEY_SCHEMA, orient="row").unique()
    rows = pl.concat([approved, announced.join(approved, on=_KEY, how="anti")])
    both = announced.join(approved, on=_KEY, how="semi").with_columns(agreed=pl.lit(value=True))
    says = candidates.opted_out.group_by("person_id").agg(listed=pl.col("opted_out").fill_null(value=True).any())
    views = candidates.views.group_by("person_id").agg(
        dead=pl.col("deceased").fill_null(value=False).any(), refuses=pl.col("opted_out").fill_null(value=True).any()
    )
    return (
        rows.join(both, on=_KEY, how="left")
        .join(_open(candidates), on=["trial", "cohort"], how="left")
        .join(_verdicts(rows, candidates), on=_KEY, how="left")
        .join(says, on="person_id", how="left")
        .join(views, on="person_id", how="left")
        .select(
            *_KEY,
            pl.col("criteria").fill_null(NAMES[UNKNOWN]),
            pl.col("agreed").fill_null(value=False),
            pl.col("open").fill_null(value=False),
            # Who has no view, or says nothing, is neither known to be alive nor to be willing.
            alive=~pl.col("dead").fill_null(value=True),
            willing=~(pl.col("listed").fill_null(value=True) | pl.col("refuses").fill_null(value=True)),
        )
    )


def _open(candidates: Candidates) -> pl.DataFrame:
    recruiting = {name for name, study in candidates.studies.items() if study.recruiting}
    rows = [
        (trial.trial, cohort.id, cohort.status == "open" and trial.trial in recruiting)
        for trial in candidates.trials
        for cohort in trial.cohorts
    ]
    return pl.DataFrame(rows, schema={"trial": pl.String, "cohort": pl.String, "open": pl.Boolean}, orient="row")


def _verdicts(approvals: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """What the criteria's results come to for each approval, by the cohort's tree."""
    trees = {
        (trial.trial, cohort.id): gating_tree(cohort.criteria)
        for trial in candidates.trials
        for cohort in trial.cohorts
    }
    results = candidates.criteria.join(approvals, on=_KEY, how="semi").select(*_KEY, "criterion", "verdict")
    answers: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for person, trial, cohort, criterion, verdict in results.iter_rows():
        answers[person, trial, cohort][criterion] = _NUMBERS[verdict]
    # A loop per approval: they are few among the persons, and trees differ.
    rows = []
    for person, trial, cohort in approvals.unique().iter_rows():
        tree = trees.get((trial, cohort))
        value = _value(tree, answers[person, trial, cohort]) if tree else UNKNOWN
        rows.append((person, trial, cohort, NAMES[value]))
    return pl.DataFrame(rows, schema={**_KEY_SCHEMA, "criteria": pl.String}, orient="row")


def _value(node: Node, answers: dict[str, int]) -> int:
    """A tree in three values; a criterion without a result is unknown."""
    if isinstance(node, Criterion):
        return answers.get(node.id, UNKNOWN)
    members = [_value(member, answers) for member in node.members]
    if node.op == "all":
        return min(members)
    return max(members) if node.op == "any" else -max(members)


def _expectations() -> "list[Expectation]":
    from great_expectations import expectations as gxe

    return [
        *key_expectations(_KEY, unique=True),
        gxe.ExpectColumnValuesToBeInSet(column="criteria", value_set=["MET"]),
        *(
            gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[True])
            for name in ("agreed", "open", "alive", "willing")
        ),
    ]


SUITE = Suite(GATE, _expectations)
