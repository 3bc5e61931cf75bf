"""What the content of a feed is made of, so that what is new in it can be told: the drift radar.

What belongs here: the table `feed_content` and what goes into it. What does not: what is new and who is told
(`pipeline.drift`).
"""

from collections.abc import Iterator

import polars as pl

from spv_platform.lake.describe import CODINGS, DerivedColumn, DerivedTable, Phi, Table

FEED_CONTENT = DerivedTable(
    "feed_content",
    ("source", "kind", "resource_type", "value"),
    (
        DerivedColumn("source", pl.String(), "The feed.", Phi.NONE),
        DerivedColumn(
            "kind", pl.String(), "element, extension, profile, code system or unit; elements by a sample.", Phi.NONE
        ),
        DerivedColumn("resource_type", pl.String(), "The FHIR type in which it was seen.", Phi.NONE),
        DerivedColumn(
            "value", pl.String(), "Dotted path, url, system, or unit as sent (its code, else its words).", Phi.CLINICAL
        ),
    ),
    "What a feed's content has been made of so far, since when is told by the publication in `_seq`.",
)
COLUMNS = [column.name for column in FEED_CONTENT.columns]
#: Of a column of `component_values`.
_QUANTITIES = ("range_low", "range_high", "ratio_numerator", "ratio_denominator", "samples_origin")


def vocabulary(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Extension urls, profiles, code systems and units of a table's rows, each once.

    Args:
        table: as described.
        rows: of its schema.

    Returns:
        The columns of `FEED_CONTENT` that are its key.
    """
    # most columns of most batches are empty, and to ask one costs as much as to ask a full one of a small batch
    asked = [
        rows.lazy()
        .select("source", pl.lit(kind).alias("kind"), "resource_type", value=values)
        .explode("value")
        .drop_nulls("value")
        .unique()
        for columns, kind, values in _values(table)
        if any(rows[column].null_count() < rows.height for column in columns)
    ]
    nothing = pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    return pl.concat([nothing, *pl.collect_all(asked)]).unique()


def elements(source: str, paths: set[tuple[str, str]]) -> pl.DataFrame:
    """The same columns for elements, given (resource type, path)."""
    rows = [(source, "element", resource_type, path) for resource_type, path in sorted(paths)]
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def _values(table: Table) -> Iterator[tuple[tuple[str, ...], str, pl.Expr]]:
    """For each thing that has something of the kind: its columns, the kind, an expression for lists of values."""
    yield ("extension_urls",), "extension", pl.col("extension_urls")
    yield ("profiles",), "profile", pl.col("profiles")
    part = pl.element().struct
    for column in table.columns:
        for name, dtype in column.physical.items():
            if dtype == CODINGS:
                yield (name,), "code system", pl.col(name).list.eval(part.field("system"))
            if name.endswith("_unit"):
                yield (f"{name}_system",), "code system", pl.concat_list(f"{name}_system")
                yield (name, f"{name}_code"), "unit", pl.concat_list(pl.coalesce(f"{name}_code", name))
        if column.type == "components":
            for field in ("code", "value", "absent_reason", "interpretation"):
                systems = part.field(field).list.eval(part.field("system"))
                yield (column.name,), "code system", pl.col(column.name).list.eval(systems.list.explode())
            systems = pl.col(column.name).list.eval(part.field("quantity_unit_system"))
            yield (column.name,), "code system", systems
            unit = pl.coalesce(part.field("quantity_unit_code"), part.field("quantity_unit"))
            yield (column.name,), "unit", pl.col(column.name).list.eval(unit)
        if column.type == "component_values":
            for field in _QUANTITIES:
                quantity = part.field(field).struct
                systems = pl.col(column.name).list.eval(quantity.field("unit_system"))
                yield (column.name,), "code system", systems
                unit = pl.coalesce(quantity.field("unit_code"), quantity.field("unit"))
                yield (column.name,), "unit", pl.col(column.name).list.eval(unit)
