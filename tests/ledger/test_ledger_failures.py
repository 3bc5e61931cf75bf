"""What becomes of a batch whose runs fail again and again, for a reason of its own or of a store."""

from ledger_sample import age, claimed, formed, land, states

from spv_platform.ledger import batches, decisions, objects, replays
from spv_platform.ledger.db import Database


def test_a_store_that_was_away_costs_no_attempt_for_a_day(db: Database) -> None:
    batch_id = formed(db, 2)
    for _ in range(7):
        claim = claimed(db, batch_id)
        with db.transaction() as cur:
            assert batches.release(cur, claim, max_attempts=2, counts=False)
    with db.transaction() as cur:
        assert len(objects.of_batch(cur, batch_id)) == 2  # nor is the batch suspected
        cur.execute("UPDATE ops.batch SET created_at = created_at - interval '25 hours'")
    for again in (True, False):
        claim = claimed(db, batch_id)
        with db.transaction() as cur:
            assert batches.release(cur, claim, max_attempts=2, counts=False) is again
    with db.transaction() as cur:
        decisions.release(cur, batch_id)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        assert batches.release(cur, claim, max_attempts=2, counts=False)  # the count starts again


def test_a_batch_that_failed_twice_is_taken_apart_so_that_one_object_is_set_aside_alone(db: Database) -> None:
    batch_id = formed(db, 3)
    for _ in range(2):
        claim = claimed(db, batch_id)
        with db.transaction() as cur:
            age(cur, 61)
            batches.due(cur, retry_after_s=60, max_attempts=3)
    with db.transaction() as cur:
        (row,) = batches.batch_rows(cur)
        assert (row["objects"], row["bytes"], row["attempt"]) == (1, 10, 3)
    # what landed later is not taken apart, and does not join them
    land(db, 2, prefix="p")
    with db.transaction() as cur:
        sizes = []
        while each := batches.form(cur, "north", max_objects=9, max_bytes=999):
            sizes.append(len(objects.of_batch(cur, each)))
    assert sizes == [1, 1, 2]
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        assert not batches.release(cur, claim, max_attempts=3)
    assert states(db) == ["set_aside", *["landed"] * 4]


def test_an_object_that_is_published_is_not_alone_the_next_time(db: Database) -> None:
    batch_id = formed(db, 2)
    for _ in range(2):
        claim = claimed(db, batch_id)
        with db.transaction() as cur:
            batches.release(cur, claim)
    with db.transaction() as cur:
        other = batches.form(cur, "north", max_objects=9, max_bytes=999)
    assert other
    for each in (batch_id, other):
        claim = claimed(db, each)
        with db.transaction() as cur:
            batches.mark_published(cur, claim)
    with db.transaction() as cur:
        for item in objects.of_batch(cur, batch_id) + objects.of_batch(cur, other):
            replays.replay(cur, item.seq)
        again = batches.form(cur, "north", max_objects=9, max_bytes=999)
        assert again
        assert len(objects.of_batch(cur, again)) == 2
