import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_sample import age, batch_state, claimed, formed, land, states

from spv_platform.errors import LeaseLostError, UsageError
from spv_platform.ledger import batches, decisions, objects, publications, records
from spv_platform.ledger.db import Database
from spv_platform.ledger.records import StoredRecord


def test_a_batch_takes_the_oldest_up_to_both_limits(db: Database) -> None:
    land(db, 7)
    with db.transaction() as cur:
        by_count = batches.form(cur, "north", max_objects=3, max_bytes=1000)
        by_bytes = batches.form(cur, "north", max_objects=100, max_bytes=25)
        at_least_one = batches.form(cur, "north", max_objects=100, max_bytes=1)
        rest = batches.form(cur, "north", max_objects=100, max_bytes=1000)
        assert batches.form(cur, "north", max_objects=100, max_bytes=1000) is None
        assert batches.form(cur, "south", max_objects=100, max_bytes=1000) is None
        sizes = [len(objects.of_batch(cur, each)) for each in (by_count, by_bytes, at_least_one, rest) if each]
        keys = [
            o.key[-1] for each in (by_count, by_bytes, at_least_one, rest) if each for o in objects.of_batch(cur, each)
        ]
        assert [(row["objects"], row["bytes"]) for row in batches.batch_rows(cur, "north")] == [
            *((3, 30), (2, 20), (1, 10), (1, 10))
        ]
    assert sizes == [3, 2, 1, 1]
    assert keys == list("0123456")


def test_objects_that_another_transaction_is_taking_are_passed_over(db: Database) -> None:
    land(db, 3)
    with db.transaction() as one, db.transaction() as two:
        first = batches.form(one, "north", max_objects=2, max_bytes=1000)
        two.execute("SET LOCAL lock_timeout = '5s'")
        second = batches.form(two, "north", max_objects=2, max_bytes=1000)
        assert first
        assert second
        assert [each.key[-1] for each in objects.of_batch(one, first)] == ["0", "1"]
        assert [each.key[-1] for each in objects.of_batch(two, second)] == ["2"]


def test_concurrent_forming_never_shares_an_object(db: Database) -> None:
    land(db, 60)
    start = threading.Barrier(4)

    def work(_: int) -> list[str]:
        start.wait()
        made = []
        while True:
            with db.transaction() as cur:
                batch_id = batches.form(cur, "north", max_objects=5, max_bytes=1000)
            if batch_id is None:
                return made
            made.append(batch_id)

    with ThreadPoolExecutor(4) as pool:
        made = [batch_id for each in pool.map(work, range(4)) for batch_id in each]
    # Whoever passed over objects that another had locked may leave before those come free: form the rest here.
    made += work_rest(db)
    with db.transaction() as cur:
        seqs = [each.seq for batch_id in made for each in objects.of_batch(cur, batch_id)]
        assert sum(row["objects"] for row in batches.batch_rows(cur)) == 60
    assert len(seqs) == len(set(seqs)) == 60


def work_rest(db: Database) -> list[str]:
    made = []
    while True:
        with db.transaction() as cur:
            batch_id = batches.form(cur, "north", max_objects=5, max_bytes=1000)
        if batch_id is None:
            return made
        made.append(batch_id)


def test_a_batch_is_due_until_it_is_requested(db: Database) -> None:
    batch_id = formed(db)
    with db.transaction() as cur:
        assert batches.due(cur, retry_after_s=60) == [batches.DueBatch(batch_id, "north", "load", 1)]
        assert batches.due(cur, retry_after_s=60) == [batches.DueBatch(batch_id, "north", "load", 1)]
        batches.mark_requested(cur, batch_id)
        assert batches.due(cur, retry_after_s=60) == []


def test_a_request_that_nobody_claims_is_repeated_with_the_next_attempt_ever_more_slowly(db: Database) -> None:
    batch_id = formed(db)
    with db.transaction() as cur:
        batches.mark_requested(cur, batch_id)
        age(cur, 61)
        assert [each.attempt for each in batches.due(cur, retry_after_s=60)] == [2]
        batches.mark_requested(cur, batch_id)
        age(cur, 61)
        assert batches.due(cur, retry_after_s=60) == []
        age(cur, 60)
        assert [each.attempt for each in batches.due(cur, retry_after_s=60)] == [3]


