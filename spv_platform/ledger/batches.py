"""Batches: what one run carries, and when a run is wanted for it.

A batch is `formed`, then `claimed` by a run under a lease, `staged`, and in the end `published` or `set_aside`. Its
objects move with it in the same transaction. Forming and requesting are here; what a run does with a batch is in
`claims`, and offered here too; what a person decides about one that is set aside is in `decisions`.
"""

from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any

from spv_platform.ledger import moves, tenants
from spv_platform.ledger.claims import (
    Claim,
    check,
    claim,
    claim_of_run,
    is_waived,
    mark_gated,
    mark_published,
    mark_staged,
    progress,
    published_of_run,
    release,
    renew,
    set_aside,
)
from spv_platform.ledger.db import Cursor, rows_as_dicts
from spv_platform.settings import Settings

__all__ = [
    "Claim",
    "DueBatch",
    "batch_rows",
    "check",
    "claim",
    "claim_of_run",
    "claim_waiting",
    "due",
    "form",
    "form_compaction",
    "form_rebuild",
    "form_rematch",
    "is_waived",
    "mark_gated",
    "mark_published",
    "mark_requested",
    "mark_staged",
    "progress",
    "published_of_run",
    "release",
    "renew",
    "set_aside",
]


@dataclass(frozen=True)
class DueBatch:
    """A batch that wants a run now."""

    batch_id: str
    tenant: str
    kind: str
    attempt: int


def form(cur: Cursor, tenant: str, *, max_objects: int, max_bytes: int) -> str | None:
    """Make a batch of what waits, oldest first, up to both limits but at least one object.

    Objects that another transaction is taking are passed over. One whose batch was taken apart gets one of its own.

    Returns:
        The new batch, or None when nothing waits or the tenant is removed.
    """
    if not tenants.keep_active(cur, tenant):
        return None
    cur.execute(
        "SELECT seq, size_bytes, alone FROM ops.object WHERE tenant = %s AND state = 'landed' AND batch_id IS NULL"
        " ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED",
        (tenant, max_objects),
    )
    found = cur.fetchall()
    if not found:
        return None
    waiting = [(seq, size) for seq, size, _ in takewhile(lambda row: not row[2], found)] or [found[0][:2]]
    totals = list(accumulate(size for _, size in waiting))
    count = max(1, sum(total <= max_bytes for total in totals))
    batch_id = moves.insert(cur, tenant, "load", objects=count, size_bytes=totals[count - 1])
    cur.execute(
        "UPDATE ops.object SET batch_id = %s WHERE seq = ANY(%s)", (batch_id, [seq for seq, _ in waiting[:count]])
    )
    return batch_id


def form_rematch(cur: Cursor, tenant: str, criteria_version: int) -> str:
    """Ask for the tenant's persons to be matched again; one that waits already is enough.

    Returns:
        The waiting batch, asked for the newest of the versions it was asked for.
    """
    _lock_tenant(cur, tenant)
    cur.execute(
        "UPDATE ops.batch SET criteria_version = greatest(criteria_version, %s) WHERE batch_id ="
        " (SELECT batch_id FROM ops.batch WHERE tenant = %s AND kind = 'rematch' AND state = 'formed'"
        " ORDER BY created_at LIMIT 1 FOR UPDATE) RETURNING batch_id",
        (criteria_version, tenant),
    )
    row = cur.fetchone()
    return row[0] if row else moves.insert(cur, tenant, "rematch", criteria_version=criteria_version)


def form_compaction(cur: Cursor, tenant: str) -> str | None:
    """Ask for a compaction of the tenant's tables.

    Returns:
        The new batch, or None when one waits or is at work.
    """
    _lock_tenant(cur, tenant)
    cur.execute(
        "SELECT 1 FROM ops.batch WHERE tenant = %s AND kind = 'compact' AND state IN ('formed', 'claimed', 'staged')",
        (tenant,),
    )
    return None if cur.fetchone() else moves.insert(cur, tenant, "compact")


def form_rebuild(cur: Cursor, tenant: str) -> str:
    """Ask for the tenant's persons to be made anew from its tables; one that waits already is enough.

    Returns:
        The waiting batch.
    """
    _lock_tenant(cur, tenant)
    cur.execute(
        "SELECT batch_id FROM ops.batch WHERE tenant = %s AND kind = 'rebuild' AND state = 'formed'"
        " ORDER BY created_at LIMIT 1",
        (tenant,),
    )
    row = cur.fetchone()
    return row[0] if row else moves.insert(cur, tenant, "rebuild")


