"""The description of the analyst tables: each table and column is described once, here."""

import polars as pl

from spv_platform.analytics.pseudonyms import MOST_SHIFT_DAYS
from spv_platform.lake.describe import DerivedColumn, DerivedTable, Phi

SHIFT_LABEL = (
    f"Shifted to an earlier day by 1 to {MOST_SHIFT_DAYS} days, by the same number for all dates of a person:"
    " intervals are true, the days are not."
)

_PERSON = DerivedColumn("person_key", pl.String(), "Pseudonym of the person, the same in all builds.", Phi.QUASI)


def _shifted(name: str, what: str) -> DerivedColumn:
    return DerivedColumn(name, pl.Date(), f"{what} {SHIFT_LABEL}", Phi.QUASI)


PERSON = DerivedTable(
    "person",
    ("person_key",),
    (
        _PERSON,
        DerivedColumn("sex", pl.String(), "Administrative gender.", Phi.QUASI),
        DerivedColumn(
            "age", pl.String(), "Whole years on 1 January of the year of the build; 90+ from 90 on.", Phi.QUASI
        ),
        DerivedColumn(
            "zip3", pl.String(), "First three digits of the ZIP code; 000 where 20,000 people or fewer live.", Phi.QUASI
        ),
        DerivedColumn("deceased", pl.Boolean(), "Some record says dead; null: none says anything."),
        DerivedColumn("records", pl.Int32(), "How many records of source systems are this person.", Phi.NONE),
        DerivedColumn("encounters", pl.Int64(), "Encounters that took place."),
        _shifted("last_encounter_shifted", "Day of the last of them."),
    ),
    "Persons who have not opted out of research.",
)

DIAGNOSIS = DerivedTable(
    "diagnosis",
    ("person_key", "kind", "code", "onset_shifted"),
    (
        _PERSON,
        DerivedColumn("kind", pl.String(), "cancer, metastasis or problem."),
        DerivedColumn("code", pl.String(), "The first code of a public code system, as system|code."),
        DerivedColumn("histology", pl.String(), "Histology of a cancer, likewise."),
        _shifted("onset_shifted", "Day on which it began."),
    ),
    "Diagnoses: cancers in any clinical state, metastases, active problems.",
)

BIOMARKER = DerivedTable(
    "biomarker",
    ("person_key", "kind", "gene", "code", "tested_shifted"),
    (
        _PERSON,
        DerivedColumn("kind", pl.String(), "variant, marker, tmb or msi."),
        DerivedColumn("gene", pl.String(), "HGNC symbol; of a fusion both, joined by a hyphen."),
        DerivedColumn("protein_change", pl.String(), "Protein change in one-letter form, such as L858R."),
        DerivedColumn("alteration", pl.String(), "mutation, fusion, copy_number_gain, copy_number_loss."),
        DerivedColumn("origin", pl.String(), "somatic or germline."),
        DerivedColumn("code", pl.String(), "The test of a marker, as system|code."),
        DerivedColumn("polarity", pl.String(), "present, absent or indeterminate."),
        DerivedColumn("value", pl.Float64(), "A number, such as mutations per megabase."),
        DerivedColumn("unit", pl.String(), "Its unit."),
        _shifted("tested_shifted", "Day of the test."),
    ),
    "Variants that were found or ruled out, tumour markers, mutational burden, microsatellites.",
)

RESULT = DerivedTable(
    "result",
    ("person_key", "kind", "code", "taken_shifted"),
    (
        _PERSON,
        DerivedColumn("kind", pl.String(), "lab (the latest of each test), stage, ecog or karnofsky."),
        DerivedColumn("code", pl.String(), "The test, as system|code."),
        DerivedColumn("value", pl.Float64(), "The number."),
        DerivedColumn("comparator", pl.String(), "<, <=, > or >= where the number is a bound."),
        DerivedColumn("unit", pl.String(), "Its unit."),
        DerivedColumn("stage", pl.String(), "The stage group, such as IIIB."),
        _shifted("taken_shifted", "Day of the result."),
    ),
    "Results of tests, stages and performance scores.",
)

PATIENT_FACT = DerivedTable(
    "patient_fact",
    ("person_key", "kind", "code", "true_shifted"),
    (
        _PERSON,
        DerivedColumn("kind", pl.String(), "cancer, condition, variant, lab, medication, procedure and others."),
        DerivedColumn("code", pl.String(), "The first code of a public code system, as system|code."),
        DerivedColumn(
            "concept",
            pl.String(),
            "What the code tables make of it: OncoTree nodes, drugs, a marker, genes; else null.",
        ),
        DerivedColumn("polarity", pl.String(), "present, absent or indeterminate."),
        DerivedColumn("value", pl.Float64(), "The number."),
        DerivedColumn("comparator", pl.String(), "<, <=, > or >= where the number is a bound."),
        DerivedColumn("unit", pl.String(), "Its unit."),
        DerivedColumn("stage", pl.String(), "Stage group, or category of TNM."),
        DerivedColumn("gene", pl.String(), "HGNC symbols; of a fusion both, joined by a hyphen."),
        DerivedColumn("protein_change", pl.String(), "Protein change in one-letter form, such as L858R."),
        DerivedColumn("alteration", pl.String(), "mutation, fusion, copy_number_gain, copy_number_loss."),
        DerivedColumn("origin", pl.String(), "somatic or germline."),
        DerivedColumn("vaf", pl.Float64(), "Allele fraction, 0 to 1."),
        DerivedColumn("copy_number", pl.Float64(), "Number of copies."),
        _shifted("true_shifted", "Day on which it was true."),
        _shifted("known_shifted", "Day on which it was issued or recorded."),
    ),
    "Every clinical fact that counts as evidence, one row each, of all times.",
)

#: A count of fewer persons than this is not shown.
SMALLEST_CELL = 11

COHORT_SUMMARY = DerivedTable(
    "cohort_summary",
    ("trial", "cohort", "verdict"),
    (
        DerivedColumn("trial", pl.String(), "Registry id of the trial.", Phi.NONE),
        DerivedColumn("cohort", pl.String(), "Cohort of the trial.", Phi.NONE),
        DerivedColumn("verdict", pl.String(), "potentially_eligible, needs_information or not_eligible.", Phi.NONE),
        DerivedColumn("persons", pl.Int64(), "Number of persons; null: suppressed.", Phi.NONE),
        DerivedColumn(
            "suppressed",
            pl.Boolean(),
            f"The number is 1 to {SMALLEST_CELL - 1}, or would tell one that is.",
            Phi.NONE,
        ),
    ),
    "How many persons each cohort has, with small numbers suppressed.",
)

TABLES: tuple[DerivedTable, ...] = (PERSON, DIAGNOSIS, BIOMARKER, RESULT, PATIENT_FACT, COHORT_SUMMARY)


def schema_of(table: DerivedTable) -> dict[str, pl.DataType]:
    """The columns of a stored analyst table; it has none of the platform's own."""
    return {column.name: column.dtype for column in table.columns}
