"""What a run does with a batch: claiming it, keeping it, moving it on, giving it back.

A claim names one try: (batch, attempt, run). A new attempt begins whenever the batch comes back to `formed` or is
taken over, so a try that lost the batch can be refused by it for ever. A lease that ran out is still its holder's
until somebody takes over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spv_platform.errors import LeaseLostError, UsageError
from spv_platform.ledger import moves
from spv_platform.ledger.db import Cursor
from spv_platform.settings import Settings


@dataclass(frozen=True)
class Progress:
    """How far a try is: whether its files are staged, and whether its rows have passed the quality gate."""

    staged: bool
    gated: bool


@dataclass(frozen=True)
class Claim:
    """The right of one run to work on one batch."""

    batch_id: str
    tenant: str
    kind: str
    attempt: int
    run_id: str


def claim(cur: Cursor, batch_id: str, run_id: str, lease_s: float, attempt: int | None = None) -> Claim | None:
    """Take a batch for a run: one that is formed, or one whose lease ran out, which begins a new attempt.

    Claiming again by the same run returns the same claim with a fresh lease.

    Args:
        cur: the transaction.
        batch_id: the batch.
        run_id: the run.
        lease_s: how long the claim holds without `renew`.
        attempt: the attempt the run was requested for. A run from before somebody else worked on the batch is refused.

    Returns:
        None when the batch is published, set aside or rejected already.

    Raises:
        LeaseLostError: another run holds the batch, or held it since this run was requested.
        UsageError: no such batch.
    """
    cur.execute(
        "SELECT state, run_id, open_from, lease_until <= clock_timestamp() FROM ops.batch WHERE batch_id = %s"
        " FOR UPDATE",
        (batch_id,),
    )
    row = cur.fetchone()
    if row is None:
        raise UsageError(f"batch {batch_id!r} does not exist: look at `spv ledger` for what there is")
    state, holder, open_from, expired = row
    if state in ("published", "set_aside", "rejected"):
        return None
    held = state != "formed"
    if held and holder == run_id:
        return _hold(cur, batch_id, lease_s)
    if held and not expired:
        raise LeaseLostError(f"batch {batch_id}")
    if attempt is not None and attempt < open_from:
        raise LeaseLostError(f"batch {batch_id} attempt {attempt}")
    cur.execute(
        "UPDATE ops.batch SET state = 'claimed', run_id = %s, attempt = attempt + %s, open_from = attempt + %s,"
        " lease_until = clock_timestamp() + make_interval(secs => %s) WHERE batch_id = %s"
        " RETURNING batch_id, tenant, kind, attempt, run_id",
        (run_id, int(held), int(held), lease_s, batch_id),
    )
    (claimed,) = cur.fetchall()
    moves.begin_attempt(cur, batch_id, "claimed")
    cur.execute(
        "UPDATE ops.object SET attempt = batch.attempt FROM ops.batch AS batch"
        " WHERE object.batch_id = %s AND batch.batch_id = object.batch_id",
        (batch_id,),
    )
    return Claim(*claimed)


def claim_of_run(cur: Cursor, run_id: str) -> Claim | None:
    """The claim that the run holds; None when it has none, lost it, or finished."""
    cur.execute(
        "SELECT batch_id, tenant, kind, attempt, run_id FROM ops.batch"
        " WHERE run_id = %s AND state IN ('claimed', 'staged') ORDER BY created_at LIMIT 1",
        (run_id,),
    )
    row = cur.fetchone()
    return Claim(*row) if row else None


def published_of_run(cur: Cursor, run_id: str) -> str | None:
    """The batch that the run has published, for a step that is repeated after the commit."""
    cur.execute("SELECT batch_id FROM ops.batch WHERE run_id = %s AND state = 'published' LIMIT 1", (run_id,))
    row = cur.fetchone()
    return row[0] if row else None


def renew(cur: Cursor, held: Claim, lease_s: float) -> None:
    """Lengthen the lease; nothing to do once this very try has published.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    cur.execute(
        "UPDATE ops.batch SET lease_until = CASE WHEN state <> 'published' THEN"
        " clock_timestamp() + make_interval(secs => %s) END"
        " WHERE batch_id = %s AND attempt = %s AND run_id = %s AND state IN ('claimed', 'staged', 'published')",
        (lease_s, held.batch_id, held.attempt, held.run_id),
    )
    if not cur.rowcount:
        raise LeaseLostError(f"batch {held.batch_id}")


