"""What was set aside of what came in, objects and entries: where and why, never what.

An item has a name for as long as it is set aside: `object-N` by landing sequence, `entry-N` by its row here. It is
`open`, `replayed` (about to be tried again), or `discarded` by somebody's decision, which takes nothing away: it stays
counted, and where it landed. Its level says how much is wrong: an `object`, an `entry` as such, or one `field` of an
entry, which is set aside with it, since a row without the field would say that the source said nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from psycopg2.extras import execute_values

from spv_platform.errors import UsageError
from spv_platform.ledger.db import Cursor, rows_as_dicts
from spv_platform.reasons import OF_OBJECTS


class EntryLike(Protocol):
    """What `put_entries` needs to know of an entry: its number, a JSON pointer into it, a reason code."""

    @property
    def entry(self) -> int: ...  # noqa: D102
    @property
    def pointer(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


def put_entries(cur: Cursor, tenant: str, object_seq: int, rows: Iterable[EntryLike], *, contract: str) -> None:
    """Set entries of an object aside, and no others of it; doing it twice changes nothing.

    One that was set aside before keeps its name, and stays discarded if it is. A run calls this after `batches.check`.

    Args:
        cur: the transaction.
        tenant: whose object it is.
        object_seq: the object.
        rows: the entries; several places of one entry are several rows.
        contract: version of the contract that refused them.
    """
    distinct = sorted({(row.entry, row.pointer, row.reason) for row in rows})
    cur.execute(
        "DELETE FROM ops.entry_quarantine WHERE object_seq = %s AND (entry, pointer, reason) NOT IN"
        " (SELECT * FROM unnest(%s::int[], %s::text[], %s::text[]))",
        (object_seq, *([row[part] for row in distinct] for part in range(3))),
    )
    execute_values(
        cur,
        "INSERT INTO ops.entry_quarantine (tenant, object_seq, contract, entry, pointer, reason) VALUES %s"
        " ON CONFLICT (object_seq, entry, pointer, reason) DO UPDATE"
        " SET state = 'open', contract = excluded.contract, at = clock_timestamp()"
        " WHERE entry_quarantine.state = 'replayed'",
        [(tenant, object_seq, contract, *row) for row in distinct],
        page_size=1000,
    )


def forget_replayed(cur: Cursor, object_seq: int) -> None:
    """Take away the entries of an object that were to be tried again: it is refused as a whole now."""
    cur.execute("DELETE FROM ops.entry_quarantine WHERE object_seq = %s AND state = 'replayed'", (object_seq,))


def list_entries(
    cur: Cursor, tenant: str | None = None, *, object_seq: int | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """Entries that were set aside, oldest first; `state` is `open` or `replayed`."""
    cur.execute(
        "SELECT entry_quarantine.id, entry_quarantine.tenant, object_seq,"
        " bucket || '/' || key || '@' || version AS object, entry, pointer, entry_quarantine.reason,"
        " entry_quarantine.contract, at, entry_quarantine.state"
        " FROM ops.entry_quarantine JOIN ops.object ON object.seq = object_seq"
        " WHERE (%(tenant)s IS NULL OR entry_quarantine.tenant = %(tenant)s)"
        " AND (%(object_seq)s IS NULL OR object_seq = %(object_seq)s)"
        " AND (%(state)s IS NULL OR entry_quarantine.state = %(state)s)"
        " ORDER BY id",
        {"tenant": tenant, "object_seq": object_seq, "state": state},
    )
    return rows_as_dicts(cur)


def items(
    cur: Cursor,
    tenant: str | None = None,
    *,
    feed: str | None = None,
    reason: str | None = None,
    level: str | None = None,
    since: datetime | None = None,
    state: str | None = None,
    name: str | None = None,
) -> list[dict[str, Any]]:
    """Objects and entries that were set aside, in landing order; all that match what is given.

    Args:
        cur: the transaction.
        tenant: whose.
        feed: of this feed.
        reason: of this reason code.
        level: of this level: `object`, `entry` or `field`.
        since: set aside from then on, with a time zone.
        state: `open`, `replayed` or `discarded`.
        name: the one of this name.

    Raises:
        UsageError: there is no item of that name.
    """
    cur.execute(
        "SELECT * FROM ("
        " SELECT 'object-' || seq AS item, 'object' AS level, tenant, feed, seq, key, version, attempt,"
        "   NULL::int AS entry, NULL AS pointer, reason, contract,"
        "   coalesce((SELECT max(step.at) FROM ops.batch_step AS step"
        "     WHERE step.batch_id = object.batch_id AND step.step = 'staged'), found_at) AS at,"
        "   CASE state WHEN 'quarantined' THEN 'open' ELSE 'discarded' END AS state FROM ops.object"
        "   WHERE state = 'quarantined' OR (state = 'rejected' AND reason = ANY(%(of_objects)s))"
        " UNION ALL SELECT 'entry-' || entry.id, CASE entry.pointer WHEN '' THEN 'entry' ELSE 'field' END,"
        "   entry.tenant, feed, seq, key, version, attempt, entry.entry,"
        "   entry.pointer, entry.reason, entry.contract, entry.at, entry.state"
        "   FROM ops.entry_quarantine AS entry JOIN ops.object ON object.seq = entry.object_seq"
        ") AS items WHERE (%(tenant)s IS NULL OR tenant = %(tenant)s) AND (%(feed)s IS NULL OR feed = %(feed)s)"
        " AND (%(reason)s IS NULL OR reason = %(reason)s) AND (%(state)s IS NULL OR state = %(state)s)"
        " AND (%(level)s IS NULL OR level = %(level)s)"
        " AND at >= coalesce(%(since)s, '-infinity'::timestamptz)"
        " AND (%(name)s IS NULL OR item = %(name)s) ORDER BY seq, entry NULLS FIRST, pointer",
        {
            "tenant": tenant,
            "feed": feed,
            "reason": reason,
            "since": since,
            "state": state,
            "name": name,
            "level": level,
            "of_objects": list(OF_OBJECTS),
        },
    )
    found = rows_as_dicts(cur)
    if name and not found:
        raise UsageError(f"nothing of the name {name!r} is set aside: see `spv quarantine list --state all`")
    return found


def number_of(name: str, kind: str) -> int | None:
    """The number in an item's name, if it is one of the kind `object` or `entry`."""
    found, _, number = name.partition("-")
    return int(number) if found == kind and number.isdecimal() and len(number) < 19 else None


def discard_entry(cur: Cursor, number: int) -> bool:
    """Take an entry that is open for settled; whether it was open."""
    cur.execute(
        "UPDATE ops.entry_quarantine SET state = 'discarded' WHERE id = %s AND state = 'open'",
        (number,),
    )
    return bool(cur.rowcount)


def reopen_entry(cur: Cursor, number: int) -> None:
    """Take a decision about an entry back, so that a replay judges it."""
    cur.execute("UPDATE ops.entry_quarantine SET state = 'open' WHERE id = %s AND state = 'discarded'", (number,))
