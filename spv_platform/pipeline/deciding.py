"""What a person decides about a batch that is set aside; each decision is in the audit trail with the act."""

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, decisions, publications
from spv_platform.pipeline.platform import Platform


def release(platform: Platform, batch_id: str, *, waive: bool = False, who: str) -> None:
    """Let the batch be tried again from the start.

    Args:
        waive: the gate that refused it lets it pass, for this batch and until it is published.
        who: for the audit trail.

    Raises:
        UsageError: the batch is not set aside, or its gate cannot be waived.
    """
    with platform.db.transaction() as cur:
        row = decisions.batch(cur, batch_id)
        if waive:
            _check_waivable(row["details"], batch_id)
        decisions.release(cur, batch_id, waive=waive)
        waived = f" with gate {row['details']['gate']} waived" if waive else ""
        audit.write(cur, who, "batch release", row["tenant"], f"{batch_id} ({row['reason']}){waived}")


def reject(platform: Platform, batch_id: str, *, waive: bool = False, who: str) -> None:
    """End the batch for good: its objects stay sealed where they landed, and nothing takes them up again.

    Raises:
        UsageError: the batch is not set aside, or a gate was to be waived for it.
    """
    if waive:
        raise UsageError(f"batch {batch_id}: a gate is waived for a batch that is released, not for one rejected")
    with platform.db.transaction() as cur:
        row = decisions.batch(cur, batch_id)
        decisions.reject(cur, batch_id)
        files = publications.drop_attempts(cur, batch_id)
        audit.write(cur, who, "batch reject", row["tenant"], f"{batch_id} ({row['reason']})")
    for file in files:
        # No table refers to them, and none will.
        platform.lake.delete(row["tenant"], platform.lake.url(row["tenant"], "log", file.table, file.path))


def _check_waivable(details: dict[str, object] | None, batch_id: str) -> None:
    from spv_platform.pipeline.gate import NEVER_WAIVED

    if details and details.get("gate") in NEVER_WAIVED:
        raise UsageError(
            f"batch {batch_id} was refused by the gate {details['gate']}, which nobody can waive: an approval would"
            " break the criteria, or the will of a patient. Mend the cause and release it, or reject it"
        )
