"""What was set aside of what came in, objects and entries: where and why, never what.

An item has a name: `object-N` by landing sequence, `entry-N` by its row here. It is `open`, `replayed` (tried again, or
about to be), or `discarded` by somebody's decision, which takes nothing away: it stays counted, and where it landed.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from psycopg2.extras import execute_values

from spv_platform.errors import UsageError
from spv_platform.ledger.db import Cursor, rows_as_dicts
from spv_platform.reasons import REASONS


class EntryLike(Protocol):
    """What `put_entries` needs to know of an entry: its number, a JSON pointer into it, a reason code."""

    @property
    def entry(self) -> int: ...  # noqa: D102
    @property
    def pointer(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


def put_entries(cur: Cursor, tenant: str, object_seq: int, rows: Iterable[EntryLike], *, contract: str) -> None:
    """Set entries of an object aside; doing it twice changes nothing. A run calls this after `batches.check`.

    Args:
        cur: the transaction.
        tenant: whose object it is.
        object_seq: the object.
        rows: the entries; several places of one entry are several rows.
        contract: version of the contract that refused them.
    """
    distinct = sorted({(row.entry, row.pointer, row.reason) for row in rows})
    execute_values(
        cur,
        "INSERT INTO ops.entry_quarantine (tenant, object_seq, contract, entry, pointer, reason) VALUES %s"
        " ON CONFLICT (object_seq, entry, pointer, reason) DO UPDATE"
        " SET state = 'open', contract = excluded.contract, at = clock_timestamp()"
        " WHERE entry_quarantine.state = 'replayed'",
        [(tenant, object_seq, contract, *row) for row in distinct],
        page_size=1000,
    )


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
    state: str | None = None,
    name: str | None = None,
) -> list[dict[str, Any]]:
    """Objects and entries that were set aside, in landing order; all that match what is given.

    Raises:
        UsageError: there is no item of that name.
    """
    cur.execute(
        "SELECT * FROM ("
        " SELECT 'object-' || seq AS item, 'object' AS level, tenant, feed, seq, key, version, NULL::int AS entry,"
        "   NULL AS pointer, reason, contract, found_at AS at,"
        "   CASE state WHEN 'quarantined' THEN 'open' ELSE 'discarded' END AS state FROM ops.object"
        "   WHERE state = 'quarantined' OR (state = 'rejected' AND reason = ANY(%(of_objects)s))"
        " UNION ALL SELECT 'entry-' || entry.id, 'entry', entry.tenant, feed, seq, key, version, entry.entry,"
        "   entry.pointer, entry.reason, entry.contract, entry.at, entry.state"
        "   FROM ops.entry_quarantine AS entry JOIN ops.object ON object.seq = entry.object_seq"
        ") AS items WHERE (%(tenant)s IS NULL OR tenant = %(tenant)s) AND (%(feed)s IS NULL OR feed = %(feed)s)"
        " AND (%(reason)s IS NULL OR reason = %(reason)s) AND (%(state)s IS NULL OR state = %(state)s)"
        " AND (%(name)s IS NULL OR item = %(name)s) ORDER BY seq, entry NULLS FIRST, pointer",
        {
            "tenant": tenant,
            "feed": feed,
            "reason": reason,
            "state": state,
            "name": name,
            "of_objects": [code for code, known in REASONS.items() if known.level == "object"],
        },
    )
    found = rows_as_dicts(cur)
    if name and not found:
        raise UsageError(f"nothing of the name {name!r} was set aside: see `spv quarantine list --state all`")
    return found


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
