"""Objects that are to be processed again, and those that somebody takes for settled.

A replayed object goes back to `landed` with its landing sequence, so its versions keep their place.
"""

from datetime import datetime
from typing import NamedTuple

from spv_platform.ledger.db import Cursor
from spv_platform.ledger.objects import active_feeds, owner, refusal
from spv_platform.reasons import REASONS


def replay(cur: Cursor, seq: int) -> bool:
    """Let an object that is published, quarantined or discarded be processed again, under the contract in force.

    It keeps its landing sequence. An object whose tenant or feed is still unknown stays quarantined.

    Returns:
        Whether it waits now.
    """
    cur.execute("SELECT key, size_bytes, state, reason FROM ops.object WHERE seq = %s FOR UPDATE", (seq,))
    row = cur.fetchone()
    if row is None:
        return False
    key, size_bytes, state, reason = row
    discarded = state == "rejected" and REASONS[reason].level == "object"
    if not discarded and state not in ("quarantined", "published"):
        return False
    if refusal(*owner(key), size_bytes, active_feeds(cur)):
        return False
    cur.execute("UPDATE ops.object SET state = 'landed', reason = NULL, batch_id = NULL WHERE seq = %s", (seq,))
    cur.execute("UPDATE ops.entry_quarantine SET state = 'replayed' WHERE object_seq = %s AND state = 'open'", (seq,))
    return True


def discard(cur: Cursor, seq: int) -> bool:
    """Take a quarantined object for settled: `rejected`, with its reason; whether it was quarantined."""
    cur.execute("UPDATE ops.object SET state = 'rejected' WHERE seq = %s AND state = 'quarantined'", (seq,))
    return bool(cur.rowcount)


class Stretch(NamedTuple):
    """Objects of a tenant: of one feed, if given, and landed from `since` on and before `until`, with a time zone."""

    tenant: str
    feed: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_IN_STRETCH = (
    " tenant = %(tenant)s AND (%(feed)s IS NULL OR feed = %(feed)s)"
    " AND landed_at >= coalesce(%(since)s, '-infinity'::timestamptz)"
    " AND landed_at < coalesce(%(until)s, 'infinity'::timestamptz)"
)
_CAN_BE_REPLAYED = (
    " state IN ('published', 'quarantined') AND size_bytes > 0 AND feed IN (SELECT feed FROM ops.feed"
    " JOIN ops.tenant USING (tenant) WHERE tenant = %(tenant)s AND removed_at IS NULL)"
)


def replayable(cur: Cursor, stretch: Stretch) -> tuple[int, int, int]:
    """How many objects `replay_all` would let wait, their sealed bytes, and how many it would leave alone."""
    cur.execute(
        f"SELECT count(*) FILTER (WHERE {_CAN_BE_REPLAYED}),"  # noqa: S608  (text of ours)
        f" coalesce(sum(size_bytes) FILTER (WHERE {_CAN_BE_REPLAYED}), 0)::bigint,"
        f" count(*) FILTER (WHERE NOT ({_CAN_BE_REPLAYED})) FROM ops.object WHERE {_IN_STRETCH}",
        stretch._asdict(),
    )
    ((objects, size, left),) = cur.fetchall()
    return objects, size, left


def replay_all(cur: Cursor, stretch: Stretch) -> None:
    """Let the objects that are published or quarantined be processed again; see `replay`."""
    cur.execute(
        f"UPDATE ops.object SET state = 'landed', reason = NULL, batch_id = NULL"  # noqa: S608  (texts of ours)
        f" WHERE {_IN_STRETCH} AND {_CAN_BE_REPLAYED} RETURNING seq",
        stretch._asdict(),
    )
    cur.execute(
        "UPDATE ops.entry_quarantine SET state = 'replayed' WHERE object_seq = ANY(%s) AND state = 'open'",
        ([seq for (seq,) in cur.fetchall()],),
    )