def test_a_late_run_may_claim_what_nobody_else_claimed(db: Database) -> None:
    batch_id = formed(db)
    with db.transaction() as cur:
        batches.mark_requested(cur, batch_id)
        age(cur, 61)
        batches.due(cur, retry_after_s=60)
        claim = batches.claim(cur, batch_id, "late", 60, attempt=1)
        assert claim
        assert claim.attempt == 2


def test_a_lease_that_ran_out_brings_the_batch_back_with_the_next_attempt(db: Database) -> None:
    batch_id = formed(db, 2)
    claimed(db, batch_id)
    with db.transaction() as cur:
        assert batches.due(cur, retry_after_s=0) == []
        age(cur, 61)
        assert batches.due(cur, retry_after_s=0) == [batches.DueBatch(batch_id, "north", "load", 2)]
    assert states(db) == ["landed", "landed"]


def test_a_run_from_before_somebody_else_worked_on_it_is_refused(db: Database) -> None:
    batch_id = formed(db)
    claimed(db, batch_id)
    with db.transaction() as cur:
        age(cur, 61)
        batches.due(cur, retry_after_s=60)
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.claim(cur, batch_id, "old", 60, attempt=1)
    with db.transaction() as cur:
        claim = batches.claim(cur, batch_id, "new", 60, attempt=2)
    assert claim
    assert claim.attempt == 2


def test_out_of_attempts_means_set_aside_until_a_person_releases_it(db: Database) -> None:
    batch_id = formed(db)
    for attempt in (1, 2, 3):
        claim = claimed(db, batch_id, f"run-{attempt}")
        assert claim.attempt == attempt
        with db.transaction() as cur:
            age(cur, 61)
            due = batches.due(cur, retry_after_s=60, max_attempts=3)
    assert due == []
    with db.transaction() as cur:
        (row,) = batches.batch_rows(cur, state="set_aside")
        assert row["reason"] == "attempts_exhausted"
        assert {each["reason"] for each in objects.ledger_rows(cur)} == {"attempts_exhausted"}
        assert batches.claim(cur, batch_id, "run-9", 60) is None
        assert batches.form(cur, "north", max_objects=9, max_bytes=999) is None
        decisions.release(cur, batch_id)
        assert [each.attempt for each in batches.due(cur, retry_after_s=60, max_attempts=3)] == [5]
    assert states(db) == ["landed"]
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        assert batches.release(cur, claim, 0, 3)  # the count starts again


def test_requests_that_are_never_claimed_run_out_of_attempts_after_a_day(db: Database) -> None:
    batch_id = formed(db)
    with db.transaction() as cur:
        for _ in range(9):
            assert batches.due(cur, retry_after_s=0, max_attempts=3)
            batches.mark_requested(cur, batch_id)
        cur.execute("UPDATE ops.batch SET created_at = created_at - interval '25 hours'")
        for _ in range(2):
            assert batches.due(cur, retry_after_s=0, max_attempts=3)
            batches.mark_requested(cur, batch_id)
        assert batches.due(cur, retry_after_s=0, max_attempts=3) == []
    assert batch_state(db, batch_id) == "set_aside"


def test_only_what_is_set_aside_can_be_released(db: Database) -> None:
    batch_id = formed(db)
    with pytest.raises(UsageError, match="is not set aside"), db.transaction() as cur:
        decisions.release(cur, batch_id)


def test_claiming_again_by_the_same_run_returns_the_same_claim(db: Database) -> None:
    batch_id = formed(db)
    first = claimed(db, batch_id)
    assert claimed(db, batch_id) == first
    with db.transaction() as cur:
        batches.mark_staged(cur, first)
        age(cur, 61)
        assert batches.claim(cur, batch_id, "run-1", 60, attempt=1) == first  # ran out, but nobody took over
        assert batches.claim_of_run(cur, "run-1") == first
        assert batches.claim_of_run(cur, "run-2") is None
    assert states(db) == ["staged"]


