"""What is kept and what nothing will ask for again: attempts, publications, and rows of the ledger itself.

Whatever is garbage stays garbage: an attempt that is over never comes back, and a publication only gets older.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from spv_platform.ledger.db import Cursor

#: Whether the row's attempt is the one that may still be published.
_CURRENT = (
    "EXISTS (SELECT FROM ops.batch AS b WHERE b.batch_id = row.batch_id AND b.attempt = row.attempt"
    " AND b.state IN ('formed', 'claimed', 'staged'))"
)
_GARBAGE = {
    "candidate_rows": f"ops.candidate_record AS row WHERE NOT {_CURRENT}",
    "staged_rows": f"ops.staged_file AS row WHERE seq IS NULL AND NOT {_CURRENT}"
    " AND NOT EXISTS (SELECT FROM ops.batch_step AS s WHERE s.batch_id = row.batch_id AND s.at >= %(collect)s)",
    "queue_rows": "ops.run_queue AS row WHERE lease_until < %(collect)s",
    # That of a batch which is still set aside says that somebody knows.
    "alert_rows": "ops.alert AS row WHERE coalesce(told_at, dead_at) < %(forget)s"
    " AND NOT EXISTS (SELECT FROM ops.batch AS b WHERE b.batch_id = row.batch_id AND b.state = 'set_aside')",
}


class Fate(NamedTuple):
    """What is needed of the files of one batch.

    Attributes:
        current: the attempt that may still be published; None: the batch is over.
        published: (table, path) of the files that are part of a publication.
    """

    current: int | None
    published: frozenset[tuple[str, str]]


class Pins(NamedTuple):
    """What the kept publications pin of a table: versions of its base, and the least version of its log."""

    bases: frozenset[int]
    log: int


def cutoff(cur: Cursor, hours: float) -> datetime:
    """The time so many hours ago, by the database's clock."""
    cur.execute("SELECT clock_timestamp() - make_interval(secs => %s)", (hours * 3600,))
    ((at,),) = cur.fetchall()
    return at


def troubled(cur: Cursor, tenant: str, since: datetime) -> list[str]:
    """Batches that may have left files behind, and that something happened to since then.

    These are the ones that had more than one attempt, and those that were not published.
    """
    cur.execute(
        "SELECT batch_id FROM ops.batch AS b WHERE tenant = %s AND kind <> 'compact'"
        " AND (attempt > 1 OR state IN ('set_aside', 'rejected'))"
        " AND EXISTS (SELECT FROM ops.batch_step AS s WHERE s.batch_id = b.batch_id AND s.at >= %s) ORDER BY batch_id",
        (tenant, since),
    )
    return [batch_id for (batch_id,) in cur.fetchall()]


def fates(cur: Cursor, tenant: str, batch_ids: Sequence[str]) -> dict[str, Fate]:
    """What is needed of the files of these batches; those that the ledger does not know are not among the keys."""
    cur.execute(
        "SELECT b.batch_id, CASE WHEN b.state IN ('formed', 'claimed', 'staged') THEN b.attempt END,"
        " coalesce(array_agg(f.table_name) FILTER (WHERE f.path IS NOT NULL), '{}'),"
        " coalesce(array_agg(f.path) FILTER (WHERE f.path IS NOT NULL), '{}')"
        " FROM ops.batch AS b LEFT JOIN ops.staged_file AS f ON f.batch_id = b.batch_id AND f.seq IS NOT NULL"
        " WHERE b.tenant = %s AND b.batch_id = ANY(%s) GROUP BY b.batch_id",
        (tenant, list(batch_ids)),
    )
    return {
        batch_id: Fate(current, frozenset(zip(tables, paths, strict=True)))
        for batch_id, current, tables, paths in cur.fetchall()
    }


def oldest_kept(cur: Cursor, tenant: str, *, days: float, count: int) -> int:
    """The least publication that is kept: it was read within so many days, or is one of so many newest; 0: none is."""
    cur.execute(
        "SELECT greatest(min(seq), least(max(seq) - %s + 1, coalesce("
        "max(seq) FILTER (WHERE published_at <= clock_timestamp() - make_interval(secs => %s)), min(seq))))"
        " FROM ops.publication WHERE tenant = %s",
        (max(count, 1), days * 86_400, tenant),
    )
    ((seq,),) = cur.fetchall()
    return seq or 0


def pins_from(cur: Cursor, tenant: str, seq: int) -> dict[str, Pins]:
    """What publications from one on pin, by table."""
    cur.execute(
        "SELECT key, coalesce(array_agg(DISTINCT (value->>'current')::bigint)"
        " FILTER (WHERE value->>'current' IS NOT NULL), '{}'), min((value->>'log')::bigint)"
        " FROM ops.publication, jsonb_each(tables) WHERE tenant = %s AND seq >= %s GROUP BY key",
        (tenant, seq),
    )
    return {table: Pins(frozenset(bases), log) for table, bases, log in cur.fetchall()}


def compacting(cur: Cursor, tenant: str) -> bool:
    """Whether a compaction of the tenant may have files that no version of a table refers to yet."""
    cur.execute(
        "SELECT FROM ops.batch WHERE tenant = %s AND kind = 'compact' AND state IN ('formed', 'claimed', 'staged')",
        (tenant,),
    )
    return cur.fetchone() is not None


def let_bases_go(cur: Cursor, tenant: str, before_seq: int) -> None:
    """From now on, read publications before this one from the log alone."""
    cur.execute(
        "UPDATE ops.tenant SET bases_from = %s WHERE tenant = %s AND bases_from < %s", (before_seq, tenant, before_seq)
    )


def runs_to_keep(cur: Cursor) -> set[str]:
    """Runs that say what is going on with a batch, or why it is set aside."""
    cur.execute("SELECT run_id FROM ops.batch WHERE state IN ('claimed', 'staged', 'set_aside') AND run_id IS NOT NULL")
    return {run_id for (run_id,) in cur.fetchall()}


def clear(cur: Cursor, *, collect: datetime, forget: datetime, dry_run: bool) -> dict[str, int]:
    """Delete, or only count, the rows that nothing will ask for again.

    Args:
        cur: the transaction.
        collect: what was touched since then is left alone.
        forget: alerts that were settled since then are kept.
        dry_run: only count.
    """
    found = {}
    for name, rows in _GARBAGE.items():
        statement = f"SELECT count(*) FROM {rows}" if dry_run else f"DELETE FROM {rows}"  # noqa: S608  (texts of ours)
        cur.execute(statement, {"collect": collect, "forget": forget})
        found[name] = cur.fetchall()[0][0] if dry_run else cur.rowcount
    return found
