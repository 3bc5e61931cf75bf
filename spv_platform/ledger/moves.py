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


def give_back(cur: Cursor, batch_id: str, *, not_before: datetime | None, max_attempts: int) -> bool:
    """Back to `formed` with the next attempt; False when there is none left, and the batch is set aside."""
    cur.execute(
        "UPDATE ops.batch SET state = 'formed', attempt = attempt + 1, open_from = attempt + 1, run_id = NULL,"
        " lease_until = NULL, requested_at = NULL, not_before = %s WHERE batch_id = %s",
        (not_before, batch_id),
    )
    begin_attempt(cur, batch_id, "landed")
    return not set_aside_if_exhausted(cur, batch_id, max_attempts)


def set_aside_if_exhausted(cur: Cursor, batch_id: str, max_attempts: int) -> bool:
    """Set the batch aside if it had all its attempts; whether it had."""
    cur.execute("SELECT attempt - budget_from >= %s FROM ops.batch WHERE batch_id = %s", (max_attempts, batch_id))
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
        "UPDATE ops.object SET state = %s WHERE batch_id = %s AND state IN ('landed', 'claimed', 'staged')",
        (state, batch_id),
    )


def begin_attempt(cur: Cursor, batch_id: str, state: str) -> None:
    """Put all objects of a batch into a state for a new attempt, which judges and counts each of them afresh."""
    for table, kept in (("entry_quarantine", " AND state <> 'discarded'"), ("reference_queue", "")):
        cur.execute(
            f"DELETE FROM ops.{table} WHERE object_seq IN"  # noqa: S608  (names of ours)
            " (SELECT seq FROM ops.object WHERE batch_id = %s AND state <> 'published')" + kept,
            (batch_id,),
        )
    cur.execute(
        "UPDATE ops.object SET state = %s, reason = NULL, plain_digest = NULL, plain_bytes = NULL, entries = NULL,"
        " accepted = NULL, tombstones = NULL, duplicates = NULL, superseded = NULL, quarantined = NULL, same_as = NULL"
        " WHERE batch_id = %s AND state <> 'published'",
        (state, batch_id),
    )
