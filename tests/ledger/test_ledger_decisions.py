"""What a person decides about a batch that is set aside, and what the ledger then says."""

import pytest
from ledger_sample import batch_state, claimed, formed, land, states

from spv_platform.errors import UsageError
from spv_platform.ledger import batches, decisions, objects, reconciliation, references, replays
from spv_platform.ledger.db import Database, apply_schema
from spv_platform.ledger.tenants import add_tenant

DETAILS = {"gate": "staged_batch", "rows": 3, "failed": [], "places": {}}


def refused(db: Database, count: int = 2, reason: str = "gate_failed", gate: str = "staged_batch") -> str:
    """A batch that a gate has set aside."""
    batch_id = formed(db, count)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.mark_staged(cur, claim)
        batches.set_aside(cur, claim, reason, {**DETAILS, "gate": gate})
    return batch_id


def waived(db: Database, batch_id: str, gate: str) -> bool:
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        return batches.is_waived(cur, claim, gate)


def test_the_details_of_a_refusal_stay_until_it_is_decided(db: Database) -> None:
    batch_id = refused(db)
    with db.transaction() as cur:
        row = decisions.batch(cur, batch_id)
        assert (row["state"], row["reason"], row["details"], row["waived"]) == ("set_aside", "gate_failed", DETAILS, [])
        decisions.release(cur, batch_id)
        row = decisions.batch(cur, batch_id)
    assert (row["state"], row["reason"], row["details"], row["waived"]) == ("formed", None, None, [])


def test_a_waiver_is_for_the_gate_that_refused_and_no_other(db: Database) -> None:
    batch_id = refused(db)
    with db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    assert waived(db, batch_id, "staged_batch")
    assert not waived(db, batch_id, "candidate_view")


def test_a_second_waiver_keeps_the_first_and_a_release_without_ends_both(db: Database) -> None:
    batch_id = refused(db)
    with db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.set_aside(cur, claim, "gate_failed", {**DETAILS, "gate": "candidate_view"})
        decisions.release(cur, batch_id, waive=True)
        assert decisions.batch(cur, batch_id)["waived"] == ["staged_batch", "candidate_view"]
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.set_aside(cur, claim, "internal_error")
        decisions.release(cur, batch_id)
        assert decisions.batch(cur, batch_id)["waived"] == []


def test_a_waiver_survives_the_death_of_the_run_it_was_given_for(db: Database) -> None:
    batch_id = refused(db)
    with db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.release(cur, claim)
    assert waived(db, batch_id, "staged_batch")


def test_only_what_a_gate_refused_can_be_waived(db: Database) -> None:
    batch_id = refused(db, reason="internal_error")
    with pytest.raises(UsageError, match="not refused by a gate"), db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    assert batch_state(db, batch_id) == "set_aside"


def test_a_suite_that_could_not_be_evaluated_can_be_waived(db: Database) -> None:
    batch_id = refused(db, reason="gate_unevaluable")
    with db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    assert waived(db, batch_id, "staged_batch")


def test_a_rejected_batch_is_over_and_its_objects_say_why(db: Database) -> None:
    batch_id = formed(db, 2)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        bad, good = objects.of_batch(cur, batch_id)
        objects.quarantine_object(cur, bad.seq, "wrong_key")
        references.put_queue(cur, "north", "emr", good.seq, [references.Waiting("Patient", b"x", "conditional", 1)])
        batches.set_aside(cur, claim, "gate_failed", DETAILS)
        decisions.reject(cur, batch_id)
        assert decisions.batch(cur, batch_id)["details"] == DETAILS
        assert [(row["state"], row["reason"]) for row in objects.ledger_rows(cur)] == [
            ("quarantined", "wrong_key"),
            ("rejected", "gate_failed"),
        ]
        assert references.queue_of(cur, "north", good.seq) == []
        assert batches.claim(cur, batch_id, "run-2", 60) is None
        assert batches.due(cur, retry_after_s=0) == []
        assert batches.claim_waiting(cur, "north", "run-2", 60, max_objects=9, max_bytes=999) is None
        assert not replays.replay(cur, good.seq)