def test_a_live_claim_of_another_run_is_respected(db: Database) -> None:
    batch_id = formed(db)
    claimed(db, batch_id)
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.claim(cur, batch_id, "run-2", 60)


def test_of_many_runs_one_claims(db: Database) -> None:
    batch_id = formed(db)
    start = threading.Barrier(6)

    def work(number: int) -> bool:
        start.wait()
        try:
            return claimed(db, batch_id, f"run-{number}") is not None
        except LeaseLostError:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 1


def test_a_batch_that_does_not_exist_is_a_usage_error(db: Database) -> None:
    with pytest.raises(UsageError, match="does not exist"), db.transaction() as cur:
        batches.claim(cur, "nothing", "run-1", 60)


def test_a_zombie_can_do_nothing(db: Database) -> None:
    batch_id = formed(db)
    zombie = claimed(db, batch_id, "run-1", lease_s=0)
    heir = claimed(db, batch_id, "run-2")
    assert heir.attempt == zombie.attempt + 1
    row = StoredRecord(b"r", "p", True, [], b"s")
    file = publications.StagedFile("patient", "x", 1, 1)
    acts = [
        lambda cur: batches.renew(cur, zombie, 60),
        lambda cur: batches.check(cur, zombie),
        lambda cur: batches.mark_staged(cur, zombie),
        lambda cur: batches.mark_published(cur, zombie),
        lambda cur: batches.release(cur, zombie),
        lambda cur: batches.set_aside(cur, zombie, "gate_failed"),
        lambda cur: records.put_candidates(cur, zombie, [row]),
        lambda cur: records.commit_candidates(cur, zombie, 1),
        lambda cur: publications.add_staged_file(cur, batch_id, zombie.attempt, file),
        lambda cur: publications.insert(cur, zombie, 1, tables={}, criteria_version=None, counts={}),
        lambda cur: batches.claim(cur, batch_id, "run-1", 60),
    ]
    for act in acts:
        with pytest.raises(LeaseLostError), db.transaction() as cur:
            act(cur)
    with db.transaction() as cur:
        batches.check(cur, heir)
        assert records.candidates(cur, zombie) == []


def test_an_earlier_try_of_the_same_run_is_a_zombie_too(db: Database) -> None:
    first = claimed(db, formed(db))
    with db.transaction() as cur:
        batches.release(cur, first)
    second = claimed(db, first.batch_id, first.run_id)
    for act in (batches.check, batches.mark_published, batches.release):
        with pytest.raises(LeaseLostError), db.transaction() as cur:
            act(cur, first)
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.renew(cur, first, 60)
    with db.transaction() as cur:
        batches.mark_published(cur, second)


def test_published_is_the_end(db: Database) -> None:
    batch_id = formed(db, 2)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        batches.mark_published(cur, claim)
        batches.renew(cur, claim, 60)  # a last heartbeat finds nothing wrong
        assert batches.claim(cur, batch_id, "run-1", 60) is None
        assert batches.claim(cur, batch_id, "run-2", 60) is None
        assert batches.claim_of_run(cur, "run-1") is None
        assert batches.published_of_run(cur, "run-1") == batch_id
        assert batches.published_of_run(cur, "run-2") is None
        age(cur, 1000)
        assert batches.due(cur, retry_after_s=0) == []
    for act in (batches.check, batches.mark_staged, batches.mark_published, batches.release):
        with pytest.raises(LeaseLostError), db.transaction() as cur:
            act(cur, claim)
    assert states(db) == ["published", "published"]


def test_a_released_batch_waits_for_its_time(db: Database) -> None:
    batch_id = formed(db)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        assert batches.release(cur, claim, 30)
        assert batches.due(cur, retry_after_s=60) == []
        age(cur, 31)
        assert [each.attempt for each in batches.due(cur, retry_after_s=60)] == [2]


def test_a_new_attempt_judges_every_object_afresh(db: Database) -> None:
    batch_id = formed(db, 2)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        objects.quarantine_object(cur, objects.of_batch(cur, batch_id)[0].seq, "wrong_key")
        batches.mark_staged(cur, claim)
    assert states(db) == ["quarantined", "staged"]
    with db.transaction() as cur:
        batches.release(cur, claim)
    assert states(db) == ["landed", "landed"]


