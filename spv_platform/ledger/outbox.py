"""The outbox: news of approvals, written in the commit that makes them, and how far each has been told.

News is one row per person and trial, for ever. It is *due* when it has a practice, the tenant's first load is over, its
next attempt has come, and the approval is still in force: news of an approval that was withdrawn waits until there is
one again. A *digest* is a row of its own that tells many news at once.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extras import Json, execute_values

from spv_platform.ledger.db import Cursor, rows_as_dicts

#: Whether an approval is in force of which the row `o` tells: its own, or one of those a digest gathers.
_IN_FORCE = (
    "EXISTS (SELECT 1 FROM ops.outbox n JOIN ops.approval a ON a.tenant = n.tenant"
    " AND a.person_id = n.payload->>'person' AND a.trial = n.payload->>'trial'"
    " WHERE (n.event_id = o.event_id OR n.digest_id = o.event_id) AND a.status = 'approved')"
)
_UNTOLD = "o.delivered_at IS NULL AND o.dead_at IS NULL"
_DUE = (
    "FROM ops.outbox o JOIN ops.practice p USING (tenant, practice) JOIN ops.tenant t USING (tenant)"
    f" WHERE {_UNTOLD} AND o.digest_id IS NULL AND o.next_attempt_at <= clock_timestamp()"
    " AND t.live_since IS NOT NULL AND t.removed_at IS NULL"
    f" AND p.disabled_at IS NULL AND p.paused_until <= clock_timestamp() AND {_IN_FORCE}"
)
_NEWS = (
    "FROM ops.outbox o JOIN ops.tenant t USING (tenant) LEFT JOIN ops.practice p USING (tenant, practice)"
    " LEFT JOIN ops.outbox d ON d.event_id = o.digest_id WHERE o.kind <> 'digest'"
)
#: How news stands: `withdrawn` has no approval in force, `collected` waits for the digest at the end of the first load,
#: `disabled` for the practice's receiver.
_STATE = (
    "CASE WHEN o.delivered_at IS NOT NULL THEN 'delivered'"
    " WHEN coalesce(o.dead_at, d.dead_at) IS NOT NULL THEN 'dead'"
    f" WHEN NOT {_IN_FORCE} THEN 'withdrawn' WHEN o.practice IS NULL THEN 'unrouted'"
    " WHEN t.live_since IS NULL THEN 'collected' WHEN p.disabled_at IS NOT NULL THEN 'disabled'"
    " WHEN o.digest_id IS NOT NULL THEN 'in_digest' ELSE 'waiting' END"
)
#: Whether the first load of the tenant `t` is worked off; see docs/operating.md.
_WORKED_OFF = (
    "t.live_since IS NULL AND t.removed_at IS NULL"
    " AND EXISTS (SELECT 1 FROM ops.publication p WHERE p.tenant = t.tenant AND p.kind = 'load')"
    " AND EXISTS (SELECT 1 FROM ops.publication p WHERE p.tenant = t.tenant AND p.criteria_version IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM ops.batch b WHERE b.tenant = t.tenant AND b.kind <> 'compact'"
    "   AND b.state IN ('formed', 'claimed', 'staged'))"
    # what is in a batch has been asked for; see `admission._waiting`
    " AND (SELECT true FROM ops.object o WHERE o.tenant = t.tenant AND o.state = 'landed' AND o.batch_id IS NULL"
    "   LIMIT 1) IS NULL"
    " AND greatest((SELECT max(found_at) FROM ops.object o WHERE o.tenant = t.tenant),"
    "   (SELECT max(published_at) FROM ops.publication p WHERE p.tenant = t.tenant AND p.kind <> 'compact'))"
    "   <= clock_timestamp() - make_interval(secs => %s)"
)


class News(NamedTuple):
    """That a person is approved for a trial; `practice` None: unrouted. `treated_by` is sealed, for routing again."""

    event_id: str
    person_id: str
    trial: str
    practice: str | None
    treated_by: bytes


class Attempt(NamedTuple):
    """One row that is to be sent now.

    Attributes:
        attempts: how many there were, with this one.
        gathers: how many news a digest tells.
        secret: of the practice, sealed.
    """

    event_id: str
    kind: str
    practice: str
    attempts: int
    gathers: int | None
    created_at: datetime
    url: str
    secret: bytes


def routed(cur: Cursor, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that are in the outbox and have a practice."""
    cur.execute(
        "SELECT event_id::text FROM ops.outbox WHERE event_id = ANY(%s::uuid[]) AND practice IS NOT NULL",
        (list(event_ids),),
    )
    return {event_id for (event_id,) in cur.fetchall()}


