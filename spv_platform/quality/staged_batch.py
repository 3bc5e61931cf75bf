"""What is expected of a staged batch: of its rows, and of each feed that they came by.

Times, references and codes stand in many columns. What a row comes to in them is measured here, as the tables'
descriptions have it: how many of its columns fall short. So Great Expectations sees counts instead of values, and a
suite is the same for every batch.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import polars as pl

from spv_platform.fhir.references import CLOSED_ENDS, OPEN_ENDS
from spv_platform.lake.describe import Column, Table
from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.quality.expectations import GENDERS, Suite, key_expectations

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

GATE = "staged_batch"
#: Nothing in a living record is older.
EARLIEST_YEAR = 1900

_SHA256_HEX = "^[0-9a-f]{64}$"
#: With the id of a contained resource behind that of its container.
_FHIR_ID = r"^[A-Za-z0-9\-.]{1,64}(?:#[A-Za-z0-9\-.]{1,64})?$"
#: Ways in which a reference may have no key: it waits in the queue, or there is nothing to wait for.
_WITHOUT_KEY = [*OPEN_ENDS, *CLOSED_ENDS]

# Text of this kind says who somebody is, so it is no code: a social security number, a North American telephone number,
# an e-mail address. Digits alone are left to codes: a SNOMED code can have nine of them.
_BEFORE, _AFTER = r"(?:^|[^0-9A-Za-z.\-])", r"(?:$|[^0-9A-Za-z.\-])"
_SSN = r"\d{3}-\d{2}-\d{4}"
_PHONE = r"(?:\+?1[ .\-]?)?(?:\(\d{3}\) ?|\d{3}[ .\-])\d{3}[ .\-]\d{4}"
_INTERNATIONAL_PHONE = r"\+\d[\d ().\-]{7,}\d"
_EMAIL = r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}"
_IDENTIFIER_LIKE = f"{_BEFORE}(?:{_SSN}|{_PHONE}|{_INTERNATIONAL_PHONE}|{_EMAIL}){_AFTER}|us-ssn|^(?:tel|mailto):"

_KEPT = (*RESOURCE_KEY, "digest", "source_object")

_Falls = Callable[[Column, date], pl.Expr | None]


def _too_early(column: Column, _today: date) -> pl.Expr | None:
    if column.type not in ("time", "period"):
        return None
    return pl.col(f"{column.name}_start").dt.year() < EARLIEST_YEAR


def _in_the_future(column: Column, today: date) -> pl.Expr | None:
    if column.latest_days is None:
        return None
    return pl.col(f"{column.name}_start").dt.date() > today + timedelta(days=column.latest_days)


def _dangling(column: Column, _today: date) -> pl.Expr | None:
    def dangles(text: pl.Expr, key: pl.Expr, how: pl.Expr) -> pl.Expr:
        there = text.is_not_null() | how.is_not_null()
        return there & key.is_null() & ~how.is_in(_WITHOUT_KEY).fill_null(value=False)

    if column.type == "reference":
        return dangles(pl.col(column.name), pl.col(f"{column.name}_key"), pl.col(f"{column.name}_how"))
    if column.type == "references":
        each = pl.element().struct
        return pl.col(column.name).list.eval(dangles(*map(each.field, ("reference", "key", "how")))).list.any()
    return None


def _identifier_like(column: Column, _today: date) -> pl.Expr | None:
    def codings(list_: pl.Expr) -> pl.Expr:
        each = pl.element().struct
        found = [each.field(name).str.contains(_IDENTIFIER_LIKE).fill_null(value=False) for name in ("system", "code")]
        return list_.list.eval(reduce(or_, found)).list.any().fill_null(value=False)

    if column.type == "codings":
        return codings(pl.col(column.name))
    if column.type == "components":
        parts = [codings(pl.element().struct.field(name)) for name in ("code", "value", "interpretation")]
        return pl.col(column.name).list.eval(reduce(or_, parts)).list.any()
    return None


#: What a row is measured by: in how many of its columns it falls short.
MEASURES: dict[str, _Falls] = {
    "times_too_early": _too_early,
    "times_in_the_future": _in_the_future,
    "dangling_references": _dangling,
    "identifier_like_codes": _identifier_like,
}


def measure(table: Table, rows: pl.DataFrame, today: date) -> pl.DataFrame:
    """The columns that `ROWS` judges, of one table's staged rows, and `open_references`, which wait for a target."""
    stated = _stated(table, rows)
    measures = {name: _total(list(_falls(falls, stated, today).values())) for name, falls in MEASURES.items()}
    gender = pl.col("gender") if any(column.name == "gender" for column in stated) else pl.lit(None, pl.String)
    return rows.select(*_KEPT, gender=gender, **measures, open_references=_total(_open_ends(stated)))