def test_a_batch_set_aside_keeps_the_reasons_of_its_quarantined_objects(db: Database) -> None:
    batch_id = formed(db, 2)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        objects.quarantine_object(cur, objects.of_batch(cur, batch_id)[0].seq, "wrong_key")
        batches.set_aside(cur, claim, "gate_failed")
        assert [row["reason"] for row in objects.ledger_rows(cur)] == ["wrong_key", "gate_failed"]
    with pytest.raises(ValueError, match="wrong_key"), db.transaction() as cur:
        batches.set_aside(cur, claimed(db, formed(db, 1, prefix="x"), "run-3"), "wrong_key")


def test_one_waiting_rematch_is_enough(db: Database) -> None:
    with db.transaction() as cur:
        first = batches.form_rematch(cur, "north", 1)
        assert batches.form_rematch(cur, "north", 2) == first
        assert batches.form_rematch(cur, "north", 1) == first
        assert batches.form_rematch(cur, "south", 2) != first
        (row,) = batches.batch_rows(cur, "north")
        assert (row["kind"], row["criteria_version"]) == ("rematch", 2)
        batches.claim(cur, first, "run-1", 60)
        assert batches.form_rematch(cur, "north", 3) != first


def test_one_waiting_rebuild_is_enough_and_one_at_work_is_not(db: Database) -> None:
    with db.transaction() as cur:
        first = batches.form_rebuild(cur, "north")
        assert batches.form_rebuild(cur, "north") == first
        assert batches.form_rebuild(cur, "south") != first
    claimed(db, first)
    with db.transaction() as cur:
        assert batches.form_rebuild(cur, "north") != first


def test_one_compaction_at_a_time(db: Database) -> None:
    with db.transaction() as cur:
        first = batches.form_compaction(cur, "north")
        assert first
        assert batches.form_compaction(cur, "north") is None
        claim = batches.claim(cur, first, "run-1", 60)
        assert claim
        assert batches.form_compaction(cur, "north") is None
        batches.mark_published(cur, claim)
        assert batches.form_compaction(cur, "north")


def test_a_run_without_a_batch_leaves_compactions_to_their_own_runs(db: Database) -> None:
    limits = {"max_objects": 9, "max_bytes": 999}
    with db.transaction() as cur:
        batches.form_compaction(cur, "north")
        assert batches.claim_waiting(cur, "north", "run-1", 60, **limits) is None
        rematch = batches.form_rematch(cur, "north", 1)
        claim = batches.claim_waiting(cur, "north", "run-1", 60, **limits)
    assert claim
    assert (claim.batch_id, claim.kind) == (rematch, "rematch")


def test_concurrent_requests_for_a_rematch_make_one_batch(db: Database) -> None:
    start = threading.Barrier(4)

    def work(version: int) -> str:
        start.wait()
        with db.transaction() as cur:
            return batches.form_rematch(cur, "north", version)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(4)))) == 1


def test_a_run_without_a_batch_takes_what_waits(db: Database) -> None:
    on_its_way, forgotten = formed(db, 1, prefix="a"), formed(db, 1, prefix="b")
    land(db, 1, prefix="c")
    limits = {"max_objects": 9, "max_bytes": 999, "retry_after_s": 60}
    with db.transaction() as cur:
        batches.mark_requested(cur, on_its_way)
        first = batches.claim_waiting(cur, "north", "run-1", 60, **limits)
        assert first
        assert first.batch_id == forgotten
        assert batches.claim_waiting(cur, "north", "run-1", 60, **limits) == first
        fresh = batches.claim_waiting(cur, "north", "run-2", 60, **limits)
        assert fresh
        assert fresh.batch_id not in (on_its_way, forgotten)
        assert batches.claim_waiting(cur, "north", "run-3", 60, **limits) is None
        age(cur, 61)
        late = batches.claim_waiting(cur, "north", "run-3", 60, **limits)
        assert late
        assert late.batch_id == on_its_way
        assert batches.claim_waiting(cur, "south", "run-4", 60, **limits) is None
