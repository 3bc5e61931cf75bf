"""The sweep finds whatever else was missed, and says what is gone."""

import pytest
from pipeline_bundles import bundle, patient
from pipeline_world import World, reasons

from spv_platform.ledger.sweeping import Ages
from spv_platform.pipeline.landing import pages
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.sweep import sweep

PLAIN = bundle(patient("ann"))


def put(world: World, name: str) -> str:
    key = world.key(name)
    return world.put(key, world.sealed(name, PLAIN))


def test_what_the_ledger_lacks_is_entered_and_worked_off(world: World) -> None:
    put(world, "a")
    discover(world.platform)
    for name in ("b", "c", "b"):
        put(world, name)
    planned = sweep(world.platform, dry_run=True)
    assert (planned.objects, planned.missing, planned.entered, planned.gone) == (4, 3, 0, 0)
    assert len(world.rows("SELECT 1 FROM ops.object")) == 1
    done = sweep(world.platform)
    assert (done.objects, done.missing, done.entered) == (4, 3, 3)
    assert (done.ages.waiting_objects, done.ages.open_batches) == (4, 0)
    assert done.ages.oldest_waiting_s is not None
    assert sweep(world.platform).missing == 0
    world.drain()
    assert set(reasons(world).values()) == {("published", None)}
    assert sweep(world.platform).ages == Ages()


def test_what_was_entered_while_its_feed_was_being_added_is_let_wait(world: World) -> None:
    put(world, "a")
    discover(world.platform)
    world.rows("UPDATE ops.object SET state = 'quarantined', reason = 'unknown_feed' RETURNING seq")
    sweep(world.platform, dry_run=True)
    assert set(reasons(world).values()) == {("quarantined", "unknown_feed")}
    sweep(world.platform)
    assert set(reasons(world).values()) == {("landed", None)}


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pages_of_any_size_give_the_same_report(world: World, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pages, "PAGE", size)
    for number in range(7):
        put(world, f"{number % 3}")
    seen: list[int] = []
    assert sweep(world.platform, progress=seen.append).missing == 7
    assert seen[-1] == 7
    assert sweep(world.platform).gone == 0


def test_folders_whose_names_begin_alike_are_all_swept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SeaweedFS itself leaves out some of them when it is asked for all in one listing."""
    folders = ["west/emr", "west-2/emr", "west.2/emr", "west/emr-2", "west/emr/a", "west/emr/a-b", "west/emr/a b/c"]
    keys = {f"{folder}/{number}" for folder in folders for number in range(3)}
    for key in keys:
        world.put(key, b"x")
    monkeypatch.setattr(pages, "PAGE", 6)
    assert sweep(world.platform).entered == len(keys)
    assert {key for (key,) in world.rows("SELECT key FROM ops.object")} == keys


def test_what_is_gone_from_the_bucket_is_named_and_nothing_of_it_is_dropped(world: World) -> None:
    version = put(world, "processed")
    world.drain()
    waiting = put(world, "waiting")
    discover(world.platform)
    for name, gone in (("processed", version), ("waiting", waiting)):
        world.platform.s3.delete_object(Bucket=world.settings.landing_bucket, Key=world.key(name), VersionId=gone)
    put(world, "there")
    report = sweep(world.platform)
    assert (report.objects, report.entered, report.gone, report.gone_waiting) == (1, 1, 2, 1)
    assert report.gone_objects == [1, 2]
    world.drain()
    assert reasons(world) == {
        "processed": ("published", None),
        "waiting": ("quarantined", "object_gone"),
        "there": ("published", None),
    }


def test_a_sweep_of_one_tenant_leaves_the_others_alone(world: World) -> None:
    put(world, "a")
    world.platform.s3.put_object(Bucket=world.settings.landing_bucket, Key="south/emr/b", Body=b"x")
    report = sweep(world.platform, tenant="south")
    assert (report.objects, report.entered, report.gone) == (1, 1, 0)
    assert list(reasons(world)) == ["b"]
    assert sweep(world.platform, tenant="north").gone == 0
