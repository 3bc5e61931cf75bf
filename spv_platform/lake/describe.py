"""How a table is described: its columns, where they come from, what they mean, how they may identify a person.

Projection, Delta schema, Dagster column metadata, data dictionary and quality suite are made from descriptions. What
belongs here: the parts that descriptions are made of. What does not: the tables themselves (`lake.tables`,
`view.tables`, `trials.tables`), and how a value is extracted (`fhir.project`).
"""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class Phi(StrEnum):
    """How a column may identify a person (45 CFR 164.514(b)(2) names the identifiers)."""

    NONE = "none"
    CLINICAL = "clinical"
    QUASI = "quasi-identifier"
    DIRECT = "direct identifier"


CODINGS = pl.List(pl.Struct({"system": pl.String, "code": pl.String, "display": pl.String}))
REFERENCES = pl.List(pl.Struct({"reference": pl.String, "key": pl.String, "how": pl.String}))
IDENTIFIERS = pl.List(pl.Struct({"use": pl.String, "type_code": pl.String, "system": pl.String, "value": pl.String}))
NAMES = pl.List(
    pl.Struct(
        {
            "use": pl.String,
            "family": pl.String,
            "given": pl.List(pl.String),
            "suffix": pl.List(pl.String),
            "text": pl.String,
        }
    )
)
ADDRESSES = pl.List(
    pl.Struct(
        {
            "use": pl.String,
            "line": pl.List(pl.String),
            "city": pl.String,
            "state": pl.String,
            "postal_code": pl.String,
            "country": pl.String,
        }
    )
)
#: Where addresses are, one for each: what tells the place without street and name.
PLACES = pl.List(
    pl.Struct(
        {
            "use": pl.String,
            "type": pl.String,
            "state": pl.String,
            "postal_code": pl.String,
            "country": pl.String,
            "latitude": pl.Float64,
            "longitude": pl.Float64,
            "start": pl.Datetime("us"),
            "end": pl.Datetime("us"),
        }
    )
)
TELECOMS = pl.List(pl.Struct({"use": pl.String, "system": pl.String, "value": pl.String}))

_QUANTITY: dict[str, pl.DataType] = {
    "_value": pl.Float64(),
    "_text": pl.String(),
    "_scale": pl.Int64(),
    "_comparator": pl.String(),
    "_unit": pl.String(),
    "_unit_system": pl.String(),
    "_unit_code": pl.String(),
}
_INTERVAL: dict[str, pl.DataType] = {"_start": pl.Datetime("us"), "_end": pl.Datetime("us")}

#: A quantity in one field; the names are those of its columns.
_ONE_QUANTITY = pl.Struct({name.removeprefix("_"): dtype for name, dtype in _QUANTITY.items()})
#: Of components whose value is none of those of `COMPONENTS`, or whose code is in words only, beside these.
COMPONENT_VALUES = pl.List(
    pl.Struct(
        {
            "range_low": _ONE_QUANTITY,
            "range_high": _ONE_QUANTITY,
            "ratio_numerator": _ONE_QUANTITY,
            "ratio_denominator": _ONE_QUANTITY,
            "period_from": pl.String,
            "period_to": pl.String,
            "samples": pl.String,
            "samples_origin": _ONE_QUANTITY,
            # as sent
            "samples_period": pl.String,
            "samples_factor": pl.String,
            "samples_lower": pl.String,
            "samples_upper": pl.String,
            "samples_dimensions": pl.Int64,
            "code_text": pl.String,
        }
    )
)
COMPONENTS = pl.List(
    pl.Struct(
        {
            "code": CODINGS,
            "value": CODINGS,
            "quantity_value": pl.Float64,
            "quantity_text": pl.String,
            "quantity_scale": pl.Int64,
            "quantity_comparator": pl.String,
            "quantity_unit": pl.String,
            "quantity_unit_system": pl.String,
            "quantity_unit_code": pl.String,
            "string": pl.String,
            "integer": pl.Int64,
            "boolean": pl.Boolean,
            "time": pl.String,
            "absent_reason": CODINGS,
            "interpretation": CODINGS,
        }
    )
)

#: Logical column type -> {suffix of the physical column: its Polars type}. An empty suffix is the column itself.
#:
#: ``time`` keeps the text as sent, its precision (year, month, day, second, subsecond) and the half-open interval it
#: stands for. The precision says whether the zone is known: of seconds it is, and the interval is in UTC; of days it is
#: not, and the interval is in calendar time (nothing is guessed). ``period`` has the same of both its ends.
#: ``decimal`` and ``quantity`` keep the number's text and its scale (digits behind the point) beside the float.
#: ``reference`` keeps the text as sent, the key ``Type/id`` it resolves to, and how it was resolved. ``links`` are the
#: same for elements of type url.
PHYSICAL: dict[str, dict[str, pl.DataType]] = {
    "string": {"": pl.String()},
    "strings": {"": pl.List(pl.String)},
    "boolean": {"": pl.Boolean()},
    "integer": {"": pl.Int64()},
    "decimal": {"": pl.Float64(), "_text": pl.String(), "_scale": pl.Int64()},
    "time": {"": pl.String(), **_INTERVAL, "_precision": pl.String()},
    "period": {
        "_from": pl.String(),
        "_to": pl.String(),
        **_INTERVAL,
        "_from_precision": pl.String(),
        "_to_precision": pl.String(),
    },
    "codings": {"": CODINGS},
    "reference": {"": pl.String(), "_key": pl.String(), "_how": pl.String()},
    "references": {"": REFERENCES},
    "links": {"": REFERENCES},
    "quantity": _QUANTITY,
    "components": {"": COMPONENTS},
    "component_values": {"": COMPONENT_VALUES},
    "identifiers": {"": IDENTIFIERS},
    "names": {"": NAMES},
    "addresses": {"": ADDRESSES},
    "places": {"": PLACES},
    "telecoms": {"": TELECOMS},
}


