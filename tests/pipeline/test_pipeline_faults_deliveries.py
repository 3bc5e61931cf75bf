"""Objects that are delivered again and again, in any order, or overwritten while they are being read."""

import random
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_bundles import at, bundle, patient, result
from pipeline_faults import all_the_work, fed, told
from pipeline_practices import add, go_live, put_trials, visit
from pipeline_world import TENANT, World, decisions_of, records_of, tables_of
from test_pipeline_order import DATED, EARLY, File

from spv_platform.ledger import batches
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.pipeline import stage
from spv_platform.pipeline.landing.sweep import sweep
from spv_platform.pipeline.opening import open_item

_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@st.composite
def deliveries(draw: st.DrawFn) -> list[File]:
    """Every file one to five times, in any order."""
    times = draw(st.lists(st.integers(1, 5), min_size=len(DATED), max_size=len(DATED)))
    sent = [file for file, count in zip(DATED, times, strict=True) for _ in range(count)]
    random.Random(draw(st.integers(0, 2**32))).shuffle(sent)  # noqa: S311
    return sent


@pytest.fixture(scope="module")
def once(new_world) -> World:
    """Every file once, in a batch."""
    world = new_world()
    for number, (feed, plain) in enumerate(DATED):
        world.land(f"{number:03}", plain, feed=feed)
    world.drain()
    return world


def check(new_world, once: World, sent: list[File]) -> None:
    world = new_world(batch_max_objects=20)
    for number, (feed, plain) in enumerate(sent):
        world.land(f"{number:03}", plain, feed=feed)
    world.drain()
    assert tables_of(world) == tables_of(once)
    assert records_of(world) == records_of(once)
    rows = world.rows(
        "SELECT state, entries = accepted + tombstones + duplicates + superseded + quarantined FROM ops.object"
    )
    assert rows == [("published", True)] * len(sent)


@given(deliveries())
@settings(max_examples=2, deadline=None, suppress_health_check=_QUIET)
def test_objects_delivered_one_to_five_times_in_any_order_come_to_what_each_once_does(new_world, once, sent):
    check(new_world, once, sent)


@pytest.mark.slow
@given(deliveries())
@settings(max_examples=40, deadline=None, suppress_health_check=_QUIET)
def test_objects_delivered_in_any_of_many_orders_come_to_what_each_once_does(new_world, once, sent):
    check(new_world, once, sent)


#: Whom a practice is told of, besides.
TREATED = tuple(("emr", bundle(at(EARLY, visit(name)))) for name in ("ann", "ben", "cleo", "dan"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_practices_and_history_hear_the_same_of_objects_delivered_one_to_five_times_in_any_order(
    installations, mongo_url, seed
):
    """All of them are one publication: of several, each would tell what it found."""
    chance, once = random.Random(seed), [*DATED, *TREATED]  # noqa: S311
    often = [file for file in once for _ in range(chance.randint(1, 5))]
    chance.shuffle(often)
    expected, found = (_whole(installations, mongo_url, sent) for sent in (once, often))
    assert found == expected
    assert found["told"]
    assert all(found["history"].values())


def _whole(
    installations: Callable[..., AbstractContextManager[World]], mongo_url: str, sent: list[File]
) -> dict[str, Any]:
    database = f"deliveries_{secrets.token_hex(4)}"
    made = installations(batch_max_objects=1000, mongo_url=mongo_url, mongo_database=database)
    with made as world, receiving(Receiver()) as receiver:
        put_trials(world)
        go_live(world)
        add(world, receiver)
        for number, (feed, plain) in enumerate(sent):
            world.land(f"{number:03}", plain, feed=feed)
        all_the_work(world.platform)
        found = {"tables": tables_of(world), "records": records_of(world), **decisions_of(world), **fed(world)}
        world.platform.mongo.drop_database(database)
        return found | {"told": told(receiver)}


def values(world: World) -> list[float]:
    return world.read("observation")["value_value"].to_list()


def test_of_an_object_that_is_overwritten_before_it_is_read_the_version_of_the_ticket_is_read(world, monkeypatch):
    first = bundle(patient("ann"), result("r", "ann", 1))
    key = world.land("a", first)
    batch = world.form(10)

    def overwritten_first(platform, item, contract):
        world.put(key, world.sealed("a", bundle(patient("ann"), result("r", "ann", 2))))
        return open_item(platform, item, contract)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "open_item", overwritten_first)
        world.process(batch)
    assert values(world) == [1]
    # the new version is an object of its own
    sweep(world.platform)
    with world.platform.db.transaction() as cur:
        assert batches.form(cur, TENANT, max_objects=10, max_bytes=2**30)
    world.drain()
    assert values(world) == [2]
    assert world.rows("SELECT key, state FROM ops.object ORDER BY seq") == [(key, "published")] * 2
