"""The description of the lake tables that hold matches: each table and column is described once, here.

A row is one version of one answer: per key the row with the greatest `_seq` is the current one, and a current row with
`deleted` is none.
"""

from dataclasses import replace
from datetime import date

import polars as pl

from spv_platform.lake.describe import DerivedColumn, DerivedTable, Phi

#: A pointer to the fact's resource in its sealed object, and one line about it.
EVIDENCE: dict[str, pl.DataType] = {
    "source": pl.String(),
    "resource_type": pl.String(),
    "resource_id": pl.String(),
    "source_object": pl.String(),
    "source_entry": pl.Int64(),
    "summary": pl.String(),
}


#: What the asset `trial_criteria` is read for: its columns, each with what it means.
CRITERIA_COLUMNS: tuple[DerivedColumn, ...] = (
    DerivedColumn("trial", pl.String(), "Registry id of the trial.", Phi.NONE),
    DerivedColumn("title", pl.String(), "Title of the trial.", Phi.NONE),
    DerivedColumn("version", pl.Int64(), "Version of the trial's criteria.", Phi.NONE),
    DerivedColumn("cohort", pl.String(), "Cohort of the trial.", Phi.NONE),
    DerivedColumn("cohort_title", pl.String(), "Title of the cohort.", Phi.NONE),
    DerivedColumn("criteria", pl.String(), "What the cohort asks for; gating criteria decide.", Phi.NONE),
    DerivedColumn("status", pl.String(), "Whether trial and cohort take patients, by the registry.", Phi.NONE),
)


def _criteria(*columns: str) -> tuple[str, ...]:
    return tuple(f"trial_criteria.{column}" for column in columns)


#: What an approval rests on: everything of the view that a criterion can weigh, and what rules anybody out.
_WEIGHED = tuple(
    f"patient_view.{column}"
    for column in (
        *(
            "gender",
            "birth_sex",
            "birth_date",
            "deceased",
            "opted_out",
            "addresses",
            "problems",
            "cancers",
            "metastases",
            "stages",
        ),
        *("tnm", "ecog", "karnofsky", "tumor_markers", "variants", "regions_studied", "tmb", "msi", "mmr"),
        *("medications", "allergies", "procedures", "immunizations", "latest_results"),
    )
)

_PERSON = DerivedColumn("person_id", pl.String(), "The person's enterprise id.", Phi.QUASI)
_TRIAL = DerivedColumn("trial", pl.String(), "Registry id of the trial.", Phi.NONE)
_COHORT = DerivedColumn("cohort", pl.String(), "Cohort of the trial.", Phi.NONE)
_AS_OF = DerivedColumn("as_of", pl.Date(), "The day of evaluation, from which ages and windows count.", Phi.NONE)

CRITERION_RESULT = DerivedTable(
    "criterion_result",
    ("person_id", "trial", "cohort", "criterion"),
    (
        _PERSON,
        _TRIAL,
        _COHORT,
        DerivedColumn("criterion", pl.String(), "Id of the criterion in the trial.", Phi.NONE),
        DerivedColumn("position", pl.Int32(), "Its place in the cohort's criteria, from 0.", Phi.NONE),
        DerivedColumn("gating", pl.Boolean(), "Whether it decides; else it is for the clinic only.", Phi.NONE),
        DerivedColumn("wording", pl.String(), "The criterion in words.", Phi.NONE),
        DerivedColumn("verdict", pl.String(), "MET, NOT_MET or UNKNOWN."),
        DerivedColumn("conflict", pl.Boolean(), "It is UNKNOWN because the evidence contradicts itself."),
        DerivedColumn("evidence", pl.List(pl.Struct(EVIDENCE)), "The facts weighed, latest first.", Phi.QUASI),
        _AS_OF,
    ),
    "What each criterion of a cohort says of a person, with evidence, where no gating criterion speaks against.",
)

COHORT_VERDICT = DerivedTable(
    "cohort_verdict",
    ("person_id", "trial", "cohort"),
    (
        _PERSON,
        _TRIAL,
        _COHORT,
        DerivedColumn("verdict", pl.String(), "potentially_eligible, not_eligible or needs_information."),
        DerivedColumn("approved", pl.Boolean(), "Potentially eligible, clinician to confirm."),
        DerivedColumn(
            "reasons",
            pl.List(pl.String),
            "Why not: opted_out, deceased, cohort_closed, trial_not_recruiting, trial_not_in_registry, and criterion:ID"
            " of the first gating criterion that speaks against.",
        ),
        DerivedColumn("missing", pl.List(pl.String), "Criteria whose answer could still change the verdict."),
        DerivedColumn("answers_needed", pl.Int32(), "Fewest answers that could make it eligible; 1: one test away."),
        _AS_OF,
    ),
    "The verdict on each person for each cohort.",
)

APPROVED_PATIENTS = DerivedTable(
    "approved_patients",
    ("person_id", "trial", "cohort"),
    (
        replace(_PERSON, sources=("patient_view.person_id",)),
        replace(_TRIAL, sources=_criteria("trial")),
        replace(_COHORT, sources=(*_criteria("cohort", "criteria", "status"), *_WEIGHED)),
        DerivedColumn("trial_title", pl.String(), "Title of the trial.", Phi.NONE, _criteria("title")),
        DerivedColumn("cohort_title", pl.String(), "Title of the cohort.", Phi.NONE, _criteria("cohort_title")),
        DerivedColumn(
            "trial_version", pl.Int64(), "Version of the criteria that approved.", Phi.NONE, _criteria("version")
        ),
        DerivedColumn("wording", pl.String(), "What the approval means.", Phi.NONE),
        DerivedColumn(
            "for_clinic",
            pl.List(pl.String),
            "What the clinic has to check, in words.",
            Phi.NONE,
            _criteria("criteria"),
        ),
        _AS_OF,
    ),
    "Persons who are potentially eligible for a cohort; a clinician has to confirm.",
)

TABLES: tuple[DerivedTable, ...] = (APPROVED_PATIENTS, COHORT_VERDICT, CRITERION_RESULT)

CRITERION_RESULT_COLUMNS = {column.name: column.dtype for column in CRITERION_RESULT.columns if column is not _AS_OF}
COHORT_VERDICT_COLUMNS = {column.name: column.dtype for column in COHORT_VERDICT.columns if column is not _AS_OF}


def stamp(table: DerivedTable, rows: pl.DataFrame, as_of: date, seq: int) -> pl.DataFrame:
    """Rows with the described columns as rows of the stored table, written by publication `seq`."""
    system = (pl.lit(as_of).alias("as_of"), pl.lit(False).alias("deleted"), pl.lit(seq).alias("_seq"))
    return rows.with_columns(*system).select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())
