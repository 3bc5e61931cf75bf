"""A resource that moves to another patient leaves the record that had it, and a batch finds that record by hashes."""

import polars as pl
import pytest
from pipeline_bundles import bundle, deletes, patient, result
from pipeline_world import TENANT, World

from spv_platform.pipeline import homes
from spv_platform.pipeline.platform import Platform


def process(world: World, name: str, plain: bytes, tenant: str = TENANT) -> None:
    world.land(name, plain)
    world.process(world.form(1, tenant))


def shown(world: World) -> dict[str, list[float]]:
    """The results that each person's view shows, by family name."""
    values = pl.col("latest_results").list.eval(pl.element().struct["value_number"])
    return dict(world.read("patient_view").select("name", values).iter_rows())


@pytest.fixture
def moved(world: World) -> World:
    """A result of Ann's that a later batch says is Ben's; neither of the two comes with it."""
    process(world, "first", bundle(patient("ann", family="Ann"), result("r", "ann", 1), patient("ben", family="Ben")))
    assert shown(world) == {"Ann": [1], "Ben": []}
    process(world, "second", bundle(result("r", "ben", 2)))
    return world


def test_a_resource_that_moves_leaves_the_view_that_showed_it_at_once(moved):
    assert shown(moved) == {"Ann": [], "Ben": [2]}


def test_all_that_ever_had_it_hear_of_what_becomes_of_it(moved):
    process(moved, "third", bundle(result("r", "cleo", 3), patient("cleo", family="Cleo")))
    assert shown(moved) == {"Ann": [], "Ben": [], "Cleo": [3]}
    process(moved, "fourth", deletes("Observation/r"))
    assert shown(moved) == {"Ann": [], "Ben": [], "Cleo": []}
    process(moved, "fifth", bundle(result("r", "ann", 5)))
    assert shown(moved) == {"Ann": [5], "Ben": [], "Cleo": []}


def test_a_batch_that_moves_nothing_touches_no_other_record(moved):
    process(moved, "third", bundle(result("other", "ben", 3)))
    touched = moved.rows("SELECT count(*) FROM ops.record_state WHERE seq = 3")
    assert touched == [(1,)]


def test_pairs_are_stored_once_and_read_on_from_where_a_process_has_come(moved):
    before = homes.known(moved.platform, TENANT)
    assert before.height == 2
    process(moved, "third", bundle(result("r", "ben", 3), result("new", "ben", 3)))
    assert homes.known(moved.platform, TENANT).height == 3
    assert homes.known(Platform(moved.settings), TENANT).equals(homes.known(moved.platform, TENANT))
    assert moved.rows("SELECT count(*) FROM ops.resource_home WHERE tenant = 'south'") == [(0,)]


def test_a_process_keeps_the_pairs_of_as_many_tenants_as_it_may(moved, monkeypatch):
    platform = Platform(moved.settings)
    pairs = homes.known(platform, TENANT)
    monkeypatch.setattr(homes, "MOST_KEPT", 1)
    homes.known(platform, "south")
    assert list(platform.homes) == ["south"]
    assert homes.known(platform, TENANT).equals(pairs)
    assert list(platform.homes) == [TENANT]
