"""Which practice is told about a person: the one that treated the person recently.

An organisation treated a person when it is the service provider of an encounter that took place, and recently when that
was in the last `RECENT_DAYS`. For a person of whom no encounter is known, or whose recent encounters name no
organisation, the custodian of the record stands in, then the practice named as general practitioner. A person whose
last encounter is older is treated by nobody.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

import polars as pl

from spv_platform.errors import UsageError

RECENT_DAYS = 365
#: Most organisations that are remembered of a person.
_MOST = 8
_ROLES = {"managing": 0, "general_practitioner": 1}
_ORGANIZATION = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,62}/)?Organization/[A-Za-z0-9\-.]{1,64}")


class TreatedBy(NamedTuple):
    """An organisation of a source that treated a person; `seen` is the day of the encounter, None for a custodian."""

    source: str
    organization: str
    seen: str | None


def treated_by(facts: pl.DataFrame, as_of: date) -> dict[str, list[TreatedBy]]:
    """The organisations by person, best first: by the latest encounter, or else by their part in the record.

    Args:
        facts: of the persons, with `person_id` beside `view.schema.SCHEMA`.
        as_of: the day from which the recent days are counted back.

    Returns:
        Persons without any are not among the keys.
    """
    facts = facts.filter(pl.col("usable"), ~pl.col("deleted"))
    visits = facts.filter(
        pl.col("kind") == "encounter", pl.col("time_start") < datetime.combine(as_of + timedelta(days=1), time())
    )
    recent = visits.filter(pl.col("time_start") >= datetime.combine(_oldest(as_of), time()))
    providers = recent.filter(pl.col("value_text").str.starts_with("Organization/"))
    old_only = visits.join(recent, on="person_id", how="anti").select("person_id")
    custodians = facts.filter(pl.col("kind") == "care_organization").join(
        pl.concat([providers.select("person_id"), old_only]), on="person_id", how="anti"
    )
    place = [pl.col("person_id"), pl.col("source"), pl.col("value_text")]
    seen = (
        providers.group_by(place)
        .agg(seen=pl.col("time_start").max().dt.date().cast(pl.String))
        .sort("person_id", "seen", "source", "value_text", descending=[False, True, False, False])
    )
    kept = (
        custodians.with_columns(role=pl.col("status").replace_strict(_ROLES, return_dtype=pl.Int8))
        .sort("person_id", "role", "source", "value_text")
        .select(*place, seen=pl.lit(None, pl.String))
    )
    found: dict[str, list[TreatedBy]] = {}
    for person_id, *organization in pl.concat([seen, kept]).iter_rows():
        of_person = found.setdefault(person_id, [])
        if len(of_person) < _MOST:
            of_person.append(TreatedBy(*organization))
    return found


def choose(organizations: Sequence[TreatedBy], practices: Mapping[str, str], as_of: date) -> str | None:
    """The practice that stands for the first of the organisations that has one; None: unrouted.

    Args:
        organizations: as `treated_by` gave them, then or earlier.
        practices: practice by organisation, `Organization/id` for every source or `source/Organization/id`.
        as_of: as above; what is not recent any more does not count.
    """
    for source, organization, seen in organizations:
        if seen is not None and date.fromisoformat(seen) < _oldest(as_of):
            continue
        practice = practices.get(f"{source}/{organization}") or practices.get(organization)
        if practice:
            return practice
    return None


def check_organization(organization: str) -> None:
    """Refuse what names no organisation.

    Raises:
        UsageError: it is neither `Organization/ID` nor `FEED/Organization/ID`.
    """
    if not _ORGANIZATION.fullmatch(organization):
        raise UsageError(
            f"organization {organization!r}: write Organization/ID as the encounters name it,"
            " or FEED/Organization/ID where feeds use the same id for different ones"
        )


def _oldest(as_of: date) -> date:
    return as_of - timedelta(days=RECENT_DAYS)