def put(cur: Cursor, tenant: str, kind: str, news: Iterable[News]) -> None:
    """Queue news, each once for ever. One that is there and unrouted is routed anew; any other stays as it is."""
    execute_values(
        cur,
        "INSERT INTO ops.outbox AS o (event_id, tenant, kind, payload, practice, treated_by) VALUES %s"
        " ON CONFLICT (event_id) DO UPDATE SET practice = excluded.practice, treated_by = excluded.treated_by"
        " WHERE o.practice IS NULL",
        [
            (item.event_id, tenant, kind, Json({"person": item.person_id, "trial": item.trial}), *item[3:])
            for item in news
        ],
        template="(%s::uuid, %s, %s, %s, %s, %s)",
        page_size=1000,
    )


def unrouted(cur: Cursor, tenant: str) -> list[tuple[str, bytes | None]]:
    """Event id and sealed organisations of the news that has no practice."""
    cur.execute(
        "SELECT event_id::text, treated_by FROM ops.outbox WHERE tenant = %s AND practice IS NULL AND kind <> 'digest'"
        " ORDER BY event_id",
        (tenant,),
    )
    return cur.fetchall()


def route(cur: Cursor, routes: Iterable[tuple[str, str]]) -> None:
    """Give unrouted news a practice, as (event id, practice)."""
    execute_values(
        cur,
        "UPDATE ops.outbox SET practice = v.practice FROM (VALUES %s) AS v (event_id, practice)"
        " WHERE outbox.event_id = v.event_id AND outbox.practice IS NULL",
        list(routes),
        template="(%s::uuid, %s)",
        page_size=1000,
    )


def unroute(cur: Cursor, tenant: str, practice: str) -> None:
    """Take what was not told to a practice back from it; its digests that were not told are undone."""
    cur.execute(
        f"DELETE FROM ops.outbox o WHERE tenant = %s AND practice = %s AND kind = 'digest' AND {_UNTOLD}",  # noqa: S608
        (tenant, practice),
    )
    cur.execute(
        "UPDATE ops.outbox o SET practice = NULL, digest_id = NULL, attempts = 0, dead_at = NULL,"
        " next_attempt_at = '-infinity' WHERE tenant = %s AND practice = %s AND delivered_at IS NULL"
        " AND kind <> 'digest'",
        (tenant, practice),
    )


def end_first_load(cur: Cursor, tenant: str, *, quiet_s: float | None) -> bool:
    """Make the tenant live if its first load is worked off; whether it became so now. Call `gather` with it.

    Args:
        quiet_s: how long nothing may have landed or been published; None: end it in any case.
    """
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s FOR NO KEY UPDATE", (tenant,))
    due = "t.live_since IS NULL" if quiet_s is None else _WORKED_OFF
    cur.execute(
        f"UPDATE ops.tenant t SET live_since = clock_timestamp() WHERE t.tenant = %s AND {due}",  # noqa: S608
        (tenant,) if quiet_s is None else (tenant, quiet_s),
    )
    return cur.rowcount > 0


def is_live(cur: Cursor, tenant: str) -> bool:
    """Whether the tenant's first load is over."""
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s AND live_since IS NOT NULL", (tenant,))
    return cur.fetchone() is not None


def gather(cur: Cursor, tenant: str, digest_kind: str, practice: str | None = None) -> int:
    """Put all that waits to be told into one digest per practice, or for one practice only; how many digests."""
    cur.execute(
        "SELECT o.practice, o.event_id::text FROM ops.outbox o WHERE o.tenant = %s AND o.kind <> %s"  # noqa: S608
        " AND coalesce(o.practice = %s, o.practice IS NOT NULL) AND o.digest_id IS NULL AND o.attempts = 0"
        f" AND {_UNTOLD} AND {_IN_FORCE} ORDER BY o.practice, o.event_id FOR UPDATE OF o SKIP LOCKED",
        (tenant, digest_kind, practice),
    )
    by_practice: dict[str, list[str]] = defaultdict(list)
    for name, event_id in cur.fetchall():
        by_practice[name].append(event_id)
    for name, event_ids in by_practice.items():
        digest_id = str(uuid.uuid4())
        cur.execute(
            "INSERT INTO ops.outbox (event_id, tenant, kind, payload, practice) VALUES (%s, %s, %s, %s, %s)",
            (digest_id, tenant, digest_kind, Json({"count": len(event_ids)}), name),
        )
        cur.execute("UPDATE ops.outbox SET digest_id = %s WHERE event_id = ANY(%s::uuid[])", (digest_id, event_ids))
    return len(by_practice)


