"""The single patient view: one row per person, made from the facts of the person's records.

What belongs here: which facts are shown, in which order, and how a single value is chosen when records differ. The
view keeps differences visible: lists hold what every source says, with a pointer to the resource that says it.
"""

import polars as pl

from spv_platform.view.order import sort_rows
from spv_platform.view.tables import COLUMNS, FACT, IDENTIFIER, RECORD, TEXT, VARIANT

_ENCOUNTERS_SHOWN = 5
#: Columns in which facts of two resources differ: person, times, and what names the resource.
_FIRST = 7
_BY_SOURCE = ("identifier", "name", "address", "telecom")
#: What a result is one of: its first code, else its words.
_TEST = pl.coalesce(pl.col("codes").list.first(), "display", "resource_id")
_ENDED = ("inactive", "resolved", "remission")
_NO_MEDICATION = (":entered-in-error", ":not-taken", ":not-done", ":cancelled", ":declined", ":draft")

#: Column -> (kind, fields, only usable facts).
_LISTS: dict[str, tuple[str, dict[str, pl.DataType], bool]] = {
    "problems": ("condition", FACT, True),
    "cancers": ("cancer", FACT, True),
    "metastases": ("metastasis", FACT, True),
    "stages": ("stage", FACT, True),
    "tnm": ("tnm", FACT, True),
    "ecog": ("ecog", FACT, True),
    "karnofsky": ("karnofsky", FACT, True),
    "tumor_markers": ("tumor_marker", FACT, True),
    "variants": ("variant", VARIANT, True),
    "regions_studied": ("region_studied", VARIANT, True),
    "tmb": ("tmb", FACT, True),
    "msi": ("msi", FACT, True),
    "mmr": ("mmr", FACT, True),
    "medications": ("medication", FACT, False),
    "allergies": ("allergy", FACT, True),
    "procedures": ("procedure", FACT, True),
    "immunizations": ("immunization", FACT, True),
    "latest_results": ("lab", FACT, True),
    "last_encounters": ("encounter", FACT, True),
}
#: What a column is of whom nothing is known, and every column. An expression takes longer to make than to evaluate.
_NOTHING = {
    column.name: pl.col(column.name).fill_null(pl.lit([], dtype=column.dtype))
    for column in COLUMNS
    if isinstance(column.dtype, pl.List)
} | {
    "encounter_count": pl.col("encounter_count").fill_null(0),
    "opted_out": pl.col("opted_out").fill_null(value=False),
}
_AS_DESCRIBED = [pl.col(column.name).cast(column.dtype) for column in COLUMNS]


def patient_view(facts: pl.DataFrame) -> pl.DataFrame:
    """One row per person.

    Args:
        facts: facts of all records of the persons, with `person_id` beside `view.schema.SCHEMA`.

    Returns:
        The columns of `view.tables.PATIENT_VIEW`, without its system columns, sorted by `person_id`. The same facts
        give the same frame whatever their order.
    """
    view = facts.select("person_id").unique().sort("person_id")
    facts = facts.filter(~pl.col("deleted")).with_columns(date="time")
    ordered = sort_rows(_without_earlier_results(facts), _order(facts), _FIRST, descending=("time_start", "known"))
    columns = [_records(facts), *_identity(ordered), *_shown(ordered), _encounters(ordered), _opted_out(ordered)]
    for column in columns:
        view = view.join(column, on="person_id", how="left")
    return view.with_columns(**_NOTHING).select(_AS_DESCRIBED).sort("person_id")


def _order(facts: pl.DataFrame) -> list[str]:
    """Latest first, then everything else, so that no tie is left to chance; lists last, they are slow to compare."""
    first = ["person_id", "time_start", "known"]
    rest = {name: dtype for name, dtype in facts.schema.items() if name not in first}
    return [*first, *sorted(rest, key=lambda name: isinstance(rest[name], pl.List))]


def _list_of(rows: pl.DataFrame, name: str, fields: dict[str, pl.DataType]) -> pl.DataFrame:
    return rows.group_by("person_id", maintain_order=True).agg(pl.struct(*fields).alias(name))


def _shown(facts: pl.DataFrame) -> list[pl.DataFrame]:
    lists = []
    for name, (kind, fields, usable_only) in _LISTS.items():
        rows = facts.filter((pl.col("kind") == kind) & (pl.col("usable") | (not usable_only)))
        if name in ("problems", "allergies"):
            rows = rows.filter(~pl.col("status").is_in(_ENDED).fill_null(False))
        if name == "medications":
            refused = pl.any_horizontal(pl.col("status").str.ends_with(end) for end in _NO_MEDICATION)
            rows = rows.filter(~refused.fill_null(False))
        if name == "latest_results":
            rows = _latest(rows)
        if name == "last_encounters":
            rows = rows.group_by("person_id", maintain_order=True).head(_ENCOUNTERS_SHOWN)
        lists.append(_list_of(rows, name, fields))
    return lists


