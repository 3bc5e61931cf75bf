"""Small parts that every extraction of facts shares: the shape of a fact row and the expressions for its time.

What belongs here: expressions without knowledge of a resource type. What does not: any code of a terminology
(`codes`), any rule of one resource type (`observations`, `variants`, `clinical`, `demographics`).
"""

import polars as pl

from spv_platform.view.schema import SCHEMA, VERSION_COLUMNS

EMPTY = pl.DataFrame(schema=SCHEMA)
#: What a column of a fact is unless somebody says otherwise. An expression takes longer to make than to evaluate.
_GIVEN = {
    name: (pl.col(name) if name in VERSION_COLUMNS else pl.lit(None)).cast(dtype).alias(name)
    for name, dtype in SCHEMA.items()
} | {"usable": pl.lit(value=True).alias("usable")}


def fact_rows(rows: pl.DataFrame, kind: str | pl.Expr, **values: pl.Expr) -> pl.DataFrame:
    """Facts from rows that carry the version columns.

    Args:
        rows: one row per fact.
        kind: the kind of all of them, or an expression that gives each its own.
        values: columns of `SCHEMA`; those left out are null, `usable` is true.

    Returns:
        A frame with exactly `SCHEMA`.
    """
    if rows.is_empty():
        return EMPTY
    values["kind"] = pl.lit(kind) if isinstance(kind, str) else kind
    said = {name: value.cast(SCHEMA[name]).alias(name) for name, value in values.items()}
    return rows.select((_GIVEN | said).values())


def live(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that say something: no tombstones."""
    return rows.filter(~pl.col("deleted"))


def own_type() -> pl.Expr:
    """The type of the resource itself: a row from inside of another resource has the key of that one."""
    return pl.coalesce(pl.col("container").str.extract("^([^/]*)/"), "resource_type")


def when_true(point: str, period: str = "") -> dict[str, pl.Expr]:
    """`time`, `time_start`, `time_end` from a `time` column, else from a `period` column.

    A period counts from its start as sent; one without an end has no `time_end`.
    """
    if not period:
        return {"time": pl.col(point), "time_start": pl.col(f"{point}_start"), "time_end": pl.col(f"{point}_end")}
    stated = pl.col(point).is_not_null()
    return {
        "time": pl.coalesce(point, f"{period}_from", f"{period}_to"),
        "time_start": pl.when(stated).then(f"{point}_start").otherwise(f"{period}_start"),
        "time_end": pl.when(stated).then(f"{point}_end").otherwise(f"{period}_end"),
    }


def conditions_in(references: str) -> pl.Expr:
    """The keys of the conditions among a column of references."""
    key = pl.element().struct.field("key")
    return pl.col(references).list.eval(key.filter(key.str.starts_with("Condition/")))


def of_specimen() -> dict[str, pl.Expr]:
    """`specimen` and `specimen_display` of a result: a specimen that cannot be referred to has an identifier."""
    identifier = identifier_keys("specimen_identifier").list.first()
    return {"specimen": pl.coalesce("specimen_key", identifier), "specimen_display": pl.col("specimen_display")}


def identifier_keys(identifiers: str) -> pl.Expr:
    """A column of identifiers as "system|value"."""
    each = pl.element().struct
    key = pl.concat_str(each.field("system").fill_null(""), pl.lit("|"), each.field("value"))
    return pl.col(identifiers).list.eval(key.drop_nulls())


def laboratory() -> pl.Expr:
    """Who made a result: the first performer that is no person, by name, else by key.

    A name cannot be told to be of a certain performer unless all have one.
    """
    performers, named = pl.col("performer"), pl.col("performer_display")
    each = pl.element().struct
    key = pl.coalesce(each.field("key"), each.field("reference"))
    organisation = ~key.str.contains(_PERSON).fill_null(value=False)
    place = performers.list.eval(organisation).list.arg_max()
    some = performers.list.eval(organisation).list.any().fill_null(value=False)
    all_named = named.list.len() == performers.list.len()
    name = pl.when(all_named).then(named.list.get(place, null_on_oob=True))
    alone = pl.when(performers.list.len().fill_null(0) == 0).then(named.list.first())
    return pl.coalesce(pl.when(some).then(pl.coalesce(name, performers.list.eval(key).list.get(place))), alone)


_PERSON = r"(?:^|/)(?:Practitioner|PractitionerRole|Patient|RelatedPerson|CareTeam)/"


def has_profile(name: str) -> pl.Expr:
    """Whether a resource says that it keeps a profile of this name, which may be a pattern."""
    return pl.col("profiles").list.eval(pl.element().str.contains(rf"/{name}(?:\||$)")).list.any().fill_null(False)
