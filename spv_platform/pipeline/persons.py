"""Finding one person in the published tables."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from spv_platform.envelope.keys import mac
from spv_platform.errors import UsageError
from spv_platform.ledger import audit, publications, records
from spv_platform.pipeline.laboratories import name_laboratories
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader


@dataclass(frozen=True)
class Person:
    """A person's published rows: the view, the verdict per cohort, the criteria behind it."""

    view: dict[str, Any]
    cohorts: pl.DataFrame
    criteria: pl.DataFrame


def look_up(
    platform: Platform, tenant: str, wanted: str, *, source: str, who: str, as_of: date | None = None
) -> Person:
    """A person by enterprise id, `Patient/ID` of a source, or `SYSTEM|VALUE`.

    Args:
        platform: of the installation.
        tenant: whose person.
        wanted: as above.
        source: of `Patient/ID`.
        who: for the audit trail.
        as_of: as it was published at the end of this day (UTC), with the facts, criteria and code tables of then.

    Raises:
        UsageError: nobody, or more than one person, is found, or nothing was published by then.
    """
    opened = reader(platform, tenant, None if as_of is None else _seq_at(platform, tenant, as_of))
    if "patient_view" not in opened.tables():
        raise UsageError(f"tenant {tenant} has no published patients yet: see `spv ledger --tenant {tenant}`")
    views = opened.current("patient_view").filter(_matches(platform, tenant, wanted, source)).collect()
    if views.is_empty():
        raise UsageError(f"tenant {tenant} has no such person: `spv tables patient_view --tenant {tenant}` lists them")
    if views.height > 1:
        ids = ", ".join(views["person_id"].sort())
        raise UsageError(f"{views.height} persons have this identifier: say which of {ids}")
    person_id = views["person_id"].item()
    with platform.db.transaction() as cur:
        audit.write(cur, who, "patient show", tenant, person_id)

    view = views.row(0, named=True)
    criteria = opened.current("criterion_result").filter(person_id=person_id).collect()
    return Person(
        view=view,
        cohorts=opened.current("cohort_verdict").filter(person_id=person_id).collect(),
        criteria=name_laboratories(opened, view["records"], criteria),
    )


def _seq_at(platform: Platform, tenant: str, day: date) -> int:
    with platform.db.transaction() as cur:
        seq = publications.newest_before(cur, tenant, datetime.combine(day + timedelta(days=1), time.min, UTC))
    if not seq:
        raise UsageError(f"tenant {tenant} had published nothing by {day}: choose a later day")
    return seq


def _matches(platform: Platform, tenant: str, wanted: str, source: str) -> pl.Expr:
    if wanted.startswith("Patient/"):
        record = mac(platform.tenant_keys(tenant).index, "record", source, wanted.removeprefix("Patient/"))
        with platform.db.transaction() as cur:
            stored = records.in_force(tenant).read(cur, [record])
        return pl.col("person_id") == (stored[0].person_id if stored else "")
    if "|" in wanted:
        system, _, value = wanted.rpartition("|")
        same = (pl.element().struct.field("system") == system) & (pl.element().struct.field("value") == value)
        return pl.col("identifiers").list.eval(same).list.any()
    return pl.col("person_id") == wanted