def take(cur: Cursor, tenant: str, *, hold_s: float) -> Attempt | None:
    """Begin an attempt at the row that has been due for longest; nobody else takes it before `hold_s` are over.

    Commit before sending: the attempt counts also if this process dies, and the row is due again after `hold_s`.
    """
    cur.execute(
        f"SELECT o.event_id {_DUE} AND o.tenant = %s"
        " ORDER BY o.next_attempt_at, o.created_at, o.event_id LIMIT 1 FOR UPDATE OF o SKIP LOCKED",
        (tenant,),
    )
    row = cur.fetchone()
    if row is None:
        return None
    cur.execute(
        "UPDATE ops.outbox o SET attempts = o.attempts + 1, next_attempt_at = clock_timestamp()"
        " + make_interval(secs => %s) FROM ops.practice p WHERE o.event_id = %s AND p.tenant = o.tenant"
        " AND p.practice = o.practice RETURNING o.event_id::text, o.kind, o.practice, o.attempts,"
        " (o.payload->>'count')::int, o.created_at, p.url, p.secret",
        (hold_s, row[0]),
    )
    taken = cur.fetchone()
    return Attempt(*taken) if taken else None


def delivered(cur: Cursor, event_id: str, status: str) -> None:
    """Note that the receiver took it, and with a digest all that it gathers."""
    cur.execute(
        "UPDATE ops.outbox SET delivered_at = clock_timestamp(), dead_at = NULL, last_status = %s"
        " WHERE (event_id = %s OR digest_id = %s) AND delivered_at IS NULL",
        (status, event_id, event_id),
    )


def failed(cur: Cursor, attempt: Attempt, status: str, *, again_after_s: float | None) -> None:
    """Note that the receiver did not take it; None: it is dead, a person decides about it."""
    cur.execute(
        "UPDATE ops.outbox SET last_status = %s, next_attempt_at = clock_timestamp()"
        " + make_interval(secs => coalesce(%s, 0)), dead_at = CASE WHEN %s THEN clock_timestamp() END"
        " WHERE event_id = %s AND attempts = %s AND delivered_at IS NULL",
        (status, again_after_s, again_after_s is None, attempt.event_id, attempt.attempts),
    )


def revive(cur: Cursor, tenant: str) -> int:
    """Let the dead be tried again, with a fresh count of attempts; how many."""
    cur.execute(
        "UPDATE ops.outbox SET dead_at = NULL, attempts = 0, next_attempt_at = '-infinity'"
        " WHERE tenant = %s AND dead_at IS NOT NULL",
        (tenant,),
    )
    return cur.rowcount


def tenants_due(cur: Cursor, *, quiet_s: float) -> list[str]:
    """Tenants for which something is due, or whose first load is worked off; sorted."""
    cur.execute(
        f"SELECT DISTINCT o.tenant {_DUE} UNION SELECT t.tenant FROM ops.tenant t WHERE {_WORKED_OFF} ORDER BY 1",  # noqa: S608
        (quiet_s,),
    )
    return [tenant for (tenant,) in cur.fetchall()]


def counts(cur: Cursor, tenant: str) -> dict[str, int]:
    """How many news of a tenant are in each state; digests are not counted, what they tell is."""
    cur.execute(
        f"SELECT {_STATE} AS state, count(*) {_NEWS} AND o.tenant = %s GROUP BY state ORDER BY state",
        (tenant,),
    )
    return dict(cur.fetchall())


def notification_rows(cur: Cursor, tenant: str | None = None, event_id: str | None = None) -> list[dict[str, Any]]:
    """News for display, the oldest first.

    Args:
        tenant: of one tenant only.
        event_id: one event only, or those that a digest tells.
    """
    cur.execute(
        f"SELECT o.event_id::text AS event, o.tenant, {_STATE} AS state,"
        " o.practice, o.payload->>'trial' AS trial, coalesce(d.attempts, o.attempts) AS attempts,"
        " coalesce(d.last_status, o.last_status) AS last_status, o.digest_id::text AS digest, o.created_at,"
        f" o.delivered_at, o.treated_by, o.payload->>'person' AS person {_NEWS}"
        " AND (%(tenant)s::text IS NULL OR o.tenant = %(tenant)s)"
        " AND (%(event)s::uuid IS NULL OR %(event)s::uuid IN (o.event_id, o.digest_id))"
        " ORDER BY o.created_at, o.event_id",
        {"tenant": tenant, "event": event_id},
    )
    return rows_as_dicts(cur)