def check(cur: Cursor, held: Claim) -> None:
    """Make sure that the claim stands, and that nobody can take the batch before this transaction ends.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    cur.execute(
        "SELECT 1 FROM ops.batch WHERE batch_id = %s AND attempt = %s AND run_id = %s"
        " AND state IN ('claimed', 'staged') FOR UPDATE",
        (held.batch_id, held.attempt, held.run_id),
    )
    if cur.fetchone() is None:
        raise LeaseLostError(f"batch {held.batch_id}")


def mark_staged(cur: Cursor, held: Claim) -> None:
    """All files of the batch are written. Raises LeaseLostError as `check` does."""
    check(cur, held)
    cur.execute("UPDATE ops.batch SET state = 'staged' WHERE batch_id = %s", (held.batch_id,))
    moves.move_objects(cur, held.batch_id, "staged")


def mark_gated(cur: Cursor, held: Claim) -> None:
    """The staged rows of this try have passed the quality gate. Raises LeaseLostError as `check` does."""
    check(cur, held)
    cur.execute("UPDATE ops.batch SET gated_attempt = attempt WHERE batch_id = %s", (held.batch_id,))


def progress(cur: Cursor, held: Claim) -> Progress:
    """How far this try is. Raises LeaseLostError as `check` does."""
    check(cur, held)
    cur.execute(
        "SELECT state = 'staged', state = 'staged' AND gated_attempt IS NOT DISTINCT FROM attempt"
        " FROM ops.batch WHERE batch_id = %s",
        (held.batch_id,),
    )
    (row,) = cur.fetchall()
    return Progress(*row)


def mark_published(cur: Cursor, held: Claim) -> None:
    """The last step of a commit: afterwards the claim is gone. Raises LeaseLostError as `check` does."""
    check(cur, held)
    cur.execute("UPDATE ops.batch SET state = 'published', lease_until = NULL WHERE batch_id = %s", (held.batch_id,))
    moves.move_objects(cur, held.batch_id, "published")


def release(
    cur: Cursor,
    held: Claim,
    pause_s: float = 0,
    max_attempts: int = Settings.max_attempts,
    *,
    counts: bool = True,
) -> bool:
    """Give the batch back after a failure, to be tried again after a pause.

    Args:
        cur: the transaction.
        held: the claim.
        pause_s: how long, by the database's clock.
        max_attempts: tries of a batch before it is set aside.
        counts: whether the try is one of these; not if a store was away, which says nothing about the batch.

    Returns:
        False when that was the last attempt, and the batch is set aside.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    check(cur, held)
    return moves.give_back(cur, held.batch_id, pause_s=pause_s, max_attempts=max_attempts, counts=counts)


def set_aside(cur: Cursor, held: Claim, reason: str, details: Mapping[str, Any] | None = None) -> None:
    """Stop working on the batch and its objects until somebody releases it. Raises LeaseLostError as `check` does."""
    check(cur, held)
    moves.set_aside(cur, held.batch_id, reason, details)


def is_waived(cur: Cursor, held: Claim, gate: str) -> bool:
    """Whether somebody lets the batch pass this gate whatever it says. Raises LeaseLostError as `check` does."""
    check(cur, held)
    cur.execute("SELECT %s = ANY(waived) FROM ops.batch WHERE batch_id = %s", (gate, held.batch_id))
    ((waived,),) = cur.fetchall()
    return bool(waived)


def _hold(cur: Cursor, batch_id: str, lease_s: float) -> Claim:
    cur.execute(
        "UPDATE ops.batch SET lease_until = clock_timestamp() + make_interval(secs => %s) WHERE batch_id = %s"
        " RETURNING batch_id, tenant, kind, attempt, run_id",
        (lease_s, batch_id),
    )
    (row,) = cur.fetchall()
    return Claim(*row)
