import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ledger_sample import age, claimed, formed

from spv_platform.errors import LeaseLostError
from spv_platform.ledger import batches, leases
from spv_platform.ledger.db import Cursor, Database
from spv_platform.ledger.heartbeat import Heartbeat
from spv_platform.settings import Settings


class _Watched(Database):
    """Counts transactions that ended, so that a test can wait for a beat."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.ended = threading.Semaphore(0)

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        try:
            with super().transaction() as cur:
                yield cur
        finally:
            self.ended.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.ended.acquire(timeout=30)


def test_the_token_grows_at_every_take_over(db: Database) -> None:
    with db.transaction() as cur:
        first = leases.acquire(cur, "north", "a", 60)
        assert first == leases.Token("north", "a", 1)
        assert leases.acquire(cur, "north", "a", 60) == first
        assert leases.acquire(cur, "north", "b", 60) is None
        assert leases.acquire(cur, "south", "b", 60) == leases.Token("south", "b", 1)
        age(cur, 61)
        leases.check_for_update(cur, first)  # ran out, but nobody took over
        second = leases.acquire(cur, "north", "b", 60)
        assert second == leases.Token("north", "b", 2)
    for act in (leases.check_for_update, lambda cur, token: leases.renew(cur, token, 60)):
        with pytest.raises(LeaseLostError), db.transaction() as cur:
            act(cur, first)
    with db.transaction() as cur:
        leases.release(cur, first)  # not ours: nothing happens
        leases.check_for_update(cur, second)
        leases.renew(cur, second, 60)
        leases.release(cur, second)
        leases.release(cur, second)
        assert leases.acquire(cur, "north", "b", 60) == leases.Token("north", "b", 3)


def test_nobody_takes_over_during_a_commit(db: Database) -> None:
    with db.transaction() as cur:
        token = leases.acquire(cur, "north", "a", 0)
    assert token
    with db.transaction() as commit:
        leases.check_for_update(commit, token)
        with db.transaction() as other:
            assert leases.acquire(other, "north", "b", 60) is None
    with db.transaction() as cur:
        assert leases.acquire(cur, "north", "b", 60)


def test_a_heartbeat_keeps_the_claim_and_the_lease(db: Database, ledger_settings: Settings) -> None:
    claim = claimed(db, formed(db), lease_s=0)
    with db.transaction() as cur:
        token = leases.acquire(cur, "north", "a", 0)
    assert token
    watched = _Watched(ledger_settings)
    with Heartbeat(watched, claim, 60, interval_s=0.01) as heartbeat:
        heartbeat.keep(token)
        watched.wait(4)
        heartbeat.check()
    watched.close()
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.claim(cur, claim.batch_id, "run-2", 60)
    with db.transaction() as cur:
        assert leases.acquire(cur, "north", "b", 60) is None


@pytest.mark.parametrize("lost", ["claim", "publish lease"])
def test_a_heartbeat_says_that_it_is_lost(db: Database, lost: str) -> None:
    claim = claimed(db, formed(db), lease_s=0)
    with db.transaction() as cur:
        token = leases.acquire(cur, "north", "a", 0)
    assert token
    if lost == "claim":
        claimed(db, claim.batch_id, "run-2")
    else:
        with db.transaction() as cur:
            leases.acquire(cur, "north", "b", 60)
    heartbeat = Heartbeat(db, claim, 60, interval_s=0.01)
    heartbeat.keep(token)
    heartbeat.start()
    heartbeat._thread.join(30)  # it ends by itself
    assert heartbeat.lost
    with pytest.raises(LeaseLostError):
        heartbeat.check()
    heartbeat.stop()


def test_a_heartbeat_outlives_broken_connections(db: Database, ledger_settings: Settings) -> None:
    claim = claimed(db, formed(db))
    watched = _Watched(ledger_settings)
    with Heartbeat(watched, claim, 60, interval_s=0.01) as heartbeat:
        watched.wait(1)
        with db.transaction() as cur:
            cur.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            age(cur, 61)
        watched.wait(3)
        heartbeat.check()
    watched.close()
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        batches.claim(cur, claim.batch_id, "run-2", 60)


def test_a_heartbeat_can_be_stopped_while_the_worker_commits(db: Database, ledger_settings: Settings) -> None:
    claim = claimed(db, formed(db))
    watched = _Watched(ledger_settings)
    heartbeat = Heartbeat(watched, claim, 60, interval_s=0.01)
    with db.transaction() as cur:
        batches.check(cur, claim)
        heartbeat.start()
        watched.wait(2)  # beats that could not get the row
        heartbeat.stop()
        heartbeat.check()
        batches.mark_published(cur, claim)
    watched.close()


def test_a_heartbeat_does_not_mistake_a_publication_for_a_loss(db: Database, ledger_settings: Settings) -> None:
    claim = claimed(db, formed(db))
    watched = _Watched(ledger_settings)
    with Heartbeat(watched, claim, 60, interval_s=0.01) as heartbeat:
        with db.transaction() as cur:
            batches.mark_published(cur, claim)
        watched.wait(2)
        heartbeat.check()
    watched.close()


def test_a_defect_in_the_heartbeat_reaches_the_worker(db: Database) -> None:
    claim = claimed(db, formed(db))
    heartbeat = Heartbeat(db, claim, 60, interval_s=0.01)
    heartbeat.keep("not a token")  # type: ignore[arg-type]
    heartbeat.start()
    heartbeat._thread.join(30)
    with pytest.raises(TypeError):
        heartbeat.check()
    assert not heartbeat.lost
