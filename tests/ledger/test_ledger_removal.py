"""Tenants that go and come back: their work stops at once, nothing of it is lost, and it goes on."""

import threading

import pytest
from ledger_sample import batch_state, claimed, formed, land, states

from spv_platform.errors import LeaseLostError, PermanentError, UsageError
from spv_platform.ledger import batches, criteria, objects, publications, removal, tenants
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Database
from spv_platform.ledger.removal import Removal


def remove(db: Database, tenant: str = "north") -> Removal:
    with db.transaction() as cur:
        return removal.remove(cur, tenant)


def bring_back(db: Database, tenant: str = "north") -> int:
    with db.transaction() as cur:
        return removal.bring_back(cur, tenant)


def due(db: Database) -> list[str]:
    with db.transaction() as cur:
        return [each.batch_id for each in batches.due(cur, retry_after_s=60)]


def publish(db: Database, claim: Claim) -> None:
    with db.transaction() as cur:
        tenants.check_active(cur, claim.tenant)
        newest = publications.newest(cur, claim.tenant)
        seq = newest.seq + 1 if newest else 1
        publications.insert(cur, claim, seq, tables={}, criteria_version=None, counts={})
        batches.mark_published(cur, claim)


def test_open_batches_of_a_removed_tenant_are_set_aside_and_those_of_others_are_not(db: Database) -> None:
    waits, runs = formed(db, prefix="a"), formed(db, prefix="b")
    claimed(db, runs)
    other = formed(db, tenant="south")
    land(db, 2, prefix="c")
    assert remove(db) == Removal(set_aside=2, waiting=4)
    with db.transaction() as cur:
        reasons = {row["batch_id"]: row["reason"] for row in batches.batch_rows(cur)}
    assert reasons == {waits: "tenant_removed", runs: "tenant_removed", other: None}
    assert sorted(states(db)) == ["landed", "landed", "landed", "set_aside", "set_aside"]
    assert due(db) == [other]


def test_removing_twice_changes_nothing_and_nobody_cannot_be_removed(db: Database) -> None:
    formed(db)
    assert remove(db) == remove(db)
    with db.transaction() as cur:
        assert (tenants.tenants(cur), tenants.removed(cur)) == (["south"], ["north"])
    with pytest.raises(UsageError, match="'west' does not exist"):
        remove(db, "west")


def test_what_waits_for_a_removed_tenant_makes_no_batch(db: Database) -> None:
    land(db, 1)
    remove(db)
    with db.transaction() as cur:
        assert batches.form(cur, "north", max_objects=9, max_bytes=99) is None
        assert batches.claim_waiting(cur, "north", "run", 60, max_objects=9, max_bytes=99) is None
    assert states(db) == ["landed"]


def test_a_batch_that_was_asked_for_after_the_removal_is_set_aside_and_comes_back_too(db: Database) -> None:
    remove(db)
    with db.transaction() as cur:
        late = batches.form_rematch(cur, "north", 1)
    assert due(db) == []
    assert batch_state(db, late) == "set_aside"
    assert bring_back(db) == 1
    assert due(db) == [late]


def test_a_run_whose_tenant_was_removed_can_write_nothing_more(db: Database) -> None:
    claim = claimed(db, formed(db))
    remove(db)
    for act in (batches.check, batches.mark_staged, batches.mark_gated):
        with pytest.raises(LeaseLostError), db.transaction() as cur:
            act(cur, claim)
    with pytest.raises(PermanentError, match="tenant_removed"):
        publish(db, claim)
    with db.transaction() as cur:
        assert publications.newest(cur, "north") is None


def test_a_removal_waits_for_the_commit_that_is_under_way(db: Database) -> None:
    claim = claimed(db, formed(db))
    removed: list[Removal] = []
    thread = threading.Thread(target=lambda: removed.append(remove(db)))
    with db.transaction() as cur:
        tenants.check_active(cur, "north")
        thread.start()
        _wait_until_somebody_waits(db)
        assert not removed
        publications.insert(cur, claim, 1, tables={}, criteria_version=None, counts={})
        batches.mark_published(cur, claim)
    thread.join()
    assert removed == [Removal(set_aside=0, waiting=0)]
    assert batch_state(db, claim.batch_id) == "published"