def places(table: Table, rows: pl.DataFrame, today: date, name: str) -> dict[str, int]:
    """In which columns of the table how many rows fall short by a measure; columns in which none does are left out."""
    falls = _falls(MEASURES[name], _stated(table, rows), today)
    counts = rows.select(**{f"{table.name}.{column}": expr.sum() for column, expr in falls.items()})
    return {place: int(count[0]) for place, count in counts.to_dict(as_series=False).items() if count[0]}


def _stated(table: Table, rows: pl.DataFrame) -> list[Column]:
    """The columns that have a value in some row: most have none, and nothing falls short in them."""
    nulls = rows.null_count().row(0, named=True)
    return [column for column in table.columns if any(nulls[name] < rows.height for name in column.physical)]


def _rows() -> "list[Expectation]":
    from great_expectations import expectations as gxe

    return [
        *key_expectations(RESOURCE_KEY, unique=False),
        gxe.ExpectColumnValuesToMatchRegex(column="resource_id", regex=_FHIR_ID),
        gxe.ExpectColumnValuesToMatchRegex(column="digest", regex=_SHA256_HEX),
        gxe.ExpectColumnValuesToMatchRegex(column="source_object", regex=_SHA256_HEX),
        gxe.ExpectColumnValuesToBeInSet(column="gender", value_set=GENDERS),
        *(gxe.ExpectColumnValuesToBeBetween(column=name, max_value=0) for name in MEASURES),
    ]


def _feeds() -> "list[Expectation]":
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="quarantine_limit", column_B="quarantined_share", or_equal=True
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="queued_references", column_B="open_references", or_equal=True
        ),
    ]


#: Of `measure`'s rows: keys are there, gender and dates are plausible, references have a key or may wait for one, and
#: nothing in a coded column looks like an identifier.
ROWS = Suite("staged_rows", _rows)
#: Of the feeds: columns `source`, `quarantined_share`, `quarantine_limit`, `open_references`, `queued_references`.
FEEDS = Suite("staged_feeds", _feeds)


def _falls(falls: _Falls, columns: list[Column], today: date) -> dict[str, pl.Expr]:
    found = {column.name: falls(column, today) for column in columns}
    return {name: expr.fill_null(value=False) for name, expr in found.items() if expr is not None}


def _open_ends(columns: list[Column]) -> list[pl.Expr]:
    found = []
    for column in columns:
        if column.type == "reference":
            open_ = pl.col(f"{column.name}_how").is_in(list(OPEN_ENDS)) & pl.col(f"{column.name}_key").is_null()
            found.append(open_.fill_null(value=False))
        elif column.type == "references":
            part = pl.element().struct
            waits = part.field("how").is_in(list(OPEN_ENDS)) & part.field("key").is_null()
            found.append(pl.col(column.name).list.eval(waits).list.sum().fill_null(0))
    return found


def _total(parts: list[pl.Expr]) -> pl.Expr:
    """A count per row; a table without such columns has none."""
    if not parts:
        return pl.lit(0, pl.Int64)
    return pl.sum_horizontal(part.cast(pl.Int64) for part in parts)
