"""Facts of Patient resources: who the patient is."""

import polars as pl

from spv_platform.view.rows import fact_rows, live
from spv_platform.view.schema import VERSION_COLUMNS


def facts_of_patients(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Identifiers, names, sex, birth, death, addresses, contact points and organisations of rows of table `patient`.

    `status` holds the `use` of an identifier, name, address or contact point, and the role of an organisation:
    `managing` or `general_practitioner`. Identifiers of use `old` and `temp` are not usable.
    """
    rows = live(rows)
    stated = {name: rows.filter(pl.col(name).is_not_null()) for name in ("gender", "birth_sex", "birth_date")}
    return [
        _identifiers(rows),
        _names(rows),
        fact_rows(stated["gender"], "gender", value_text=pl.col("gender")),
        fact_rows(stated["birth_sex"], "birth_sex", value_text=pl.col("birth_sex")),
        fact_rows(
            stated["birth_date"],
            "birth_date",
            time=pl.col("birth_date"),
            time_start=pl.col("birth_date_start"),
            time_end=pl.col("birth_date_end"),
        ),
        _deceased(rows),
        _addresses(rows),
        _places(rows),
        _telecoms(rows),
        *_organizations(rows),
    ]


def _each(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    items = rows.select(*VERSION_COLUMNS, item=pl.col(column)).filter(pl.col("item").list.len() > 0)
    return items.explode("item").unnest("item")


def _identifiers(rows: pl.DataFrame) -> pl.DataFrame:
    items = _each(rows, "identifier").filter(pl.col("value").is_not_null())
    return fact_rows(
        items,
        "identifier",
        codes=pl.concat_list("type_code").list.drop_nulls(),
        value_text=pl.concat_str(pl.col("system").fill_null(""), pl.lit("|"), "value"),
        status=pl.col("use"),
        usable=~pl.col("use").is_in(["old", "temp"]).fill_null(False),
    )


def _names(rows: pl.DataFrame) -> pl.DataFrame:
    given = pl.col("given").list.join(" ", ignore_nulls=True).replace("", None)
    suffix = pl.col("suffix").list.join(" ", ignore_nulls=True).replace("", None)
    parts = pl.concat_str(pl.col("family"), given, suffix, separator=", ", ignore_nulls=True).replace("", None)
    items = _each(rows, "name").with_columns(full=pl.coalesce(parts, "text")).filter(pl.col("full").is_not_null())
    return fact_rows(items, "name", value_text=pl.col("full"), status=pl.col("use"))


def _deceased(rows: pl.DataFrame) -> pl.DataFrame:
    died = pl.col("deceased_time").is_not_null()
    stated = rows.filter(died | pl.col("deceased").is_not_null())
    return fact_rows(
        stated,
        "deceased",
        polarity=pl.when(died | pl.col("deceased")).then(pl.lit("present")).otherwise(pl.lit("absent")),
        time=pl.col("deceased_time"),
        time_start=pl.col("deceased_time_start"),
        time_end=pl.col("deceased_time_end"),
    )


def _addresses(rows: pl.DataFrame) -> pl.DataFrame:
    lines = pl.col("line").list.join(", ", ignore_nulls=True).replace("", None)
    region = pl.concat_str("state", "postal_code", separator=" ", ignore_nulls=True).replace("", None)
    full = pl.concat_str(lines, pl.col("city"), region, pl.col("country"), separator=", ", ignore_nulls=True)
    items = _each(rows, "address").with_columns(full=full.replace("", None)).filter(pl.col("full").is_not_null())
    return fact_rows(items, "address", value_text=pl.col("full"), status=pl.col("use"))


def _places(rows: pl.DataFrame) -> pl.DataFrame:
    """Where somebody lives, as far as an address tells: not where bills or letters go, and where somebody works."""
    items = _each(rows, "place")
    point = pl.concat_str(pl.lit("geo:"), "latitude", pl.lit(","), "longitude")
    elsewhere = pl.col("use").is_in(["old", "temp", "billing", "work"]) | (pl.col("type") == "postal")
    return fact_rows(
        items.filter(pl.col("latitude").is_not_null() | pl.col("postal_code").is_not_null()),
        "place",
        value_text=point,
        value_codes=pl.concat_list(pl.col("country", "state", "postal_code").fill_null("")),
        status=pl.col("use"),
        usable=~elsewhere.fill_null(value=False),
        time_start=pl.col("start"),
        time_end=pl.col("end"),
    )


def _telecoms(rows: pl.DataFrame) -> pl.DataFrame:
    items = _each(rows, "telecom").filter(pl.col("value").is_not_null())
    text = pl.concat_str(pl.col("system").fill_null("other"), pl.lit(":"), "value")
    return fact_rows(items, "telecom", value_text=text, status=pl.col("use"))


def _organizations(rows: pl.DataFrame) -> list[pl.DataFrame]:
    def named(key: str, role: str, items: pl.DataFrame) -> pl.DataFrame:
        found = items.filter(pl.col(key).str.starts_with("Organization/"))
        return fact_rows(found, "care_organization", value_text=pl.col(key), status=pl.lit(role))

    return [
        named("managing_organization_key", "managing", rows),
        named("key", "general_practitioner", _each(rows, "general_practitioner")),
    ]
