"""From rows of resource tables to facts: the one entry, and what keeps every resource version represented."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import polars as pl

from spv_platform.lake.describe import MODIFIER
from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.view import clinical
from spv_platform.view.demographics import facts_of_patients
from spv_platform.view.observations import facts_of_observations
from spv_platform.view.rows import EMPTY, fact_rows
from spv_platform.view.schema import VERSION_COLUMNS

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)

_EXTRACT: dict[str, Callable[[pl.DataFrame], list[pl.DataFrame]]] = {
    "patient": facts_of_patients,
    "condition": clinical.facts_of_conditions,
    "observation": facts_of_observations,
    "medication": clinical.facts_of_medications,
    "allergy": clinical.facts_of_allergies,
    "procedure": clinical.facts_of_procedures,
    "immunization": clinical.facts_of_immunizations,
    "encounter": clinical.facts_of_encounters,
    "diagnostic_report": lambda _: [],
    "other_resource": clinical.facts_of_others,
}

_IN_ERROR = pl.col("status").eq("entered-in-error").fill_null(value=False)
#: Nothing was measured, or nothing is there yet.
_WITHOUT_RESULTS = (pl.col("resource_type") == "DiagnosticReport") & pl.col("status").is_in(["cancelled", "registered"])
#: An element that has one inside counts too, and so does a contained resource.
_MODIFIED = pl.col("extension_urls").list.eval(pl.element().str.starts_with(MODIFIER)).list.any().fill_null(value=False)
#: Column that says so -> whether it does.
_RETRACTED = {
    "status": _IN_ERROR | _WITHOUT_RESULTS.fill_null(value=False),
    "verification_status": clinical.unverified_as(["entered-in-error"]).is_not_null(),
}
#: Tables of which only some rows bear facts: whatever contains results may have to take them back. Of reports all do:
#: the next version of one may leave out a result that this one contains.
_BEARING = {
    "other_resource": pl.col("resource_type").is_in(["Consent", "Specimen"]) | pl.col("deleted") | _IN_ERROR | _MODIFIED
}
#: What says which version a fact is from.
_FROM = [*RESOURCE_KEY, "digest"]
_STANDS_ALONE = pl.col("container").is_null()
_HOLDER = pl.col("container").str.split_exact("/", 1).struct


def facts_of(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The facts of resource versions.

    Args:
        tables: rows by table name, as `bearing` gave them. Rows without `patient_id` are passed over: see
            `versions_without_patient`.

    Returns:
        A frame with `view.schema.SCHEMA`. Every version with a `patient_id` has at least one row: tombstones and
        versions that say nothing of interest have one of kind `none`. The order of rows means nothing.
    """
    found = [EMPTY]
    for name, rows in tables.items():
        rows = rows.filter(pl.col("patient_id").is_not_null())
        if rows.is_empty():
            continue
        versions = rows.select(VERSION_COLUMNS)
        facts = pl.concat([EMPTY, *_EXTRACT[name](rows)]) if name in _EXTRACT else EMPTY
        silent = versions.join(facts, on=[*RESOURCE_KEY, "patient_id", "digest"], how="anti").unique()
        found += [facts, fact_rows(silent, "none", usable=pl.lit(False))]
    return _without_modified(_without_retracted(pl.concat(found), tables), tables)


def _without_retracted(facts: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What stands inside of a resource that was entered in error, or that says that it has no results, is none."""
    retracted = [
        rows.filter(_STANDS_ALONE & in_error).select(_FROM)
        for rows in tables.values()
        for column, in_error in _RETRACTED.items()
        if column in rows.columns
    ]
    return _unusable(facts, retracted)


def _without_modified(facts: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What an extension that is not understood changes the meaning of is no evidence, but may keep a person out."""
    modified = [rows.filter(_STANDS_ALONE & _MODIFIED).select(_FROM) for rows in tables.values()]
    return _unusable(facts, modified, but=("opt_out", "deceased"))


def _unusable(facts: pl.DataFrame, versions: Sequence[pl.DataFrame], but: Sequence[str] = ()) -> pl.DataFrame:
    gone = pl.concat([EMPTY.select(_FROM), *versions]).unique()
    if gone.is_empty():
        return facts
    kept = facts.join(gone.with_columns(_gone=True), on=_FROM, how="left", maintain_order="left")
    counts = pl.col("_gone").is_null() | pl.col("kind").is_in(but)
    return kept.with_columns(usable=pl.col("usable") & counts).drop("_gone")


def bearing(tables: Mapping[str, Rows]) -> dict[str, Rows]:
    """The rows from which facts can come, so that states do not fill up with rows that say nothing.

    A resource inside of another comes and goes with it, so its row gets the key of its container; `container` is then
    its own key.
    """
    found = {}
    for name, rows in tables.items():
        if name not in _EXTRACT:
            continue
        kept = rows.filter(_BEARING[name]) if name in _BEARING else rows
        found[name] = kept.with_columns(
            resource_type=pl.coalesce(_HOLDER.field("field_0"), "resource_type"),
            resource_id=pl.coalesce(_HOLDER.field("field_1"), "resource_id"),
            container=pl.when(~_STANDS_ALONE).then(pl.concat_str("resource_type", pl.lit("/"), "resource_id")),
        )
    return found


def movable(tables: Mapping[str, Rows]) -> dict[str, Rows]:
    """The rows that may come to name another record; as `bearing` gave them.

    A Patient is the record of its own id, whatever its versions say; one inside of another resource goes with that.
    """
    return {name: rows if name != "patient" else rows.filter(~_STANDS_ALONE) for name, rows in tables.items()}


def versions_without_patient(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Versions that name no patient: deletes, and resources whose reference to the patient leads nowhere.

    Such a version displaces older ones of its resource, in whichever record they are: the caller finds those records
    and passes them to `displaced`.

    Returns:
        Distinct rows of `view.schema.VERSION_COLUMNS`, `patient_id` null.
    """
    versions = [
        rows.filter(_STANDS_ALONE & pl.col("patient_id").is_null() & (pl.col("resource_type") != "Patient")).select(
            VERSION_COLUMNS
        )
        for rows in tables.values()
    ]
    return pl.concat([EMPTY.select(VERSION_COLUMNS), *versions]).unique()


def displaced(versions: pl.DataFrame, homes: pl.DataFrame) -> pl.DataFrame:
    """Facts of kind `none` that tell other records about versions which do not name them.

    Args:
        versions: rows of `VERSION_COLUMNS`.
        homes: `source`, `resource_type`, `resource_id`, `patient_id`: records that hold, or will hold, another version
            of the resource.

    Returns:
        One fact for each version and home that differs from the version's own patient; fold it into the home's state.
    """
    # a batch has many homes, and few versions that any of them has to hear of
    concerned = homes.join(versions, on=list(RESOURCE_KEY), how="semi").unique()
    others = versions.rename({"patient_id": "_own"}).join(concerned, on=list(RESOURCE_KEY))
    others = others.filter(pl.col("patient_id").ne_missing(pl.col("_own")))
    return fact_rows(others, "none", usable=pl.lit(False))
