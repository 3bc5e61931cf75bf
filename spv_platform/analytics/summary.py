"""Counts that may be shipped: small cells are suppressed, and those that would tell them."""

import polars as pl

from spv_platform.analytics.tables import COHORT_SUMMARY, SMALLEST_CELL, schema_of

_VERDICTS = ("potentially_eligible", "needs_information", "not_eligible")


def suppress(verdicts: pl.DataFrame) -> pl.DataFrame:
    """The table `cohort_summary`, of one row per person, trial and cohort.

    A cell of 1 to 10 persons is suppressed. Where it is the only one of its cohort, the smallest of the others goes
    too, since the number of all persons is known. No person is 0, and is told.
    """
    cohort = ["trial", "cohort"]
    cells = verdicts.select(cohort).unique().join(pl.DataFrame({"verdict": _VERDICTS}), how="cross")
    counted = verdicts.group_by(*cohort, "verdict").agg(persons=pl.len().cast(pl.Int64))
    small = pl.col("persons").is_between(1, SMALLEST_CELL - 1)
    table = (
        cells.join(counted, on=[*cohort, "verdict"], how="left")
        .with_columns(pl.col("persons").fill_null(0))
        .with_columns(small=small, empty=pl.col("persons") == 0)
        # First the smallest of the others that is not empty: an empty cell hides less.
        .sort(*cohort, "small", "empty", "persons", "verdict")
        .with_columns(place=pl.int_range(pl.len()).over(cohort), lonely=pl.col("small").sum().over(cohort) == 1)
        .with_columns(suppressed=pl.col("small") | (pl.col("lonely") & (pl.col("place") == 0)))
        .with_columns(persons=pl.when(~pl.col("suppressed")).then("persons"))
    )
    return table.select(pl.col(name).cast(dtype) for name, dtype in schema_of(COHORT_SUMMARY).items()).sort(
        *cohort, "verdict"
    )
