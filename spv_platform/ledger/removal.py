"""Tenants that go, and come back: what becomes of their batches and objects. Nothing of theirs is deleted here."""

from typing import NamedTuple

from spv_platform.errors import UsageError
from spv_platform.ledger import batches, criteria, decisions, moves, publications
from spv_platform.ledger.db import Cursor


class Removal(NamedTuple):
    """What a removal came to: batches set aside by it, and objects that wait for the tenant to come back."""

    set_aside: int
    waiting: int


def remove(cur: Cursor, tenant: str) -> Removal:
    """Stop working for a tenant: its open batches are set aside, and what waits stays in the ledger.

    Waits for a commit that is under way. A run that works on one of the batches can commit no more.

    Raises:
        UsageError: no such tenant.
    """
    # Stronger than the UPDATE alone: a commit holds the row so that it may be referred to, not against updates.
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s FOR UPDATE", (tenant,))
    if cur.fetchone() is None:
        raise UsageError(f"tenant {tenant!r} does not exist: see `spv tenant list`")
    cur.execute(
        "UPDATE ops.tenant SET removed_at = clock_timestamp() WHERE tenant = %s AND removed_at IS NULL", (tenant,)
    )
    moves.set_aside_removed(cur)
    cur.execute(
        "SELECT (SELECT count(*) FROM ops.batch WHERE tenant = %(tenant)s AND reason = 'tenant_removed'),"
        " (SELECT count(*) FROM ops.object WHERE tenant = %(tenant)s"
        "   AND (reason = 'tenant_removed' OR (state = 'landed' AND batch_id IS NULL)))",
        {"tenant": tenant},
    )
    (row,) = cur.fetchall()
    return Removal(*row)


def bring_back(cur: Cursor, tenant: str) -> int:
    """Undo a removal: the batches that it set aside are released, and persons are matched by the newest criteria.

    Returns:
        How many batches were released; 0 also for a tenant that was not removed.
    """
    cur.execute(
        "UPDATE ops.tenant SET removed_at = NULL WHERE tenant = %s AND removed_at IS NOT NULL RETURNING 1", (tenant,)
    )
    if cur.fetchone() is None:
        return 0
    cur.execute(
        "SELECT batch_id FROM ops.batch WHERE tenant = %s AND state = 'set_aside' AND reason = 'tenant_removed'"
        " ORDER BY created_at, batch_id FOR UPDATE",
        (tenant,),
    )
    released = [batch_id for (batch_id,) in cur.fetchall()]
    for batch_id in released:
        decisions.release(cur, batch_id)
    newest = criteria.newest(cur)
    if newest and publications.newest(cur, tenant):
        batches.form_rematch(cur, tenant, newest.version)
    return len(released)
