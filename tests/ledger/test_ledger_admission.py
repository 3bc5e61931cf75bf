"""Admission: whatever one tenant lands, the others have their turn, and no place stays empty while somebody waits."""

from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from ledger_sample import found, land

from spv_platform.ledger import batches, objects, removal, tenants
from spv_platform.ledger.admission import form_in_turn
from spv_platform.ledger.db import Database

MAX_OPEN = 4
MAX_OPEN_PER_TENANT = 2
NAMES = ["flood", "east", "south", "west"]


def look(db: Database, **changes: int) -> list[str]:
    """Whose batches are formed, in order."""
    limits: dict[str, Any] = {
        "max_open": MAX_OPEN,
        "max_open_per_tenant": MAX_OPEN_PER_TENANT,
        "max_objects": 2,
        "max_bytes": 1000,
        **changes,
    }
    with db.transaction() as cur:
        made = form_in_turn(cur, **limits)
        cur.execute("SELECT batch_id, tenant FROM ops.batch")
        owners = dict(cur.fetchall())
    return [owners[batch_id] for batch_id in made]


def finish(db: Database, tenant: str) -> None:
    """End the tenant's oldest open batch."""
    with db.transaction() as cur:
        rows = [row for row in batches.batch_rows(cur, tenant) if row["state"] in ("formed", "claimed", "staged")]
        claim = batches.claim(cur, rows[0]["batch_id"], "run", 60)
        assert claim
        batches.mark_published(cur, claim)


def test_a_flood_leaves_a_place_for_whoever_comes_next(db: Database) -> None:
    land(db, 500)
    assert look(db) == ["north", "north"]
    assert look(db) == []
    land(db, 1, tenant="south")
    assert look(db) == ["south"]


def test_places_are_shared_by_turns_and_nobody_is_served_twice_before_all_were_once(db: Database) -> None:
    with db.transaction() as cur:
        for name in ("east", "west", "mid"):
            tenants.add_tenant(cur, name)
            tenants.add_feed(cur, name, "emr", "spv")
    for name in ("north", "south", "east", "west", "mid"):
        land(db, 20, tenant=name)
    assert look(db) == ["east", "mid", "north", "south"]
    assert look(db) == []
    finish(db, "north")
    assert look(db) == ["west"]
    finish(db, "mid")
    assert look(db) == ["mid"]
    for name in ("east", "west"):
        finish(db, name)
    assert look(db) == ["east", "north"]


def test_a_tenant_gets_no_more_than_its_own_places(db: Database) -> None:
    land(db, 20)
    assert look(db, max_open=9, max_open_per_tenant=3) == ["north"] * 3
    assert look(db, max_open=9, max_open_per_tenant=3) == []


def test_with_one_place_tenants_take_turns(db: Database) -> None:
    for name in ("north", "south"):
        land(db, 6, tenant=name)
    served = []
    for _ in range(4):
        (tenant,) = look(db, max_open=1, max_open_per_tenant=1)
        assert look(db, max_open=1, max_open_per_tenant=1) == []
        finish(db, tenant)
        served.append(tenant)
    assert served == ["north", "south", "north", "south"]


def test_only_loads_take_places_and_removed_tenants_get_none(db: Database) -> None:
    with db.transaction() as cur:
        for version in range(3):
            batches.form_rematch(cur, "north", version)
        batches.form_compaction(cur, "south")
    land(db, 2)
    land(db, 2, tenant="south")
    with db.transaction() as cur:
        removal.remove(cur, "south")
    assert look(db, max_open=1) == ["north"]


def test_objects_that_another_transaction_is_taking_are_left_to_it(db: Database) -> None:
    land(db, 1)
    land(db, 1, tenant="south")
    with db.transaction() as cur:
        assert batches.form(cur, "north", max_objects=1, max_bytes=1000)
        assert look(db) == ["south"]


class Places(RuleBasedStateMachine):
    """Tenants that land, and batches that end, in any order; the model knows who waits and who has what."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.db, self.number = db, 0

    @initialize()
    def empty_ledger_with_a_flood(self) -> None:
        with self.db.transaction() as cur:
            cur.execute("TRUNCATE ops.tenant, ops.object, ops.batch CASCADE")
            for name in NAMES:
                tenants.add_tenant(cur, name)
                tenants.add_feed(cur, name, "emr", "spv")
        self.land("flood", 40)
        assert look(self.db) == ["flood"] * MAX_OPEN_PER_TENANT

    @rule(tenant=st.sampled_from(NAMES), count=st.integers(1, 9))
    def land(self, tenant: str, count: int) -> None:
        keys = [f"{tenant}/emr/{self.number + n}" for n in range(count)]
        self.number += count
        with self.db.transaction() as cur:
            assert objects.discover(cur, [found(key) for key in keys]) == count

    @rule(which=st.integers(0, MAX_OPEN - 1))
    def finish(self, which: int) -> None:
        taken = [name for name, (_, count) in self.places().items() for _ in range(count)]
        if taken:
            finish(self.db, taken[which % len(taken)])

    @rule()
    def look(self) -> None:
        before = self.places()
        served = look(self.db)
        after = self.places()
        for name in served:
            waiting, count = before[name]
            assert waiting
            # Nobody who waits has fewer places than this one had when it was served last.
            left = [had for other, (waits, had) in before.items() if waits and other not in served]
            assert all(count + served.count(name) - 1 <= had for had in left)
        if sum(count for _, count in after.values()) < MAX_OPEN:
            assert not [name for name, (waits, count) in after.items() if waits and count < MAX_OPEN_PER_TENANT]

    @rule(tenant=st.sampled_from(NAMES[1:]))
    def one_object_of_somebody_who_has_nothing_is_in_the_next_batches_if_a_place_is_free(self, tenant: str) -> None:
        before = self.places()
        waits, count = before[tenant]
        free = MAX_OPEN - sum(taken for _, taken in before.values())
        rivals = sum(w > 0 and taken == 0 for w, taken in before.values())
        if waits or count or free <= rivals:
            return
        self.land(tenant, 1)
        assert tenant in look(self.db)

    @invariant()
    def places_are_kept_within_their_limits(self) -> None:
        counts = [count for _, count in self.places().values()]
        assert sum(counts) <= MAX_OPEN
        assert all(count <= MAX_OPEN_PER_TENANT for count in counts)

    def places(self) -> dict[str, tuple[int, int]]:
        """Objects that wait for a batch, and open batches, by tenant."""
        with self.db.transaction() as cur:
            cur.execute(
                "SELECT tenant, (SELECT count(*) FROM ops.object o WHERE o.tenant = t.tenant AND batch_id IS NULL),"
                " (SELECT count(*) FROM ops.batch b WHERE b.tenant = t.tenant AND state = 'formed') FROM ops.tenant t"
            )
            return {tenant: (waiting, count) for tenant, waiting, count in cur.fetchall()}


def test_any_history_of_landing_and_finishing_shares_the_places(db: Database) -> None:
    run_state_machine_as_test(
        lambda: Places(db), settings=hypothesis_settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
