"""Batches that are set aside: which ones there are and why, and what a person decides about one.

A released batch is tried again from the start. A rejected one is over: its new objects stay in the ledger with the
reason why they were set aside, and nothing takes them up again. The audit entry is the caller's.
"""

from typing import Any

from spv_platform.errors import UsageError
from spv_platform.ledger import moves
from spv_platform.ledger.db import Cursor, rows_as_dicts

#: Reasons of a gate, which can be waived.
_BY_A_GATE = ("gate_failed", "gate_unevaluable")


def release(cur: Cursor, batch_id: str, *, waive: bool = False) -> None:
    """Let a batch that was set aside be tried again, with a fresh count of attempts.

    Args:
        cur: the transaction.
        batch_id: the batch.
        waive: let it pass the gate that refused it, until it is published; gates that were waived before stay so.
            Without it every gate decides again.

    Raises:
        UsageError: the batch is not set aside, or no gate refused it.
    """
    row = _set_aside_row(cur, batch_id)
    if waive and row["reason"] not in _BY_A_GATE:
        raise UsageError(f"batch {batch_id} was not refused by a gate ({row['reason']}): release it without a waiver")
    waived = [*row["waived"], row["details"]["gate"]] if waive else []
    cur.execute(
        "UPDATE ops.batch SET state = 'formed', reason = NULL, details = NULL, waived = %s, attempt = attempt + 1,"
        " budget_from = attempt + 1, excused = 0, open_from = attempt + 1, run_id = NULL, not_before = NULL,"
        " requested_at = NULL WHERE batch_id = %s",
        (waived, batch_id),
    )
    moves.begin_attempt(cur, batch_id, "landed")


def reject(cur: Cursor, batch_id: str) -> None:
    """End a batch that was set aside, for good; its objects are `rejected` with its reason.

    Objects whose rows were published before, and which were only processed again beside others, wait for batches of
    their own: what is published has to stay accounted for.

    Raises:
        UsageError: the batch is not set aside.
    """
    _set_aside_row(cur, batch_id)
    cur.execute("UPDATE ops.batch SET state = 'rejected' WHERE batch_id = %s", (batch_id,))
    cur.execute(
        "UPDATE ops.object SET state = 'landed', reason = NULL, batch_id = NULL, alone = true"
        " WHERE batch_id = %s AND state = 'set_aside' AND was_published AND NOT alone",
        (batch_id,),
    )
    cur.execute(
        "UPDATE ops.object SET state = 'rejected' WHERE batch_id = %s AND state = 'set_aside'",
        (batch_id,),
    )
    cur.execute(
        "DELETE FROM ops.reference_queue WHERE object_seq IN"
        " (SELECT seq FROM ops.object WHERE batch_id = %s AND state = 'rejected')",
        (batch_id,),
    )


def batch(cur: Cursor, batch_id: str) -> dict[str, Any]:
    """One batch for display: state, reason, what the gate said, which gates are waived.

    Raises:
        UsageError: no such batch.
    """
    cur.execute(
        "SELECT batch_id, tenant, kind, state, reason, details, waived, attempt, run_id, created_at, objects, bytes"
        " FROM ops.batch WHERE batch_id = %s",
        (batch_id,),
    )
    found = rows_as_dicts(cur)
    if not found:
        raise UsageError(f"batch {batch_id!r} does not exist: see `spv batch list --state all`")
    return found[0]


def set_aside_by_tenant(cur: Cursor) -> dict[str, dict[str, str]]:
    """The reason of every batch that is set aside, by batch, by tenant; every tenant that is not removed is there."""
    cur.execute(
        "SELECT tenant, batch_id, reason FROM ops.tenant LEFT JOIN"
        " (SELECT tenant, batch_id, reason FROM ops.batch WHERE state = 'set_aside') AS aside USING (tenant)"
        " WHERE removed_at IS NULL ORDER BY tenant, batch_id"
    )
    found: dict[str, dict[str, str]] = {}
    for tenant, batch_id, reason in cur.fetchall():
        found.setdefault(tenant, {})
        if batch_id:
            found[tenant][batch_id] = reason
    return found


def _set_aside_row(cur: Cursor, batch_id: str) -> dict[str, Any]:
    cur.execute("SELECT 1 FROM ops.batch WHERE batch_id = %s FOR UPDATE", (batch_id,))
    row = batch(cur, batch_id)
    if row["state"] != "set_aside":
        raise UsageError(f"batch {batch_id} is not set aside ({row['state']}): there is nothing to decide")
    return row
