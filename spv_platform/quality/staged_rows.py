"""What is expected of the rows of a staged batch."""

import polars as pl

from spv_platform.quality.expectations import Judgement, judge

#: The columns that are judged.
COLUMNS = ("resource_type", "resource_id", "digest", "source_object", "gender")
#: AdministrativeGender, a required binding of FHIR R4.
GENDERS = ["male", "female", "other", "unknown"]
_SHA256_HEX = "^[0-9a-f]{64}$"
_FHIR_ID = r"^[A-Za-z0-9\-.]{1,64}$"


def judge_staged_rows(rows: pl.DataFrame) -> list[Judgement]:
    """Judge rows of resource tables; `COLUMNS`, null where a table has no such column.

    Raises:
        RuntimeError: an expectation could not be evaluated.
    """
    from great_expectations import expectations as gxe

    return judge(
        rows,
        "staged_rows",
        [
            gxe.ExpectColumnValuesToNotBeNull(column="resource_type"),
            gxe.ExpectColumnValuesToNotBeNull(column="resource_id"),
            gxe.ExpectColumnValuesToMatchRegex(column="resource_id", regex=_FHIR_ID),
            gxe.ExpectColumnValuesToMatchRegex(column="digest", regex=_SHA256_HEX),
            gxe.ExpectColumnValuesToMatchRegex(column="source_object", regex=_SHA256_HEX),
            gxe.ExpectColumnValuesToBeInSet(column="gender", value_set=GENDERS),
        ],
    )
