"""The processes of Dagster die in the middle of a load: the whole platform, as `spv up` runs it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_faults import files, without_publications
from pipeline_world import FEEDS, World, everything, installation

from spv_platform.local import orchestrator, stack
from spv_platform.local.process import read_record
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import add_tenant

PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running platform with the tenants of `installation`."""
    home = tmp_path_factory.mktemp("platform")
    world = World(Platform(stack.start(home)))
    for tenant in ("north", "south"):
        add_tenant(world.platform, tenant, FEEDS)
    yield world
    world.platform.db.close()
    stack.stop(home)


def land(world: World, number: int) -> None:
    """Land the number-th file. Equal ones would tell by their counts which batch was published first."""
    again, which = divmod(number, len(files()))
    plain, name = files(f"-{again}")[which], f"{number:03}"
    world.put(world.key(name), world.sealed(name, plain) if plain else b"no sealed object")


def settled(world: World) -> int:
    ((count,),) = world.rows("SELECT count(*) FROM ops.object WHERE state IN ('published', 'quarantined')")
    return count


def wait_until_settled(world: World, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while settled(world) < count:
        assert time.monotonic() < deadline, world.rows("SELECT state, reason, count(*) FROM ops.object GROUP BY 1, 2")
        time.sleep(0.1)


def in_peace(running: World, place: Path, count: int) -> dict[str, Any]:
    settings = running.settings
    with installation(settings, place / "home", settings.keys_dir) as world:
        world.tolerate_quarantine()
        for number in range(count):
            land(world, number)
        world.drain()
        return without_publications(everything(world))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("service", [*orchestrator.NAMES])
def test_a_load_goes_on_over_the_death_of(running, tmp_path, service):
    """The dead process is started again, as whoever watches over the host does; nothing else is done."""
    running.tolerate_quarantine()
    home = running.settings.home
    ((before,),) = running.rows("SELECT count(*) FROM ops.object")
    for number in range(before, before + 3):
        land(running, number)
    wait_until_settled(running, before + 1)
    for number in range(before + 3, before + 8):
        land(running, number)
    record = read_record(home, service)
    assert record
    process = record.process()
    assert process
    process.kill()
    process.wait(30)
    for number in range(before + 8, before + 12):
        land(running, number)
    stack.start(home)
    wait_until_settled(running, before + 12)
    found = without_publications(everything(running))
    assert found == in_peace(running, tmp_path, before + 12)
