"""An evaluation as rows of the lake tables."""

from datetime import date

import polars as pl

from spv_platform.trials.describe import WORDING, describe
from spv_platform.trials.evaluate import Evaluation
from spv_platform.trials.model import Trial, criteria_of
from spv_platform.trials.tables import APPROVED_PATIENTS, COHORT_VERDICT, CRITERION_RESULT, stamp


def table_rows(evaluation: Evaluation, trials: list[Trial], as_of: date, seq: int) -> dict[str, pl.DataFrame]:
    """Rows of `approved_patients`, `cohort_verdict` and `criterion_result`, by table.

    `approved_patients` has the approvals of this evaluation only: an approval that fell away is the caller's to mark,
    who knows the former ones.
    """
    titles = pl.DataFrame(
        [
            {
                "trial": trial.trial,
                "cohort": cohort.id,
                "trial_title": trial.title,
                "cohort_title": cohort.title,
                "trial_version": trial.version,
                "wording": WORDING,
                "for_clinic": [describe(c) for c in criteria_of(cohort.criteria) if not c.gating],
            }
            for trial in trials
            for cohort in trial.cohorts
        ],
        schema={
            column.name: column.dtype
            for column in APPROVED_PATIENTS.columns
            if column.name not in ("person_id", "as_of")
        },
    )
    approved = evaluation.cohorts.filter("approved").join(titles, on=["trial", "cohort"], how="left")
    return {
        APPROVED_PATIENTS.name: stamp(APPROVED_PATIENTS, approved, as_of, seq),
        COHORT_VERDICT.name: stamp(COHORT_VERDICT, evaluation.cohorts, as_of, seq),
        CRITERION_RESULT.name: stamp(CRITERION_RESULT, evaluation.criteria, as_of, seq),
    }
