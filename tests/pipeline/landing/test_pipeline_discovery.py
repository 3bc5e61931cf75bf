"""Everything that lands is found once, and every batch is asked for until somebody has done it."""

import pytest
from pipeline_bundles import bundle, patient, result
from pipeline_world import TENANT, World, reasons

from spv_platform.errors import TransientError
from spv_platform.ledger import batches
from spv_platform.ledger.batches import DueBatch
from spv_platform.pipeline.claims import hold, let_go
from spv_platform.pipeline.drain import process
from spv_platform.pipeline.landing.discover import MAX_OPEN_BATCHES, discover, form_batches
from spv_platform.pipeline.platform import Platform

PLAIN = bundle(patient("ann"), result("r", "ann", 1))


def restarted(world: World) -> Platform:
    return Platform(world.settings)


def put(world: World, name: str, plain: bytes = PLAIN) -> tuple[str, str]:
    key = world.key(name)
    return key, world.put(key, world.sealed(name, plain))


def found(world: World) -> list[tuple[str, str]]:
    return sorted(world.rows("SELECT key, version FROM ops.object"))


def test_objects_of_one_second_are_each_found_once(world):
    landed = [put(world, f"{number}") for number in range(5)]
    times = {
        version["LastModified"].replace(microsecond=0)
        for version in world.platform.s3.list_object_versions(Bucket=world.settings.landing_bucket)["Versions"]
    }
    assert len(times) < len(landed)
    assert discover(world.platform) == 5
    landed.append(put(world, "5"))
    assert (discover(world.platform), discover(world.platform), discover(restarted(world))) == (1, 0, 0)
    assert found(world) == sorted(landed)


def test_an_overwritten_key_is_found_once_per_version(world):
    landed = [put(world, "same"), put(world, "same", bundle(patient("ben")))]
    assert discover(world.platform) == 2
    landed.append(put(world, "same", bundle(patient("cleo"))))
    assert (discover(world.platform), discover(restarted(world))) == (1, 0)
    assert found(world) == sorted(landed)
    assert len({version for _, version in landed}) == 3
    world.drain()
    assert sorted(world.read("patient")["resource_id"]) == ["ann", "ben", "cleo"]


def test_versions_of_a_key_are_numbered_in_the_order_in_which_they_landed(world):
    """Also those of one second: four puts take less."""
    landed = [put(world, "same", bundle(patient(name)))[1] for name in ("ann", "ben", "cleo", "dan")]
    discover(world.platform)
    assert [version for (version,) in world.rows("SELECT version FROM ops.object ORDER BY seq")] == landed


def test_an_object_overwritten_between_its_ticket_and_the_reading_is_read_in_its_own_version(world):
    first, second = (bundle(patient("ann", gender=gender)) for gender in ("female", "male"))
    put(world, "same", first)
    discover(world.platform)
    ticket = world.form(1)
    put(world, "same", second)
    world.process(ticket)
    assert world.read("patient")["gender"].to_list() == ["female"]
    world.drain()
    assert world.read("patient")["gender"].to_list() == ["male"]
    assert world.rows("SELECT state, count(*) FROM ops.object GROUP BY 1") == [("published", 2)]


def test_a_key_that_sorts_before_the_last_one_is_found(world):
    last = put(world, "zzz")
    assert discover(world.platform) == 1
    first = put(world, "000")
    assert (discover(world.platform), discover(world.platform)) == (1, 0)
    assert found(world) == sorted([first, last])


def test_a_deleted_object_is_found_no_more_and_its_marker_is_no_object(world):
    key, version = put(world, "gone")
    world.platform.s3.delete_object(Bucket=world.settings.landing_bucket, Key=key)
    assert (discover(world.platform), discover(world.platform)) == (1, 0)
    assert found(world) == [(key, version)]


def test_a_batch_that_was_committed_but_never_requested_is_requested_and_after_a_while_again(world):
    world.land("one", PLAIN)
    formed = world.form(1)
    (due,) = form_batches(world.platform)
    assert due == formed
    assert form_batches(world.platform) == []
    world.let_time_pass()
    (again,) = form_batches(restarted(world))
    assert (again.batch_id, again.attempt) == (formed.batch_id, 2)
    world.process(again)
    assert reasons(world) == {"one": ("published", None)}
    world.let_time_pass()
    assert form_batches(world.platform) == []


def test_the_batch_of_a_dead_run_comes_back_with_a_higher_attempt(world):
    world.land("one", PLAIN)
    (due,) = form_batches(world.platform)
    with world.platform.db.transaction() as cur:
        dead = batches.claim(cur, due.batch_id, "dead", 30)
    assert form_batches(world.platform) == []
    world.let_time_pass()
    (again,) = form_batches(world.platform)
    assert (again.batch_id, again.attempt) == (due.batch_id, dead.attempt + 1)
    world.process(again)
    assert world.rows("SELECT state, attempt FROM ops.object") == [("published", 2)]


def test_a_batch_that_is_done_is_not_done_again(world):
    world.land("one", PLAIN)
    batch = world.form(1)
    world.process(batch)
    assert not process(world.platform, batch)
    assert world.rows("SELECT count(*) FROM ops.publication") == [(1,)]


def test_what_lands_behind_open_batches_waits_and_makes_the_next_batch_larger(new_world):
    world = new_world(batch_max_objects=3)
    for number in range(MAX_OPEN_BATCHES):
        world.land(f"{number}", PLAIN)
        assert len(form_batches(world.platform)) == 1
    for number in range(3):
        world.land(f"later-{number}", PLAIN)
        assert form_batches(world.platform) == []
    for row in batches_of(world):
        world.process(DueBatch(row["batch_id"], TENANT, "load", row["attempt"]))
    assert len(form_batches(world.platform)) == 1
    assert [row["objects"] for row in batches_of(world)] == [1] * MAX_OPEN_BATCHES + [3]


def batches_of(world: World) -> list[dict]:
    with world.platform.db.transaction() as cur:
        return batches.batch_rows(cur, TENANT)


def test_a_run_that_names_no_batch_takes_what_waits_and_the_next_run_nothing(world):
    world.land("one", PLAIN)
    with hold(world.platform, "first run", TENANT, None) as holding:
        assert holding
        assert world.rows("SELECT batch_id FROM ops.object") == [(holding.claim.batch_id,)]
        with hold(world.platform, "next run", TENANT, None) as nothing:
            assert nothing is None
    let_go(world.platform, "first run")


def test_an_error_gives_the_batch_back_for_later_and_frees_it(world):
    world.land("one", PLAIN)
    batch = world.form(1)
    with pytest.raises(TransientError), hold(world.platform, "run", TENANT, batch.batch_id):
        raise OSError("away")
    assert form_batches(world.platform) == []
    world.let_time_pass()
    (again,) = form_batches(world.platform)
    assert (again.batch_id, again.attempt) == (batch.batch_id, 2)


def test_a_batch_that_fails_at_every_attempt_is_set_aside(new_world):
    world = new_world(max_attempts=2)
    world.land("one", PLAIN)
    batch = world.form(1)
    for number in range(2):
        world.let_time_pass()
        with pytest.raises(RuntimeError), hold(world.platform, f"run-{number}", TENANT, batch.batch_id):
            raise RuntimeError("a defect")
    assert reasons(world) == {"one": ("set_aside", "attempts_exhausted")}
    assert world.drain() == 0