def due(cur: Cursor, *, retry_after_s: float, max_attempts: int = Settings.max_attempts) -> list[DueBatch]:
    """The batches to request a run for now, oldest first.

    First, batches of removed tenants are set aside; batches whose lease ran out come back with the next attempt;
    batches that were requested but not claimed get the next attempt after `retry_after_s`, and after twice as long each
    further time, up to eight times, since a queue may be slow; and batches that are out of attempts are set aside with
    their objects. What nobody claimed is no attempt of these, for a day: workers that die take no waiting batch with
    them. Call `mark_requested` in the same transaction.
    """
    moves.set_aside_removed(cur)
    cur.execute(
        "SELECT batch_id FROM ops.batch WHERE state IN ('claimed', 'staged') AND lease_until <= clock_timestamp()"
        " ORDER BY batch_id FOR UPDATE SKIP LOCKED"
    )
    for (batch_id,) in cur.fetchall():
        moves.give_back(cur, batch_id, pause_s=0, max_attempts=max_attempts)
    cur.execute(
        "UPDATE ops.batch SET attempt = attempt + 1, requested_at = NULL,"
        " excused = excused + (created_at > clock_timestamp() - interval '1 day')::int"
        " WHERE batch_id IN (SELECT batch_id FROM ops.batch WHERE state = 'formed' AND requested_at <="
        " clock_timestamp() - make_interval(secs => %s * 2 ^ least(attempt - open_from, 3))"
        " ORDER BY batch_id FOR UPDATE SKIP LOCKED) RETURNING batch_id",
        (retry_after_s,),
    )
    for (batch_id,) in cur.fetchall():
        moves.set_aside_if_exhausted(cur, batch_id, max_attempts)
    cur.execute(
        "SELECT batch_id, tenant, kind, attempt FROM ops.batch WHERE state = 'formed' AND requested_at IS NULL"
        " AND (not_before IS NULL OR not_before <= clock_timestamp()) ORDER BY created_at, batch_id"
    )
    return [DueBatch(*row) for row in cur.fetchall()]


def mark_requested(cur: Cursor, batch_id: str) -> None:
    """Note that a run was requested for the batch's current attempt."""
    cur.execute(
        "UPDATE ops.batch SET requested_at = clock_timestamp() WHERE batch_id = %s AND state = 'formed'", (batch_id,)
    )


def claim_waiting(
    cur: Cursor,
    tenant: str,
    run_id: str,
    lease_s: float,
    *,
    max_objects: int,
    max_bytes: int,
    retry_after_s: float = Settings.lease_s,
) -> Claim | None:
    """Take what waits for a tenant, for a run that names no batch.

    In this order: what the run holds already; the oldest batch that no run is on its way for, or whose lease ran out;
    a new batch of the objects that wait. Compactions are left to their own runs. Returns None when nothing waits.
    """
    held = claim_of_run(cur, run_id)
    if held:
        return claim(cur, held.batch_id, run_id, lease_s)
    cur.execute(
        "SELECT batch_id FROM ops.batch WHERE tenant = %s AND kind <> 'compact' AND ("
        "  (state = 'formed' AND coalesce(requested_at <= clock_timestamp() - make_interval(secs => %s), true))"
        "  OR (state IN ('claimed', 'staged') AND lease_until <= clock_timestamp())"
        ") ORDER BY created_at, batch_id LIMIT 1 FOR UPDATE SKIP LOCKED",
        (tenant, retry_after_s),
    )
    row = cur.fetchone()
    batch_id = row[0] if row else form(cur, tenant, max_objects=max_objects, max_bytes=max_bytes)
    return claim(cur, batch_id, run_id, lease_s) if batch_id else None


def batch_rows(cur: Cursor, tenant: str | None = None, *, state: str | None = None) -> list[dict[str, Any]]:
    """Batches for display, oldest first."""
    cur.execute(
        "SELECT batch_id, tenant, kind, state, reason, attempt, run_id, lease_until, not_before, requested_at,"
        " created_at, criteria_version, objects, bytes FROM ops.batch"
        " WHERE (%(tenant)s IS NULL OR tenant = %(tenant)s) AND (%(state)s IS NULL OR state = %(state)s)"
        " ORDER BY created_at, batch_id",
        {"tenant": tenant, "state": state},
    )
    return rows_as_dicts(cur)


def _lock_tenant(cur: Cursor, tenant: str) -> None:
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s FOR NO KEY UPDATE", (tenant,))
