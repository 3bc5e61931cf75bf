"""Admission: whose objects become the next batch, so that a flood from one tenant leaves the others their turn."""

import heapq
from itertools import count

from spv_platform.ledger import batches
from spv_platform.ledger.db import Cursor


def form_in_turn(
    cur: Cursor, *, max_open: int, max_open_per_tenant: int, max_objects: int, max_bytes: int
) -> list[str]:
    """Form batches of what waits while there are open places, each for the tenant that is served least at that moment.

    Served least is who has the fewest open load batches; of those, whose newest one was formed longest ago. While
    `max_open_per_tenant` is less than `max_open`, a tenant that floods leaves a place: what another one lands is in a
    batch of the next call.

    Args:
        cur: the transaction.
        max_open: load batches of all tenants that may wait or be at work.
        max_open_per_tenant: those of one tenant.
        max_objects: most objects in one batch.
        max_bytes: most sealed bytes in one batch.

    Returns:
        The new batches, in the order of forming.
    """
    cur.execute("SELECT count(*) FROM ops.batch WHERE kind = 'load' AND state IN ('formed', 'claimed', 'staged')")
    ((taken,),) = cur.fetchall()
    turn = count()
    queue = [(open_batches, next(turn), tenant) for tenant, open_batches in _waiting(cur)]
    heapq.heapify(queue)
    formed: list[str] = []
    while queue and taken + len(formed) < max_open:
        open_batches, _, tenant = heapq.heappop(queue)
        if open_batches >= max_open_per_tenant:
            break
        batch_id = batches.form(cur, tenant, max_objects=max_objects, max_bytes=max_bytes)
        if batch_id is None:
            continue
        formed.append(batch_id)
        heapq.heappush(queue, (open_batches + 1, next(turn), tenant))
    return formed


def _waiting(cur: Cursor) -> list[tuple[str, int]]:
    """The tenants for which objects wait, with their open load batches; of equals, the least recently served first."""
    # Not by EXISTS: it becomes a join that reads all that waits, a second for a million objects.
    cur.execute(
        "SELECT tenant, (SELECT count(*) FROM ops.batch WHERE batch.tenant = tenant.tenant AND kind = 'load'"
        "   AND state IN ('formed', 'claimed', 'staged')) FROM ops.tenant"
        " WHERE removed_at IS NULL AND (SELECT true FROM ops.object"
        "   WHERE object.tenant = tenant.tenant AND state = 'landed' AND batch_id IS NULL LIMIT 1)"
        " ORDER BY (SELECT created_at FROM ops.batch WHERE batch.tenant = tenant.tenant AND kind = 'load'"
        "   ORDER BY created_at DESC LIMIT 1) NULLS FIRST, tenant"
    )
    return cur.fetchall()