def test_what_was_published_before_its_batch_was_rejected_waits_for_a_batch_of_its_own(db: Database) -> None:
    batch_id = formed(db, 1)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.mark_staged(cur, claim)
        batches.mark_published(cur, claim)
        (published,) = objects.of_batch(cur, batch_id)
        assert replays.replay(cur, published.seq)
    land(db, 1, prefix="new")
    with db.transaction() as cur:
        both = batches.form(cur, "north", max_objects=2, max_bytes=1000)
        assert both
        assert len(objects.of_batch(cur, both)) == 2
    claim = claimed(db, both, "run-2")
    with db.transaction() as cur:
        batches.mark_staged(cur, claim)
        batches.set_aside(cur, claim, "gate_failed", DETAILS)
        decisions.reject(cur, both)
        assert [(row["state"], row["reason"]) for row in objects.ledger_rows(cur)] == [
            ("landed", None),
            ("rejected", "gate_failed"),
        ]
        own = batches.form(cur, "north", max_objects=2, max_bytes=1000)
        assert own
    claim = claimed(db, own, "run-3")
    with db.transaction() as cur:
        batches.mark_staged(cur, claim)
        batches.set_aside(cur, claim, "gate_failed", DETAILS)
        decisions.reject(cur, own)
    assert states(db) == ["rejected", "rejected"]


def test_what_somebody_took_for_settled_stays_so_whatever_becomes_of_its_batch(db: Database) -> None:
    batch_id = formed(db, 2)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        bad, _ = objects.of_batch(cur, batch_id)
        objects.quarantine_object(cur, bad.seq, "wrong_key")
        batches.mark_staged(cur, claim)
        assert replays.discard(cur, bad.seq)
        batches.release(cur, claim, 0, max_attempts=5)
    assert states(db) == ["rejected", "landed"]
    claim = claimed(db, batch_id, "run-2")
    with db.transaction() as cur:
        batches.mark_staged(cur, claim)
        batches.mark_published(cur, claim)
        assert reconciliation.stray_objects(cur, "north") == []
    assert states(db) == ["rejected", "published"]


@pytest.mark.parametrize("decide", [decisions.release, decisions.reject])
def test_a_rejected_batch_cannot_be_decided_about_again(db: Database, decide: object) -> None:
    batch_id = refused(db)
    with db.transaction() as cur:
        decisions.reject(cur, batch_id)
    with pytest.raises(UsageError, match="not set aside"), db.transaction() as cur:
        decide(cur, batch_id)  # type: ignore[operator]
    assert batch_state(db, batch_id) == "rejected"


def test_an_open_batch_cannot_be_rejected(db: Database) -> None:
    batch_id = formed(db)
    with pytest.raises(UsageError, match="not set aside"), db.transaction() as cur:
        decisions.reject(cur, batch_id)
    assert states(db) == ["landed"]


def test_a_batch_that_does_not_exist_is_said_so(db: Database) -> None:
    with pytest.raises(UsageError, match="does not exist"), db.transaction() as cur:
        decisions.release(cur, "no-such")


def test_what_is_set_aside_is_told_by_tenant_with_those_that_have_none(db: Database) -> None:
    batch_id = refused(db)
    land(db, 1, tenant="south")
    with db.transaction() as cur:
        add_tenant(cur, "west")
        assert decisions.set_aside_by_tenant(cur) == {"north": {batch_id: "gate_failed"}, "south": {}, "west": {}}
        decisions.reject(cur, batch_id)
        assert decisions.set_aside_by_tenant(cur)["north"] == {}


def test_a_database_of_before_learns_the_new_state(db: Database) -> None:
    with db.transaction() as cur:
        cur.execute(
            "ALTER TABLE ops.batch DROP CONSTRAINT batch_state_known, DROP CONSTRAINT batch_reason_given,"
            " ADD CONSTRAINT batch_state_check CHECK (state IN ('formed', 'claimed', 'staged', 'published',"
            " 'set_aside')), ADD CONSTRAINT batch_check2 CHECK ((state = 'set_aside') = (reason IS NOT NULL))"
        )
        cur.execute(
            "ALTER TABLE ops.object DROP CONSTRAINT object_state_known, DROP CONSTRAINT object_reason_given,"
            " ADD CONSTRAINT object_state_check CHECK (state IN ('landed', 'claimed', 'staged', 'published',"
            " 'set_aside', 'quarantined')), ADD CONSTRAINT object_check1"
            " CHECK ((state IN ('set_aside', 'quarantined')) = (reason IS NOT NULL))"
        )
    apply_schema(db)
    apply_schema(db)
    batch_id = refused(db)
    with db.transaction() as cur:
        decisions.reject(cur, batch_id)
    assert states(db) == ["rejected", "rejected"]
