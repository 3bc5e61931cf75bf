"""How a batch and its objects move from state to state, for `batches` and `claims`; callers hold the batch's row."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg2.extras import Json

from spv_platform.ledger.db import Cursor
from spv_platform.reasons import REASONS


def insert(
    cur: Cursor, tenant: str, kind: str, *, objects: int = 0, size_bytes: int = 0, criteria_version: int | None = None
) -> str:
    """Make a batch in state `formed`; its new name."""
    # Not a number from a sequence: after a restore of the database it would name files that exist already.
    batch_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
    cur.execute(
        "INSERT INTO ops.batch (batch_id, tenant, kind, objects, bytes, criteria_version)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (batch_id, tenant, kind, objects, size_bytes, criteria_version),
    )
    return batch_id


def give_back(cur: Cursor, batch_id: str, *, pause_s: float, max_attempts: int, counts: bool = True) -> bool:
    """Back to `formed` with the next attempt, after a pause; False when there is none left: the batch is set aside.

    Args:
        cur: the transaction.
        batch_id: the batch.
        pause_s: no run is requested before it is over.
        max_attempts: how many may fail.
        counts: whether the batch may be the reason of the failure. If not, it is no attempt of these, for a day. If
            so, the second one takes the batch apart, so that one object cannot take the others with it.
    """
    cur.execute(
        "UPDATE ops.batch SET state = 'formed', attempt = attempt + 1, open_from = attempt + 1, run_id = NULL,"
        " excused = excused + (NOT %s AND created_at > clock_timestamp() - interval '1 day')::int,"
        " lease_until = NULL, requested_at = NULL, not_before = clock_timestamp() + make_interval(secs => %s)"
        " WHERE batch_id = %s",
        (counts, pause_s, batch_id),
    )
    begin_attempt(cur, batch_id, "landed")
    if set_aside_if_exhausted(cur, batch_id, max_attempts):
        return False
    if counts:
        _take_apart_if_failing(cur, batch_id)
    return True


def set_aside_if_exhausted(cur: Cursor, batch_id: str, max_attempts: int) -> bool:
    """Set the batch aside if it had all its attempts; whether it had."""
    cur.execute(
        "SELECT attempt - budget_from - excused >= %s FROM ops.batch WHERE batch_id = %s", (max_attempts, batch_id)
    )
    ((exhausted,),) = cur.fetchall()
    if exhausted:
        set_aside(cur, batch_id, "attempts_exhausted")
    return exhausted


def set_aside(cur: Cursor, batch_id: str, reason: str, details: Mapping[str, Any] | None = None) -> None:
    """Set a batch and its objects aside; what is quarantined keeps its own reason.

    Args:
        cur: the transaction.
        batch_id: the batch.
        reason: a code for batches.
        details: what there is to say beside it: codes, places and counts, no values.
    """
    if REASONS[reason].level != "batch":
        raise ValueError(f"{reason} is no reason for a batch")
    cur.execute(
        "UPDATE ops.batch SET state = 'set_aside', reason = %s, details = %s, lease_until = NULL WHERE batch_id = %s",
        (reason, Json(dict(details)) if details else None, batch_id),
    )
    cur.execute(
        "UPDATE ops.object SET state = 'set_aside', reason = %s"
        " WHERE batch_id = %s AND state IN ('landed', 'claimed', 'staged')",
        (reason, batch_id),
    )


def set_aside_removed(cur: Cursor) -> None:
    """Set the open batches of removed tenants aside."""
    cur.execute(
        "SELECT batch_id FROM ops.batch JOIN ops.tenant USING (tenant) WHERE removed_at IS NOT NULL"
        " AND state IN ('formed', 'claimed', 'staged') ORDER BY batch_id FOR UPDATE OF batch"
    )
    for (batch_id,) in cur.fetchall():
        set_aside(cur, batch_id, "tenant_removed")


def move_objects(cur: Cursor, batch_id: str, state: str) -> None:
    """Move the objects of a batch with it; what this attempt has quarantined stays."""
    cur.execute(
        "UPDATE ops.object SET state = %(state)s, alone = alone AND %(state)s <> 'published',"
        " was_published = was_published OR %(state)s = 'published'"
        " WHERE batch_id = %(batch)s AND state IN ('landed', 'claimed', 'staged')",
        {"state": state, "batch": batch_id},
    )


def _take_apart_if_failing(cur: Cursor, batch_id: str) -> None:
    """Leave a batch that has failed more than once its first object; each of the others waits for one of its own."""
    cur.execute(
        "UPDATE ops.object SET batch_id = NULL, alone = true FROM ops.batch AS batch"
        " WHERE object.batch_id = %(batch)s AND batch.batch_id = %(batch)s AND object.state = 'landed'"
        " AND batch.attempt - batch.budget_from - batch.excused > 1"
        " AND seq > (SELECT min(seq) FROM ops.object WHERE batch_id = %(batch)s)",
        {"batch": batch_id},
    )
    if cur.rowcount:
        cur.execute(
            "UPDATE ops.batch SET (objects, bytes) = (SELECT count(*), sum(size_bytes) FROM ops.object"
            " WHERE object.batch_id = batch.batch_id) WHERE batch_id = %s",
            (batch_id,),
        )


def begin_attempt(cur: Cursor, batch_id: str, state: str) -> None:
    """Put the objects of a batch into a state for a new attempt, which judges and counts each of them afresh.

    Not those that are published, nor those that somebody took for settled.

    What an object holds does not change: its digest stays, by which rows of earlier batches find their master.
    """
    cur.execute(
        "SELECT seq FROM ops.object WHERE batch_id = %s AND state NOT IN ('published', 'rejected')", (batch_id,)
    )
    judged = [seq for (seq,) in cur.fetchall()]
    cur.execute(
        "UPDATE ops.entry_quarantine SET state = 'replayed' WHERE object_seq = ANY(%s) AND state = 'open'", (judged,)
    )
    cur.execute("DELETE FROM ops.reference_queue WHERE object_seq = ANY(%s)", (judged,))
    cur.execute(
        "UPDATE ops.object SET state = %s, reason = NULL, entries = NULL, accepted = NULL, tombstones = NULL,"
        " duplicates = NULL, superseded = NULL, quarantined = NULL, contained = NULL, same_as = NULL"
        " WHERE seq = ANY(%s)",
        (state, judged),
    )