def test_a_commit_that_begins_while_a_removal_is_under_way_is_refused(db: Database) -> None:
    claim = claimed(db, formed(db))
    failures: list[str] = []

    def commit() -> None:
        try:
            publish(db, claim)
        except PermanentError as error:
            failures.append(error.reason)

    thread = threading.Thread(target=commit)
    with db.transaction() as cur:
        removal.remove(cur, "north")
        thread.start()
        _wait_until_somebody_waits(db)
    thread.join()
    assert failures == ["tenant_removed"]
    assert batch_state(db, claim.batch_id) == "set_aside"


def test_criteria_are_put_to_a_tenant_while_it_commits(db: Database) -> None:
    with db.transaction() as commit, db.transaction() as cur:
        tenants.check_active(commit, "north")
        cur.execute("SET LOCAL lock_timeout = '5s'")
        assert batches.form_rematch(cur, "north", 1)


def test_a_tenant_that_comes_back_goes_on_where_it_stopped(db: Database) -> None:
    gate_failed = claimed(db, formed(db, prefix="a"))
    with db.transaction() as cur:
        batches.set_aside(cur, gate_failed, "gate_failed")
    batch_id = formed(db, prefix="b")
    old = claimed(db, batch_id)
    remove(db)
    assert bring_back(db) == 1
    assert bring_back(db) == 0
    assert due(db) == [batch_id]
    assert batch_state(db, gate_failed.batch_id) == "set_aside"
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.check(cur, old)
    publish(db, claimed(db, batch_id, "run-2"))
    assert sorted(states(db)) == ["published", "set_aside"]


def test_a_tenant_that_comes_back_is_matched_by_criteria_that_came_meanwhile(db: Database) -> None:
    publish(db, claimed(db, formed(db)))
    remove(db)
    with db.transaction() as cur:
        version = criteria.put_version(cur, "a", {})
    bring_back(db)
    with db.transaction() as cur:
        (rematch,) = batches.batch_rows(cur, "north", state="formed")
    assert (rematch["kind"], rematch["criteria_version"]) == ("rematch", version)
    remove(db)
    bring_back(db)
    with db.transaction() as cur:
        assert len(batches.batch_rows(cur, "north", state="formed")) == 1


def test_objects_that_were_refused_for_their_place_wait_once_the_place_is_there(db: Database) -> None:
    remove(db)
    land(db, 2, prefix="a")
    land(db, 1, prefix="empty", size_bytes=0)
    with db.transaction() as cur:
        assert objects.admit_refused(cur, "north") == 0
    bring_back(db)
    with db.transaction() as cur:
        assert objects.admit_refused(cur, "north") == 2
        assert objects.admit_refused(cur, "north") == 0
        cur.execute("SELECT seq, state FROM ops.object ORDER BY seq")
        assert cur.fetchall() == [(1, "landed"), (2, "landed"), (3, "quarantined")]


def test_tenants_are_listed_with_what_waits_for_them(db: Database) -> None:
    formed(db, prefix="a")
    claimed(db, formed(db, prefix="b"))
    land(db, 3, prefix="c")
    land(db, 1, tenant="south")
    remove(db, "south")
    with db.transaction() as cur:
        north, south = tenants.tenant_rows(cur)
    assert (north["waiting"], north["open_batches"], north["set_aside_batches"], north["removed_at"]) == (4, 2, 0, None)
    assert (south["waiting"], south["open_batches"]) == (1, 0)
    assert south["removed_at"]


def _wait_until_somebody_waits(db: Database) -> None:
    waiting = 0
    while not waiting:
        # A transaction sees the activity of its first look for as long as it lasts.
        with db.transaction() as cur:
            cur.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            ((waiting,),) = cur.fetchall()
