"""Which laboratory made the results that evidence rests on, looked up in the published tables when somebody asks.

A result names its laboratory itself, often by reference only, or leaves it to its report. Names are those of the
publication that is read, so a past day is told as it was.
"""

import re
from typing import Any

import polars as pl

from spv_platform.pipeline.reading import TenantReader
from spv_platform.trials.describe import LABORATORY
from spv_platform.view.rows import laboratory

_KEY = re.compile(rf"(?<=\b{LABORATORY})Organization/([\w.#-]+)")


def name_laboratories(opened: TenantReader, records: list[dict[str, Any]], criteria: pl.DataFrame) -> pl.DataFrame:
    """Rows of `criterion_result` whose lines of evidence tell the laboratory by name, as far as it is known.

    Args:
        opened: the tables of the person's tenant.
        records: the person's, with `source` and `patient_id`.
        criteria: rows of one person.
    """
    rows = criteria.to_dicts()
    facts = [fact for row in rows for fact in row["evidence"] or []]
    by_report = _by_report(opened, records)
    for fact in facts:
        made_by = by_report.get((fact["source"], f"{fact['resource_type']}/{fact['resource_id']}"))
        if made_by and LABORATORY not in fact["summary"]:
            fact["summary"] += f", {LABORATORY}{made_by}"
    names = _names(opened, {(fact["source"], id_) for fact in facts for id_ in _KEY.findall(fact["summary"])})
    for fact in facts:
        for id_ in _KEY.findall(fact["summary"]):
            named = names.get((fact["source"], id_), f"Organization/{id_}")
            fact["summary"] = fact["summary"].replace(f"{LABORATORY}Organization/{id_}", f"{LABORATORY}{named}")
    return pl.DataFrame(rows, schema=criteria.schema)


def _by_report(opened: TenantReader, records: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """(source, key) of a report and of each of its results -> its laboratory."""
    if "diagnostic_report" not in opened.tables():
        return {}
    mine = pl.any_horizontal(
        (pl.col("source") == each["source"]) & (pl.col("patient_id") == each["patient_id"]) for each in records
    )
    key = pl.concat_str(pl.lit("DiagnosticReport/"), pl.col("resource_id"))
    results = pl.col("result").list.eval(pl.element().struct.field("key").drop_nulls()).fill_null([])
    reports = opened.current("diagnostic_report").filter(mine)
    named = reports.select("source", result=pl.concat_list(key, results), made_by=laboratory()).drop_nulls("made_by")
    found = named.explode("result").unique(["source", "result"], keep="none").collect()
    return {(source, result): made_by for source, result, made_by in found.iter_rows()}


def _names(opened: TenantReader, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(source, id) of organisations -> name."""
    if not wanted or "other_resource" not in opened.tables():
        return {}
    keys = (pl.col("resource_type") == "Organization") & pl.col("resource_id").is_in([id_ for _, id_ in wanted])
    rows = opened.current("other_resource", keys).select("source", "resource_id", "name").drop_nulls().collect()
    return {(source, id_): name for source, id_, name in rows.iter_rows() if (source, id_) in wanted}