@dataclass(frozen=True)
class Column:
    """One logical column: where it comes from, what it is, what it means, and how it may identify a person.

    Attributes:
        latest_days: the latest day that a time can plausibly have, in days after today; None: any.
    """

    name: str
    path: str
    type: str
    description: str
    phi: Phi = Phi.CLINICAL
    latest_days: int | None = None

    @property
    def physical(self) -> dict[str, pl.DataType]:
        """The physical columns it becomes, by name."""
        return {self.name + suffix: dtype for suffix, dtype in PHYSICAL[self.type].items()}


@dataclass(frozen=True)
class Table:
    """One resource table: the FHIR types it holds and its columns beyond the system columns.

    Attributes:
        patient_path: where the reference to the patient stands; empty when the type has none.
    """

    name: str
    resource_types: tuple[str, ...]
    patient_path: str
    columns: tuple[Column, ...]
    description: str

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """All physical columns of the stored table, system columns first."""
        schema = dict(SYSTEM_COLUMNS)
        for column in self.columns:
            schema.update(column.physical)
        return schema


#: Begins the urls of extensions that change what their resource means (FHIR R4, modifierExtension).
MODIFIER = "modifier:"

#: Columns that every resource table has. A row is one *version* of one resource; the key is
#: (tenant, source, resource_type, resource_id), where the tenant is the table's prefix.
#: Columns that begin with an underscore say how the platform came by the row; they are left out of comparisons.
SYSTEM_COLUMNS: dict[str, pl.DataType] = {
    "source": pl.String(),  # the feed that the object came by
    "resource_type": pl.String(),
    "resource_id": pl.String(),
    "patient_id": pl.String(),  # id of the Patient that the resource is about, in the same source; null: none known
    "deleted": pl.Boolean(),  # a tombstone: all described columns are null
    "versioned": pl.Boolean(),  # the source stated version_time
    "version_time": pl.Datetime("us"),  # meta.lastUpdated, else Bundle.timestamp, UTC; else null
    "version_id": pl.String(),  # meta.versionId
    "digest": pl.String(),  # SHA-256 of the content without generated narrative, hex
    "profiles": pl.List(pl.String),
    # every extension url in the resource, sorted, with repetitions; those of modifierExtension after `MODIFIER`
    "extension_urls": pl.List(pl.String),
    # elements that have a reason for being absent instead of a value: JSON pointer, code (FHIR data-absent-reason)
    "absent": pl.List(pl.Struct({"element": pl.String, "reason": pl.String})),
    "source_object": pl.String(),  # SHA-256 of the opened object, hex: with source_entry the pointer to the master
    "source_entry": pl.Int64(),  # 0-based entry of the Bundle, or line of the NDJSON
    # `Type/id` of the resource that holds this one, whose id is then `id#own`, whose digest and times are the holder's
    "container": pl.String(),
    "full_url": pl.String(),  # of the entry; kept for the types that references from elsewhere are looked up among
    "_landing_seq": pl.Int64(),  # the ledger's sequence number of the object
    "_batch_id": pl.String(),
    # how many resources were known, when the row was made, that its open references could mean, or that say what its
    # drug is; null: it has neither
    "_candidates": pl.Int64(),
}


@dataclass(frozen=True)
class DerivedColumn:
    """One column of a table that is derived from others: its type, what it means, how it may identify a person.

    Attributes:
        sources: the columns that it is made of, as `table.column`.
    """

    name: str
    dtype: pl.DataType
    description: str
    phi: Phi = Phi.CLINICAL
    sources: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """The description, and the sources by table."""
        by_table: dict[str, list[str]] = {}
        for source in self.sources:
            table, _, column = source.partition(".")
            by_table.setdefault(table, []).append(column)
        made_of = "; ".join(f"{table} ({', '.join(columns)})" for table, columns in by_table.items())
        return f"{self.description} Made of: {made_of}." if made_of else self.description


@dataclass(frozen=True)
class DerivedTable:
    """One table that is derived from others: per key the row with the greatest `_seq` is the current one."""

    name: str
    key: tuple[str, ...]
    columns: tuple[DerivedColumn, ...]
    description: str

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """All columns of the stored table, system columns last."""
        return {column.name: column.dtype for column in self.columns} | DERIVED_SYSTEM_COLUMNS


DERIVED_SYSTEM_COLUMNS: dict[str, pl.DataType] = {
    "deleted": pl.Boolean(),  # the key has no row any more
    "_seq": pl.Int64(),  # the publication that wrote the row
}
