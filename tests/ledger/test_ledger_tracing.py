"""The story of an object keeps every attempt of its batch."""

import hashlib

from ledger_sample import age, claimed, formed

from spv_platform.lake.stage import StagedFile
from spv_platform.ledger import batches, objects, publications, tracing
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


def test_each_step_keeps_its_lease_and_what_the_batch_came_to_by_then(db: Database) -> None:
    claim = claimed(db, formed(db, 2), lease_s=60)
    with db.transaction() as cur:
        for seq in (1, 2):
            objects.record_counts(
                cur,
                seq,
                plain_digest=f"d{seq}",
                plain_bytes=100,
                entries=3,
                accepted=2,
                duplicates=1,
                tombstones=0,
                superseded=0,
                contained=0,
                quarantined=0,
                same_as=None,
            )
        publications.add_staged_file(cur, claim.batch_id, claim.attempt, StagedFile("patient", "p.parquet", 2, 50))
        batches.mark_staged(cur, claim)
        story = tracing.trace(cur, tracing.find(cur, "1"))
    landed, _, formed_, claimed_, staged = story["steps"]
    assert landed["counts"] == {"sealed_bytes": 10, "etag": "etag"}
    assert formed_["counts"] == {"objects": 2, "sealed_bytes": 20}
    assert formed_["lease_until"] is None
    assert 50 < (claimed_["lease_until"] - claimed_["at"]).total_seconds() < 70
    assert staged["lease_until"] == claimed_["lease_until"]
    assert staged["counts"] == {
        "objects": 2,
        "sealed_bytes": 20,
        "plain_bytes": 200,
        "entries": 6,
        "accepted": 4,
        "duplicates": 2,
        "tombstones": 0,
        "superseded": 0,
        "quarantined": 0,
        "digest": hashlib.sha256(b"1:d1,2:d2").hexdigest(),
        "files": 1,
        "file_rows": 2,
        "file_bytes": 50,
    }


def test_a_batch_that_was_tried_before_claims_nothing_of_what_an_earlier_attempt_came_to(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        publications.add_staged_file(cur, claim.batch_id, claim.attempt, StagedFile("patient", "p.parquet", 2, 50))
        batches.mark_staged(cur, claim)
        batches.release(cur, claim)
        story = tracing.trace(cur, tracing.find(cur, "1"))
    assert story["steps"][-1]["step"] == "formed"
    assert story["steps"][-1]["counts"] == {"objects": 1, "sealed_bytes": 10}
