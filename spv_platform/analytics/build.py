"""From the published view to analyst tables: which value goes where. What passes is said by `rules`."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from spv_platform.analytics import rules
from spv_platform.analytics.summary import suppress
from spv_platform.analytics.tables import BIOMARKER, COHORT_SUMMARY, DIAGNOSIS, PATIENT_FACT, PERSON, RESULT, schema_of
from spv_platform.trials.concepts import concept

#: Columns of the view that are read; the others are not even opened.
VIEW_COLUMNS = (
    "person_id", "records", "gender", "birth_date_start", "birth_date_end", "deceased", "encounter_count",
    "last_encounter", "cancers", "metastases", "problems", "variants", "tumor_markers", "tmb", "msi", "mmr", "stages",
    "ecog", "karnofsky", "latest_results",
)  # fmt: skip
_DIAGNOSES = {"cancers": "cancer", "metastases": "metastasis", "problems": "problem"}
_BIOMARKERS = {"variants": "variant", "tumor_markers": "marker", "tmb": "tmb", "msi": "msi", "mmr": "mmr"}
_RESULTS = {"latest_results": "lab", "stages": "stage", "ecog": "ecog", "karnofsky": "karnofsky"}
#: Kinds of facts that say something of somebody's health.
_CLINICAL = (
    "condition", "cancer", "metastasis", "stage", "tnm", "ecog", "karnofsky", "tumor_marker", "variant",
    "region_studied", "tmb", "msi", "mmr", "signature", "lab", "medication", "allergy", "procedure", "immunization",
)  # fmt: skip
_SEXES = ("female", "male", "other", "unknown")
_NO_ZIP_USES = ("old", "billing")


def analyst_tables(
    views: pl.DataFrame, patients: pl.DataFrame, verdicts: pl.DataFrame, disguises: pl.DataFrame, as_of: date
) -> dict[str, pl.DataFrame]:
    """The frames of the analyst tables by name, with exactly their columns, in an order that tells nothing.

    Those of `patient_fact` are made by `fact_rows`: they do not fit into memory together.

    Args:
        views: `VIEW_COLUMNS` of the table patient_view; persons who opted out are not among `disguises`.
        patients: of the table patient: `source`, `resource_id`, `version_time`, `address`.
        verdicts: of the table cohort_verdict: `person_id`, `trial`, `cohort`, `verdict`.
        disguises: see `pseudonyms.disguises`; who is not in it is left out.
        as_of: the day of the build.
    """
    disguised = views.join(disguises, on="person_id")
    told = verdicts.join(disguises.select("person_id"), on="person_id", how="semi")
    frames = {
        PERSON: _persons(disguised, patients, as_of),
        # what somebody does not have is no diagnosis
        DIAGNOSIS: _facts(disguised, _DIAGNOSES, _diagnosis_columns()).filter(pl.col("polarity").ne_missing("absent")),
        BIOMARKER: _facts(disguised, _BIOMARKERS, _biomarker_columns()),
        # Of a test that cannot be named, the number says nothing.
        RESULT: _facts(disguised, _RESULTS, _result_columns()).filter(
            (pl.col("kind") != "lab") | pl.col("code").is_not_null()
        ),
    }
    made = {
        table.name: frame.select(pl.col(name).cast(dtype) for name, dtype in schema_of(table).items()).sort(table.key)
        for table, frame in frames.items()
    }
    return made | {COHORT_SUMMARY.name: suppress(told)}


def fact_rows(facts: pl.DataFrame, disguises: pl.DataFrame) -> pl.DataFrame:
    """Rows of the table `patient_fact`, in an order that tells nothing.

    Args:
        facts: the columns of `view.schema.SCHEMA` and `person_id`.
        disguises: as for `analyst_tables`.
    """
    text = pl.col("value_text")
    staged = (pl.when(pl.col("kind") == "stage").then(rules.stage_group(text)), rules.tnm(text))
    kept = pl.col("kind").is_in(_CLINICAL) & pl.col("usable").fill_null(value=False)
    rows = (
        facts.filter(kept & ~pl.col("deleted").fill_null(value=False))
        .join(disguises, on="person_id")
        .with_columns(date="time")
        .with_columns(**_biomarker_columns(), concept=concept(codes=False))
        .with_columns(
            comparator=rules.comparator(pl.col("comparator")),
            stage=pl.when(pl.col("kind").is_in(["stage", "tnm"])).then(pl.coalesce(*staged)),
            true_shifted=rules.shifted(pl.col("date")),
            known_shifted=rules.shifted(pl.col("known")),
        )
        # Of a test that cannot be named, the number says nothing.
        .filter((pl.col("kind") != "lab") | pl.col("code").is_not_null())
    )
    columns = schema_of(PATIENT_FACT)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items()).sort(list(columns), nulls_last=True)


def _persons(views: pl.DataFrame, patients: pl.DataFrame, as_of: date) -> pl.DataFrame:
    return views.join(_areas(views, patients), on="person_id", how="left").with_columns(
        sex=pl.when(pl.col("gender").is_in(_SEXES)).then("gender"),
        age=rules.age("birth_date_start", "birth_date_end", as_of),
        records=pl.col("records").list.len(),
        encounters=pl.col("encounter_count"),
        last_encounter_shifted=rules.shifted(pl.col("last_encounter")),
    )


def _areas(views: pl.DataFrame, patients: pl.DataFrame) -> pl.DataFrame:
    """`person_id`, `zip3`: of the newest record that has a US address."""
    records = views.select("person_id", pl.col("records")).explode("records").unnest("records")
    place = pl.col("address").struct
    in_us = place.field("country").fill_null("US").str.to_uppercase().is_in(["US", "USA"])
    return (
        records.join(patients, left_on=["source", "patient_id"], right_on=["source", "resource_id"])
        .sort(
            "person_id", "version_time", "source", "patient_id", descending=[False, True, False, False], nulls_last=True
        )
        .explode("address")
        .filter(in_us & ~place.field("use").is_in(_NO_ZIP_USES).fill_null(value=False))
        .select("person_id", zip3=rules.zip3(place.field("postal_code")))
        .drop_nulls()
        .unique("person_id", keep="first", maintain_order=True)
    )


def _facts(views: pl.DataFrame, lists: Mapping[str, str], columns: dict[str, pl.Expr]) -> pl.DataFrame:
    """One row per fact of the lists, with `person_key` and `kind`."""
    parts = []
    for column, kind in lists.items():
        rows = views.select("person_key", "shift_days", column).filter(pl.col(column).list.len() > 0)
        facts = rows.explode(column).unnest(column)
        parts.append(
            facts.select("person_key", "shift_days", pl.lit(kind).alias("kind"), pl.exclude("person_key", "shift_days"))
        )
    return pl.concat(parts, how="diagonal").with_columns(**columns)


def _diagnosis_columns() -> dict[str, pl.Expr]:
    return {
        "code": rules.first_code(pl.col("codes")),
        "histology": rules.first_code(pl.col("value_codes")),
        "onset_shifted": rules.shifted(pl.col("date")),
    }


def _biomarker_columns() -> dict[str, pl.Expr]:
    return {
        "gene": rules.gene(pl.col("genes")),
        "protein_change": pl.col("hgvs_protein").map_batches(rules.protein_change, return_dtype=pl.String),
        "code": rules.first_code(pl.col("codes")),
        "value": pl.col("value_number"),
        "unit": rules.unit(pl.col("unit")),
        "tested_shifted": rules.shifted(pl.col("date")),
    }


def _result_columns() -> dict[str, pl.Expr]:
    return {
        "code": rules.first_code(pl.col("codes")),
        "value": pl.col("value_number"),
        "comparator": rules.comparator(pl.col("comparator")),
        "unit": rules.unit(pl.col("unit")),
        "stage": pl.when(pl.col("kind") == "stage").then(rules.stage_group(pl.col("value_text"))),
        "taken_shifted": rules.shifted(pl.col("date")),
    }