def _without_earlier_results(facts: pl.DataFrame) -> pl.DataFrame:
    """The facts without results that are not shown since a later one of the same test is: most facts are such."""
    result = pl.col("kind") == "lab"
    results = facts.filter(result & pl.col("usable"))
    newest = pl.col("time_start").max().over("person_id", _TEST)
    return pl.concat([facts.filter(~result), results.filter((pl.col("time_start") == newest) | newest.is_null())])


def _latest(results: pl.DataFrame) -> pl.DataFrame:
    """The first of each test of a person."""
    return results.with_columns(_test=_TEST).unique(["person_id", "_test"], keep="first", maintain_order=True)


def _records(facts: pl.DataFrame) -> pl.DataFrame:
    records = facts.select("person_id", *RECORD).unique().sort("person_id", *RECORD)
    return records.group_by("person_id", maintain_order=True).agg(
        sources=pl.col("source").unique().sort(), records=pl.struct(*RECORD)
    )


def _identity(facts: pl.DataFrame) -> list[pl.DataFrame]:
    by_source = facts.filter(pl.col("kind").is_in(_BY_SOURCE)).sort(
        "person_id", "source", "patient_id", "value_text", maintain_order=True
    )

    def stated(kind: str, **fields: pl.Expr) -> pl.DataFrame:
        return by_source.filter(pl.col("kind") == kind).with_columns(**fields)

    text = {"use": pl.col("status"), "text": pl.col("value_text")}
    identifier = {
        "type": pl.col("codes").list.first(),
        "use": pl.col("status"),
        "system": pl.col("value_text").str.extract(r"^([^|]*)\|", 1),
        "value": pl.col("value_text").str.extract(r"^[^|]*\|(?s)(.*)$", 1),
    }
    newest = facts.filter(pl.col("resource_type") == "Patient").sort(
        "person_id",
        "version_time",
        pl.when(~pl.col("versioned")).then("_landing_seq"),
        "source",
        "patient_id",
        descending=[False, True, True, False, False],
        nulls_last=True,
        maintain_order=True,
    )

    def chosen(kind: str, **values: pl.Expr) -> pl.DataFrame:
        rows = newest.filter(pl.col("kind") == kind)
        if kind == "name":
            rank = pl.col("status").replace_strict(
                {"official": 0, "usual": 1, None: 2}, default=3, return_dtype=pl.Int8
            )
            rows = rows.with_columns(_rank=rank).sort("person_id", "_rank", maintain_order=True)
        return rows.unique("person_id", keep="first", maintain_order=True).select("person_id", **values)

    died = facts.filter(pl.col("kind") == "deceased").sort("time_start", "time", nulls_last=True, maintain_order=True)
    return [
        _list_of(stated("identifier", **identifier), "identifiers", IDENTIFIER),
        _list_of(stated("name", **text), "names", TEXT),
        _list_of(stated("address", **text), "addresses", TEXT),
        _list_of(stated("telecom", **text), "telecoms", TEXT),
        chosen("name", name=pl.col("value_text")),
        chosen("gender", gender=pl.col("value_text")),
        chosen("birth_sex", birth_sex=pl.col("value_text")),
        chosen(
            "birth_date",
            birth_date=pl.col("time"),
            birth_date_start=pl.col("time_start"),
            birth_date_end=pl.col("time_end"),
        ),
        died.group_by("person_id", maintain_order=True).agg(
            deceased=(pl.col("polarity") == "present").any(),
            deceased_date=pl.col("time").filter(pl.col("polarity") == "present").first(),
        ),
    ]


def _encounters(facts: pl.DataFrame) -> pl.DataFrame:
    took_place = facts.filter((pl.col("kind") == "encounter") & pl.col("usable"))
    return took_place.group_by("person_id", maintain_order=True).agg(
        encounter_count=pl.len(), last_encounter=pl.col("time").first()
    )


def _opted_out(facts: pl.DataFrame) -> pl.DataFrame:
    denied = facts.filter((pl.col("kind") == "opt_out") & pl.col("usable"))
    return denied.select("person_id", opted_out=pl.lit(True)).unique()
