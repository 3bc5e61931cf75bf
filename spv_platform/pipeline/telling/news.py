"""News of approvals: which there is in a batch, and whom it is for. Sending it is in `notifying`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from spv_platform.envelope.keys import open_state, seal_state
from spv_platform.ledger import outbox, practices, tenants
from spv_platform.ledger.approvals import Verdict
from spv_platform.ledger.db import Cursor
from spv_platform.ledger.outbox import News
from spv_platform.notify.message import POTENTIALLY_ELIGIBLE, news_id
from spv_platform.notify.routing import TreatedBy, choose, treated_by
from spv_platform.pipeline.platform import Platform


@dataclass(frozen=True)
class Candidate:
    """A person who is approved for a trial, and the organisations that treated the person."""

    event_id: str
    person_id: str
    trial: str
    treated_by: list[TreatedBy]


def candidates(
    platform: Platform, tenant: str, facts: pl.DataFrame, verdicts: Iterable[Verdict], as_of: date
) -> list[Candidate]:
    """One for each person and trial of which a verdict approves a cohort, whether or not it is new.

    Args:
        facts: of the persons, with `person_id` beside `view.schema.SCHEMA`.
        as_of: the day that recent treatment is counted back from.
    """
    approved = sorted({(verdict.person_id, verdict.trial) for verdict in verdicts if verdict.approved})
    persons = list({person_id for person_id, _ in approved})
    organizations = treated_by(facts.filter(pl.col("person_id").is_in(persons)), as_of)
    index_key = platform.tenant_keys(tenant).index
    return [
        Candidate(news_id(index_key, person_id, trial), person_id, trial, organizations.get(person_id, []))
        for person_id, trial in approved
    ]


def put(platform: Platform, cur: Cursor, tenant: str, news: list[Candidate]) -> None:
    """Enter what is new into the outbox, and route what was unrouted; part of the commit.

    Once news has a practice, it stays there. Call it after `tenants.check_active`, which `practices.lock` waits for.
    """
    routed = outbox.routed(cur, [item.event_id for item in news])
    state_key, routes = platform.tenant_keys(tenant).state, practices.routes(cur, tenant)
    _, day = tenants.zone_and_day(cur, tenant)
    rows = [
        News(
            item.event_id,
            item.person_id,
            item.trial,
            choose(item.treated_by, routes, day),
            seal_state(state_key, json.dumps(item.treated_by).encode(), _context(item.event_id)),
        )
        for item in news
        if item.event_id not in routed
    ]
    outbox.put(cur, tenant, POTENTIALLY_ELIGIBLE, rows)


def route_unrouted(platform: Platform, cur: Cursor, tenant: str) -> int:
    """Route what no practice stood for by the practices of now; how many were routed."""
    routes, (_, day) = practices.routes(cur, tenant), tenants.zone_and_day(cur, tenant)
    chosen = [
        (event_id, choose(organizations_of(platform, tenant, event_id, sealed), routes, day))
        for event_id, sealed in outbox.unrouted(cur, tenant)
    ]
    found = [(event_id, practice) for event_id, practice in chosen if practice]
    outbox.route(cur, found)
    return len(found)


def organizations_of(platform: Platform, tenant: str, event_id: str, sealed: bytes | None) -> list[TreatedBy]:
    """The organisations that were sealed with a piece of news.

    Raises:
        PermanentError: the tenant's key does not open them.
    """
    if sealed is None:
        return []
    document = open_state(platform.tenant_keys(tenant).state, sealed, _context(event_id))
    return [TreatedBy(*item) for item in json.loads(document)]


def _context(event_id: str) -> bytes:
    return f"treated by {event_id}".encode()
