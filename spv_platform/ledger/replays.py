"""Objects that are to be processed again, and those that somebody takes for settled.

A replayed object goes back to `landed` with its landing sequence, so its versions keep their place.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from spv_platform.ledger.db import Cursor
from spv_platform.ledger.objects import OF_ACTIVE_FEED
from spv_platform.reasons import OF_OBJECTS


def replay(cur: Cursor, *seqs: int, dry_run: bool = False) -> dict[int, int]:
    """Let objects that are published, quarantined or discarded be processed again, under the contract in force.

    They keep their landing sequence. One whose tenant or feed is still unknown stays quarantined.

    Args:
        cur: the transaction.
        seqs: the objects.
        dry_run: only look which ones.

    Returns:
        Sealed bytes of each that waits now.
    """
    cur.execute(
        f"SELECT seq, size_bytes FROM ops.object WHERE seq = ANY(%s) AND {OF_ACTIVE_FEED}"  # noqa: S608  (text of ours)
        " AND (state IN ('published', 'quarantined') OR (state = 'rejected' AND reason = ANY(%s)))"
        " ORDER BY seq FOR UPDATE",
        (list(seqs), list(OF_OBJECTS)),
    )
    found = dict(cur.fetchall())
    if not dry_run:
        _let_wait(cur, found)
    return found


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
_CAN_BE_REPLAYED = " state IN ('published', 'quarantined') AND" + OF_ACTIVE_FEED


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
        f"SELECT seq FROM ops.object WHERE {_IN_STRETCH} AND {_CAN_BE_REPLAYED} ORDER BY seq FOR UPDATE",  # noqa: S608
        stretch._asdict(),
    )
    _let_wait(cur, [seq for (seq,) in cur.fetchall()])


def _let_wait(cur: Cursor, seqs: Iterable[int]) -> None:
    waiting = list(seqs)
    cur.execute(
        "UPDATE ops.object SET state = 'landed', reason = NULL, batch_id = NULL WHERE seq = ANY(%s)", (waiting,)
    )
    cur.execute(
        "UPDATE ops.entry_quarantine SET state = 'replayed' WHERE object_seq = ANY(%s) AND state = 'open'", (waiting,)
    )
