"""How far each tenant's history has been fed, by whom, and the documents that MongoDB refused."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from spv_platform.errors import LeaseLostError
from spv_platform.ledger.db import Cursor, rows_as_dicts


class Turn(NamedTuple):
    """The right to feed a tenant's history; `seq` is the last publication that was fed when the turn began.

    Attributes:
        empty_first: a rebuild was asked for: all documents have to go before the first publication is fed.
    """

    tenant: str
    token: int
    seq: int
    empty_first: bool


class Behind(NamedTuple):
    """A tenant whose history is behind: the last publication fed, and the newest."""

    tenant: str
    seq: int
    newest: int


def take(cur: Cursor, tenant: str, *, hold_s: float, despite_pause: bool) -> Turn | None:
    """Take the turn; None while somebody else has it, or while MongoDB is being left alone.

    Args:
        hold_s: how long the turn lasts if it is not kept.
        despite_pause: ask MongoDB even if it was away a moment ago.
    """
    cur.execute("INSERT INTO ops.history_cursor (tenant) VALUES (%s) ON CONFLICT DO NOTHING", (tenant,))
    cur.execute(
        "UPDATE ops.history_cursor SET token = token + 1, until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE tenant = %s AND until < clock_timestamp() AND (%s OR paused_until < clock_timestamp())"
        " RETURNING tenant, token, seq, empty_first",
        (hold_s, tenant, despite_pause),
    )
    row = cur.fetchone()
    return Turn(*row) if row else None


def keep(cur: Cursor, turn: Turn, *, hold_s: float) -> None:
    """Keep the turn for longer.

    Raises:
        LeaseLostError: somebody else has it.
    """
    _update(cur, turn, "until = clock_timestamp() + make_interval(secs => %s)", hold_s)


def advance(cur: Cursor, turn: Turn, seq: int) -> None:
    """Note that all publications up to this one are in the history.

    Raises:
        LeaseLostError: the turn is somebody else's.
    """
    _update(cur, turn, "seq = %s, paused_until = '-infinity'", seq)


def begin_again(cur: Cursor, turn: Turn) -> None:
    """Start over from the first publication; remembered until `emptied`, whoever feeds next.

    Raises:
        LeaseLostError: the turn is somebody else's.
    """
    _update(cur, turn, "seq = %s, empty_first = true", 0)
    cur.execute("DELETE FROM ops.history_refused WHERE tenant = %s", (turn.tenant,))


def emptied(cur: Cursor, turn: Turn) -> None:
    """Note that all documents are gone.

    Raises:
        LeaseLostError: the turn is somebody else's.
    """
    _update(cur, turn, "empty_first = %s", False)


def empty_again(cur: Cursor, tenant: str) -> None:
    """Start over, whoever has the turn: documents may have gone that somebody else had stored."""
    cur.execute(
        "UPDATE ops.history_cursor SET seq = 0, empty_first = true, token = token + 1, until = '-infinity'"
        " WHERE tenant = %s",
        (tenant,),
    )


def let_go(cur: Cursor, turn: Turn, *, pause_s: float = 0) -> None:
    """End the turn, if it is still ours.

    Args:
        pause_s: how long to leave MongoDB alone.
    """
    cur.execute(
        "UPDATE ops.history_cursor SET until = '-infinity', paused_until = CASE WHEN %s > 0"
        " THEN clock_timestamp() + make_interval(secs => %s) ELSE paused_until END WHERE tenant = %s AND token = %s",
        (pause_s, pause_s, turn.tenant, turn.token),
    )


def forget(cur: Cursor, turn: Turn) -> None:
    """Remove what is known about a tenant's history, the turn too.

    Raises:
        LeaseLostError: the turn is somebody else's.
    """
    _update(cur, turn, "seq = %s", 0)
    cur.execute("DELETE FROM ops.history_refused WHERE tenant = %s", (turn.tenant,))
    cur.execute("DELETE FROM ops.history_cursor WHERE tenant = %s", (turn.tenant,))


def tenants(cur: Cursor) -> list[str]:
    """Tenants that have, or may have, a history, removed ones too."""
    cur.execute("SELECT tenant FROM ops.history_cursor ORDER BY tenant")
    return [tenant for (tenant,) in cur.fetchall()]


def next_stretch(cur: Cursor, tenant: str, after: int, tables: Sequence[str], max_rows: int) -> dict[int, datetime]:
    """The publications after one that are fed next, as many as their rows allow but at least one, with their times."""
    cur.execute(
        "SELECT p.seq, p.published_at, coalesce((SELECT sum(f.rows) FROM ops.staged_file f WHERE f.tenant = p.tenant"
        " AND f.seq = p.seq AND f.table_name = ANY(%s)), 0)::bigint"
        " FROM ops.publication p WHERE p.tenant = %s AND p.seq > %s ORDER BY p.seq LIMIT 500",
        (list(tables), tenant, after),
    )
    stretch: dict[int, datetime] = {}
    total = 0
    for seq, published_at, rows in cur.fetchall():
        total += rows
        if stretch and total > max_rows:
            break
        stretch[seq] = published_at
    return stretch


def behind(cur: Cursor, *, for_s: float = 0) -> list[Behind]:
    """Tenants with a publication that has not been fed for so many seconds, and that nobody is feeding."""
    cur.execute(
        "SELECT p.tenant, coalesce(c.seq, 0), max(p.seq) FROM ops.publication p JOIN ops.tenant t USING (tenant)"
        " LEFT JOIN ops.history_cursor c USING (tenant) WHERE t.removed_at IS NULL AND p.seq > coalesce(c.seq, 0)"
        " AND coalesce(c.until, '-infinity') < clock_timestamp() GROUP BY p.tenant, c.seq"
        " HAVING min(p.published_at) < clock_timestamp() - make_interval(secs => %s) ORDER BY p.tenant",
        (for_s,),
    )
    return [Behind(*row) for row in cur.fetchall()]


def note_refused(cur: Cursor, tenant: str, refused: Iterable[tuple[str, str, str]]) -> None:
    """Remember documents that were refused, as (collection, document id, reason)."""
    execute_values(
        cur,
        "INSERT INTO ops.history_refused (tenant, collection, document_id, reason) VALUES %s"
        " ON CONFLICT (tenant, collection, document_id) DO UPDATE SET reason = excluded.reason,"
        " at = clock_timestamp()",
        [(tenant, *item) for item in refused],
    )


def clear_refused(cur: Cursor, tenant: str, collection: str, document_ids: Sequence[str]) -> None:
    """Forget refusals of documents that have been stored since."""
    cur.execute(
        "DELETE FROM ops.history_refused WHERE tenant = %s AND collection = %s AND document_id = ANY(%s::text[])",
        (tenant, collection, list(document_ids)),
    )


def refused_rows(cur: Cursor, tenant: str | None = None) -> list[dict[str, Any]]:
    """The documents that were refused, for display."""
    cur.execute(
        "SELECT tenant, collection, document_id, reason, at FROM ops.history_refused"
        " WHERE %s::text IS NULL OR tenant = %s ORDER BY tenant, collection, document_id",
        (tenant, tenant),
    )
    return rows_as_dicts(cur)


def status_rows(cur: Cursor) -> list[dict[str, Any]]:
    """Per tenant how far its history is, for display."""
    cur.execute(
        "SELECT t.tenant, coalesce(c.seq, 0) AS fed, coalesce(p.newest, 0) AS newest,"
        " greatest(coalesce(p.newest, 0) - coalesce(c.seq, 0), 0) AS behind,"
        " (SELECT count(*) FROM ops.history_refused r WHERE r.tenant = t.tenant) AS refused FROM ops.tenant t"
        " LEFT JOIN ops.history_cursor c USING (tenant) LEFT JOIN (SELECT tenant, max(seq) AS newest"
        " FROM ops.publication GROUP BY tenant) p USING (tenant) WHERE t.removed_at IS NULL ORDER BY t.tenant"
    )
    return rows_as_dicts(cur)


def _update(cur: Cursor, turn: Turn, change: str, value: object) -> None:
    cur.execute(
        f"UPDATE ops.history_cursor SET {change} WHERE tenant = %s AND token = %s",  # noqa: S608
        (value, turn.tenant, turn.token),
    )
    if not cur.rowcount:
        raise LeaseLostError(f"history of {turn.tenant}")
