"""What is expected of the views that a batch would publish: one row per person, none without a source."""

from typing import TYPE_CHECKING

import polars as pl

from spv_platform.quality.expectations import Suite, key_expectations
from spv_platform.view.tables import PATIENT_VIEW

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

GATE = "candidate_view"


def measure(persons: list[str], views: pl.DataFrame) -> pl.DataFrame:
    """One row per person: how many rows of the view they have, and the fewest sources and records of one.

    Args:
        persons: all that must have a view.
        views: rows of `patient_view`, tombstones left out.
    """
    counted = views.group_by("person_id").agg(
        rows=pl.len(),
        sources=pl.col("sources").list.len().fill_null(0).min(),
        records=pl.col("records").list.len().fill_null(0).min(),
    )
    wanted = pl.DataFrame({"person_id": persons}, schema={"person_id": pl.String})
    # Null is a value here: a row of nobody must not vanish in the join.
    joined = wanted.join(counted, on="person_id", how="full", coalesce=True, nulls_equal=True)
    return joined.with_columns(pl.col("rows", "sources", "records").cast(pl.Int64).fill_null(0))


def _expectations() -> "list[Expectation]":
    from great_expectations import expectations as gxe

    return [
        *key_expectations(PATIENT_VIEW.key, unique=True),
        gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="sources", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1),
    ]


SUITE = Suite(GATE, _expectations)
