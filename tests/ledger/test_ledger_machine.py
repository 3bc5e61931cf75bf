"""Any history of landing, forming, claiming, dying, taking over and publishing keeps the ledger consistent."""

import uuid
from collections.abc import Callable
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledger_sample import found

from spv_platform.errors import LeaseLostError
from spv_platform.ledger import batches, decisions, leases, objects, publications, replays, tenants
from spv_platform.ledger.batches import Claim
from spv_platform.ledger.db import Cursor, Database

#: States that the objects of a batch may be in, besides quarantined.
_FOLLOWS = {state: state for state in ("claimed", "staged", "published", "set_aside", "rejected")} | {
    "formed": "landed"
}


#: Counts back from the newest of all claims that there ever were.
_CLAIM = st.integers(0, 3)


class Ledger(RuleBasedStateMachine):
    """A tenant of its own in a shared database; the model knows which claim on each batch stands."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.db, self.tenant = db, f"t-{uuid.uuid4().hex[:12]}"
        self.landed = 0
        self.claims: list[Claim] = []
        self.holder: dict[str, Claim | None] = {}
        self.over: set[str] = set()
        self.published: list[int] = []

    @initialize()
    def two_batches_one_of_them_claimed(self) -> None:
        with self.db.transaction() as cur:
            tenants.add_tenant(cur, self.tenant)
            tenants.add_feed(cur, self.tenant, "emr", "fhir")
        self.land(4)
        self.form(2)
        self.form(1)
        self.claim(0, 0)

    @rule(count=st.integers(1, 3))
    def land(self, count: int) -> None:
        keys = [f"{self.tenant}/emr/{self.landed + n}" for n in range(count)]
        with self.db.transaction() as cur:
            assert objects.discover(cur, [found(key) for key in keys]) == count
        self.landed += count

    @rule(limit=st.integers(1, 3))
    def form(self, limit: int) -> None:
        with self.db.transaction() as cur:
            batch_id = batches.form(cur, self.tenant, max_objects=limit, max_bytes=1000)
        if batch_id:
            self.holder[batch_id] = None

    @rule(which=st.integers(0, 2), run=st.integers(0, 1))
    def claim(self, which: int, run: int) -> None:
        batch_id = list(self.holder)[which % len(self.holder)]
        held = self.holder[batch_id]
        try:
            with self.db.transaction() as cur:
                claim = batches.claim(cur, batch_id, f"run-{run}", 60)
        except LeaseLostError:
            assert held
            assert held.run_id != f"run-{run}"
            return
        if batch_id in self.over:
            assert claim is None
            return
        assert claim
        assert held is None or held == claim
        self._now_holds(claim)

    @rule(which=_CLAIM, run=st.integers(0, 1))
    def expire_and_take_over(self, which: int, run: int) -> None:
        old = self._claim(which)
        if self.holder[old.batch_id] != old:
            return
        with self.db.transaction() as cur:
            cur.execute("UPDATE ops.batch SET lease_until = '-infinity' WHERE batch_id = %s", (old.batch_id,))
            heir = batches.claim(cur, old.batch_id, f"run-{run}", 60)
        assert heir
        assert heir.attempt == old.attempt + (heir.run_id != old.run_id)
        self._now_holds(heir)

    @rule(which=_CLAIM)
    def expire_and_find_due(self, which: int) -> None:
        old = self._claim(which)
        if self.holder[old.batch_id] != old:
            return
        with self.db.transaction() as cur:
            cur.execute("UPDATE ops.batch SET lease_until = '-infinity' WHERE batch_id = %s", (old.batch_id,))
            due = {each.batch_id: each for each in batches.due(cur, retry_after_s=60, max_attempts=3)}
        self.holder[old.batch_id] = None
        if old.batch_id in due:
            assert due[old.batch_id].attempt == old.attempt + 1
        else:
            self.over.add(old.batch_id)

    @rule(which=_CLAIM)
    def renew(self, which: int) -> None:
        claim = self._claim(which)
        published_it = claim.batch_id in self.over
        self._act(claim, lambda cur: batches.renew(cur, claim, 60), also_allowed=published_it)

    @rule(which=_CLAIM)
    def stage(self, which: int) -> None:
        claim = self._claim(which)
        self._act(claim, lambda cur: batches.mark_staged(cur, claim))

    @rule(which=_CLAIM)
    def quarantine_one(self, which: int) -> None:
        claim = self._claim(which)

        def act(cur: Cursor) -> None:
            batches.check(cur, claim)
            for each in objects.of_batch(cur, claim.batch_id)[:1]:
                objects.quarantine_object(cur, each.seq, "wrong_key")

        self._act(claim, act)

    @rule(which=_CLAIM)
    def publish(self, which: int) -> None:
        claim = self._claim(which)

        def act(cur: Cursor) -> list[int]:
            token = leases.acquire(cur, claim.tenant, claim.run_id, 0)
            assert token
            leases.check_for_update(cur, token)
            before = publications.newest(cur, claim.tenant)
            seq = before.seq + 1 if before else 1
            publications.insert(cur, claim, seq, tables={}, criteria_version=None, counts={})
            items = [each.seq for each in objects.of_batch(cur, claim.batch_id) if each.state != "quarantined"]
            batches.mark_published(cur, claim)
            return items

        done, items = self._act(claim, act)
        if done:
            self.published += items
            self.holder[claim.batch_id] = None
            self.over.add(claim.batch_id)

    @rule(which=_CLAIM)
    def release(self, which: int) -> None:
        claim = self._claim(which)
        done, again = self._act(claim, lambda cur: batches.release(cur, claim, 0, 3))
        if done:
            self.holder[claim.batch_id] = None
            if not again:
                self.over.add(claim.batch_id)

    @rule(which=_CLAIM)
    def set_aside(self, which: int) -> None:
        claim = self._claim(which)
        done, _ = self._act(claim, lambda cur: batches.set_aside(cur, claim, "gate_failed"))
        if done:
            self.holder[claim.batch_id] = None
            self.over.add(claim.batch_id)

    @rule()
    def release_set_aside(self) -> None:
        with self.db.transaction() as cur:
            for row in batches.batch_rows(cur, self.tenant, state="set_aside"):
                decisions.release(cur, row["batch_id"])
                self.over.remove(row["batch_id"])

    @rule()
    def reject_set_aside(self) -> None:
        with self.db.transaction() as cur:
            for row in batches.batch_rows(cur, self.tenant, state="set_aside"):
                decisions.reject(cur, row["batch_id"])

    @rule()
    def replay_what_is_quarantined(self) -> None:
        with self.db.transaction() as cur:
            cur.execute("SELECT seq FROM ops.object WHERE tenant = %s AND state = 'quarantined'", (self.tenant,))
            for (seq,) in cur.fetchall():
                assert replays.replay(cur, seq)

    @invariant()
    def every_object_is_in_one_state_that_follows_its_batch(self) -> None:
        with self.db.transaction() as cur:
            cur.execute(
                "SELECT object.state, batch.state FROM ops.object LEFT JOIN ops.batch USING (batch_id)"
                " WHERE object.tenant = %s",
                (self.tenant,),
            )
            pairs = cur.fetchall()
        assert len(pairs) == self.landed
        for state, of_batch in pairs:
            assert state in ("quarantined", _FOLLOWS[of_batch] if of_batch else "landed")

    @invariant()
    def nothing_is_published_twice(self) -> None:
        assert len(self.published) == len(set(self.published))

    def _claim(self, which: int) -> Claim:
        return self.claims[-1 - which % len(self.claims)]

    def _now_holds(self, claim: Claim) -> None:
        self.holder[claim.batch_id] = claim
        if claim not in self.claims:
            self.claims.append(claim)

    def _act(self, claim: Claim, act: Callable[[Cursor], Any], *, also_allowed: bool = False) -> tuple[bool, Any]:
        """Try something with a claim, old or new: it works if, and only if, the claim stands."""
        stands = self.holder[claim.batch_id] == claim
        try:
            with self.db.transaction() as cur:
                answer = act(cur)
        except LeaseLostError:
            assert not stands
            return False, None
        assert stands or also_allowed
        return True, answer


def test_any_history_keeps_the_ledger_consistent(db: Database) -> None:
    run_state_machine_as_test(
        lambda: Ledger(db), settings=hypothesis_settings(max_examples=30, stateful_step_count=30, deadline=None)
    )
