"""The story of an object keeps every attempt of its batch."""

from ledger_sample import age, claimed, formed

from spv_platform.ledger import batches, tracing
from spv_platform.ledger.db import Database


def steps(db: Database) -> list[tuple[str, int | None, str | None, str | None]]:
    with db.transaction() as cur:
        story = tracing.trace(cur, tracing.find(cur, "1"))
    return [(step["step"], step["attempt"], step["run_id"], step["reason"]) for step in story["steps"]]


def test_a_batch_that_was_taken_over_shows_both_attempts(db: Database) -> None:
    batch = formed(db)
    with db.transaction() as cur:
        batches.mark_requested(cur, batch)
    claimed(db, batch, "dead", lease_s=60)
    with db.transaction() as cur:
        age(cur, 100)
    second = claimed(db, batch, "alive")
    with db.transaction() as cur:
        batches.mark_staged(cur, second)
        batches.set_aside(cur, second, "gate_failed")
    assert steps(db)[2:] == [
        ("formed", 1, None, None),
        ("requested", 1, None, None),
        ("claimed", 1, "dead", None),
        ("claimed", 2, "alive", None),
        ("staged", 2, "alive", None),
        ("set_aside", 2, "alive", "gate_failed"),
    ]


def test_a_lease_that_is_renewed_is_no_step(db: Database) -> None:
    claim = claimed(db, formed(db))
    before = steps(db)
    with db.transaction() as cur:
        batches.renew(cur, claim, 60)
    assert steps(db) == before
