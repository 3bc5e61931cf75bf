"""The data dictionary: all tables and columns as one page of Markdown, made from their descriptions."""

from collections.abc import Iterable

import polars as pl

from spv_platform.analytics.tables import TABLES as ANALYST_TABLES
from spv_platform.lake.describe import DerivedTable, Phi, Table
from spv_platform.lake.tables import TABLES as RESOURCE_TABLES
from spv_platform.quality.drift import FEED_CONTENT
from spv_platform.trials.concepts import PATIENT_FACT
from spv_platform.trials.tables import TABLES as TRIAL_TABLES
from spv_platform.view.tables import PATIENT_VIEW

_HEAD = """# Tables

Made by `spv docs tables` from the descriptions in the code; `make docs` writes it anew.

How a column may identify a person: **direct identifier** (45 CFR 164.514(b)(2) names it), **quasi-identifier**
(together with others), **clinical** (says something of a person's health), **none**.
"""
_RESOURCES = """## Resource tables
One row per version of a FHIR resource, as its source sent it. Every one of these tables also has the system columns
`source`, `resource_type`, `resource_id`, `patient_id`, `deleted`, `versioned`, `version_time`, `version_id`, `digest`,
`profiles`, `extension_urls`, `absent`, `container`, `source_object`, `source_entry`, `full_url` and, for the platform,
`_landing_seq`, `_batch_id` and `_candidates`.
A column of type time, quantity, reference and the like is several columns in the table; they are listed beside it.
"""
_DERIVED = """## Patients and trials
Per key the row with the greatest `_seq`, the publication that wrote it, is the current one; with `deleted` there is
none.
"""
_FEEDS = """## Feeds
"""
_ANALYSTS = """## Analyst tables
In `<tenant>/analytics/`, under a key of their own (`spv analytics key`). Made anew each night from the newest
publication; persons who opted out of research are left out. Pseudonyms and shifts of dates are kept over builds.
Ages and ZIP codes follow 45 CFR 164.514(b)(2)(i)(B) and (C). **Dates do not**: a shifted date is no safe harbor, it
rests on an expert's determination under 164.514(b)(1), which is yours to obtain before the tables leave your hands.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, _RESOURCES, *map(_resource, RESOURCE_TABLES), _DERIVED]
    parts += map(_derived, (PATIENT_VIEW, PATIENT_FACT, *TRIAL_TABLES))
    parts += [_FEEDS, _derived(FEED_CONTENT)]
    parts += [_ANALYSTS, *map(_derived, ANALYST_TABLES)]
    return "\n".join(parts)


def _resource(table: Table) -> str:
    rows = [
        (
            _names(column.physical),
            column.type,
            column.phi,
            f"{column.description} `{column.path}`" if column.path else "",
        )
        for column in table.columns
    ]
    types = f"FHIR types: {', '.join(table.resource_types)}." if table.resource_types else ""
    return _section(table.name, f"{table.description} {types}".strip(), rows)


def _derived(table: DerivedTable) -> str:
    rows = [(f"`{column.name}`", _type(column.dtype), column.phi, column.meaning) for column in table.columns]
    key = f" Key: {', '.join(table.key)}." if table.key else ""
    return _section(table.name, f"{table.description}{key}", rows)


def _section(name: str, description: str, rows: Iterable[tuple[str, str, Phi, str]]) -> str:
    lines = [f"### {name}", description, "", "| column | type | identifies | meaning |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _names(physical: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in physical)


def _type(dtype: object) -> str:
    if isinstance(dtype, pl.List):
        return f"list of {_type(dtype.inner)}"
    if isinstance(dtype, pl.Struct):
        return f"({', '.join(field.name for field in dtype.fields)})"
    return str(dtype).partition("(")[0].lower()
