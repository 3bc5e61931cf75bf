"""The queue of runs: order, one worker a run, leases, cancelling."""

from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Database
from spv_platform.ledger.run_queue import Place

LEASE_S = 30.0


def put(db: Database, *runs: str) -> None:
    for run_id in runs:
        with db.transaction() as cur:
            run_queue.put(cur, run_id)


def find(db: Database, run_id: str) -> Place | None:
    with db.transaction() as cur:
        return run_queue.find(cur, run_id)


def take(db: Database, worker: str) -> str | None:
    with db.transaction() as cur:
        return run_queue.take(cur, worker, LEASE_S)


def test_runs_are_taken_in_the_order_in_which_they_came_each_once(db: Database) -> None:
    put(db, "b", "a", "b")
    assert [take(db, "w1"), take(db, "w2"), take(db, "w1")] == ["b", "a", None]


def test_a_run_that_another_worker_is_just_taking_is_passed_over(db: Database) -> None:
    put(db, "a", "b")
    with db.transaction() as first, db.transaction() as second:
        assert run_queue.take(first, "w1", LEASE_S) == "a"
        assert run_queue.take(second, "w2", LEASE_S) == "b"
        assert run_queue.take(second, "w2", LEASE_S) is None


def test_a_waiting_run_knows_how_many_are_ahead_and_a_taken_one_its_worker(db: Database) -> None:
    put(db, "a", "b", "c")
    assert [find(db, run_id) for run_id in "abcd"] == [
        Place(None, True, 0),
        Place(None, True, 1),
        Place(None, True, 2),
        None,
    ]
    take(db, "w1")
    assert [find(db, run_id) for run_id in "abc"] == [Place("w1", True, 0), Place(None, True, 0), Place(None, True, 1)]


def test_only_the_worker_that_has_a_run_renews_and_finishes_it(db: Database) -> None:
    put(db, "a")
    take(db, "w1")
    with db.transaction() as cur:
        assert run_queue.renew(cur, "a", "w1", LEASE_S)
        assert not run_queue.renew(cur, "a", "w2", LEASE_S)
        run_queue.finish(cur, "a", "w2")
    assert find(db, "a") is not None
    with db.transaction() as cur:
        run_queue.finish(cur, "a", "w1")
    assert find(db, "a") is None


def test_a_run_is_not_live_once_its_worker_is_lost_or_its_lease_ran_out(db: Database) -> None:
    put(db, "a", "b", "c")
    with db.transaction() as cur:
        run_queue.take(cur, "w1", LEASE_S)
        run_queue.take(cur, "w2", 0.0)
        run_queue.take(cur, "w3", LEASE_S)
        run_queue.lose(cur, "w1")
    assert [find(db, run_id) for run_id in "abc"] == [
        Place("w1", False, 0),
        Place("w2", False, 0),
        Place("w3", True, 0),
    ]


def test_lost_runs_are_forgotten_after_a_day(db: Database) -> None:
    put(db, "a", "b")
    with db.transaction() as cur:
        run_queue.take(cur, "w1", LEASE_S)
        run_queue.lose(cur, "w1")
        cur.execute("UPDATE ops.run_queue SET enqueued_at = enqueued_at - interval '2 days'")
        run_queue.lose(cur, "another")
    assert find(db, "a") is None
    assert find(db, "b") == Place(None, True, 0)


def test_cancelling_removes_a_waiting_run_and_tells_the_worker_of_a_taken_one(db: Database) -> None:
    put(db, "a", "b")
    take(db, "w1")
    with db.transaction() as cur:
        assert run_queue.cancel(cur, "b") == Place(None, True, 0)
        assert run_queue.cancel(cur, "b") is None
        assert run_queue.cancel(cur, "a") == Place("w1", True, 0)
        assert not run_queue.renew(cur, "a", "w1", LEASE_S)
    assert take(db, "w2") is None
