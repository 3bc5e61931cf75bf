"""The queue between Dagster and the warm workers: which runs wait, which worker has one, and until when.

A row is a run that waits or is at work; it goes when the run has ended. A worker keeps its run by renewing a lease,
so a run whose worker died is known by a lease that ran out. Nothing here knows what a run does: what becomes of its
batch is decided by the batch's own lease.
"""

from typing import NamedTuple

from spv_platform.ledger.db import Cursor

#: What workers listen to.
CHANNEL = "spv_runs"

#: How long the row of a run whose worker died tells so.
_LOST_FOR = "1 day"


class Place(NamedTuple):
    """Where a run is in the queue.

    Attributes:
        worker: who has it; None while it waits.
        live: whether it waits, or its worker has given a sign of life within the lease.
        ahead: how many other runs have waited longer; 0 once it is taken.
    """

    worker: str | None
    live: bool
    ahead: int


def put(cur: Cursor, run_id: str) -> None:
    """Let a run wait for a worker; putting it twice is putting it once."""
    cur.execute("INSERT INTO ops.run_queue (run_id) VALUES (%s) ON CONFLICT DO NOTHING", (run_id,))
    cur.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def take(cur: Cursor, worker: str, lease_s: float) -> str | None:
    """Take the run that has waited longest; None when none waits. No other worker gets the same."""
    cur.execute(
        "UPDATE ops.run_queue SET worker = %s, lease_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE run_id = (SELECT run_id FROM ops.run_queue WHERE worker IS NULL ORDER BY enqueued_at, run_id"
        " LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING run_id",
        (worker, lease_s),
    )
    row = cur.fetchone()
    return row[0] if row else None


def renew(cur: Cursor, run_id: str, worker: str, lease_s: float) -> bool:
    """Lengthen the lease.

    Returns:
        Whether the run may go on; not so when it is to be cancelled, or is not this worker's any more.
    """
    cur.execute(
        "UPDATE ops.run_queue SET lease_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE run_id = %s AND worker = %s RETURNING NOT cancel",
        (lease_s, run_id, worker),
    )
    row = cur.fetchone()
    return bool(row and row[0])


def finish(cur: Cursor, run_id: str, worker: str) -> None:
    """The worker is done with the run."""
    cur.execute("DELETE FROM ops.run_queue WHERE run_id = %s AND worker = %s", (run_id, worker))


def cancel(cur: Cursor, run_id: str) -> Place | None:
    """Take a waiting run out of the queue, or ask its worker to end it.

    Returns:
        Where the run was; None if it was not in the queue.
    """
    cur.execute("SELECT worker, lease_until FROM ops.run_queue WHERE run_id = %s FOR UPDATE", (run_id,))
    if cur.fetchone() is None:
        return None
    place = find(cur, run_id)
    cur.execute("DELETE FROM ops.run_queue WHERE run_id = %s AND worker IS NULL", (run_id,))
    cur.execute("UPDATE ops.run_queue SET cancel = true WHERE run_id = %s", (run_id,))
    return place


def lose(cur: Cursor, worker: str) -> None:
    """The worker's process is gone: its run must not look alive until the lease runs out."""
    cur.execute("UPDATE ops.run_queue SET lease_until = '-infinity' WHERE worker = %s", (worker,))
    cur.execute(
        "DELETE FROM ops.run_queue WHERE lease_until < clock_timestamp() AND enqueued_at < clock_timestamp() - %s"
        "::interval",
        (_LOST_FOR,),
    )


def is_overdue(cur: Cursor, worker: str) -> bool:
    """Whether the worker has a run whose lease ran out: it gives no sign of life."""
    cur.execute("SELECT FROM ops.run_queue WHERE worker = %s AND lease_until < clock_timestamp()", (worker,))
    return cur.fetchone() is not None


def find(cur: Cursor, run_id: str) -> Place | None:
    """Where a run is; None if it is not in the queue."""
    cur.execute(
        "SELECT worker, coalesce(lease_until > clock_timestamp(), true), CASE WHEN worker IS NULL THEN"
        " (SELECT count(*) FROM ops.run_queue AS other WHERE other.worker IS NULL"
        " AND (other.enqueued_at, other.run_id) < (mine.enqueued_at, mine.run_id)) ELSE 0 END"
        " FROM ops.run_queue AS mine WHERE run_id = %s",
        (run_id,),
    )
    row = cur.fetchone()
    return Place(*row) if row else None


def listening(cur: Cursor) -> int:
    """How many workers wait for runs or work on one, by their open sessions."""
    cur.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s",
        (f"{session_name('')}%",),
    )
    ((count,),) = cur.fetchall()
    return count


def session_name(worker: str) -> str:
    """What the session in which a worker listens is called in the server's list."""
    return f"spv worker {worker}"
