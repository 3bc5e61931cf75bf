"""The history as Dagster and the command line show it."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from installations import Opened, given_to_dagster
from pipeline_bundles import MRN, bundle, patient
from pipeline_world import TENANT, World

from spv_platform import cli
from spv_platform.assets.common import BATCH_TAG
from spv_platform.assets.patient_history import patient_history
from spv_platform.cli import history as commands
from spv_platform.ledger import history as ledger
from spv_platform.ledger import tenants
from spv_platform.pipeline import history
from spv_platform.sensors import history as sensor

#: Nobody listens there.
AWAY = "mongodb://127.0.0.1:9/?directConnection=true"


@pytest.fixture
def opened(new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes an installation with one person published, for the asset, the sensor and the commands."""
    worlds: list[World] = []

    def make(mongo_url: str) -> World:
        world = new_world(mongo_url=mongo_url, mongo_database=f"test_{secrets.token_hex(4)}")
        world.land("a", bundle(patient("ann", mrn="M-1", family="Zyxcanary")))
        world.drain()
        stack.enter_context(given_to_dagster(world.platform))
        monkeypatch.setattr(commands, "open_platform", lambda: world.platform)
        worlds.append(world)
        return world

    with ExitStack() as stack:
        yield make
    for world in worlds:
        if world.settings.mongo_url != AWAY:
            world.platform.mongo.drop_database(world.settings.mongo_database)


def materialize(**tags: str) -> dict[str, Any]:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", [TENANT])
        done = dg.materialize(
            [patient_history], partition_key=TENANT, instance=instance, resources={"platform": Opened()}, tags=tags
        )
        assert done.success
        events = "".join(dg.serialize_value(event) for event in instance.all_logs(done.run_id))
        assert "Zyxcanary" not in events
        (event,) = done.asset_materializations_for_node("patient_history")
        return {name: value.value for name, value in event.metadata.items()}


def tick() -> dg.SensorResult:
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"platform": Opened()})
        found = sensor.history_sensor(context)
    assert isinstance(found, dg.SensorResult)
    return found


def spv(*arguments: str) -> Result:
    return CliRunner().invoke(cli.spv, ["history", *arguments])


def test_the_asset_feeds_what_is_behind_and_says_how_much(opened, mongo_url):
    opened(mongo_url)
    first = materialize(**{BATCH_TAG: "any"})
    assert (first["publications"], first["documents"], first["behind"], first["refused"]) == (1, 2, 0, 0)
    assert materialize()["documents"] == 0


def test_the_asset_succeeds_while_mongodb_is_away_and_batches_leave_it_alone(opened):
    world = opened(AWAY)
    away = materialize(**{BATCH_TAG: "any"})
    assert away["behind"] == 1
    assert away["outcome"].startswith("store_unavailable at mongodb")
    assert "until MongoDB is back" in materialize(**{BATCH_TAG: "any"})["outcome"]
    # a run of its own asks again
    assert materialize()["outcome"].startswith("store_unavailable")
    with world.platform.db.transaction() as cur:
        assert [item.newest for item in ledger.behind(cur)] == [1]


def test_the_sensor_asks_for_tenants_that_are_behind_once_mongodb_answers(opened, mongo_url, monkeypatch):
    opened(mongo_url)
    assert tick().skip_reason  # the run that published feeds it
    monkeypatch.setattr(sensor, "_BEHIND_FOR_S", 0.0)
    (request,) = tick().run_requests or []
    assert request.partition_key == TENANT
    history.feed(Opened().open(), TENANT)
    assert "up to date" in str(tick().skip_reason)


def test_the_sensor_asks_for_nothing_while_mongodb_is_away(opened, monkeypatch):
    opened(AWAY)
    monkeypatch.setattr(sensor, "_BEHIND_FOR_S", 0.0)
    result = tick()
    assert not result.run_requests
    assert "1 tenants are behind, by up to 1" in str(result.skip_reason)


def test_the_sensor_removes_the_history_of_a_tenant_whose_keys_were_destroyed(opened, mongo_url):
    world = opened(mongo_url)
    platform = world.platform
    platform.keys.create_tenant("gone")
    with platform.db.transaction() as cur:
        tenants.add_tenant(cur, "gone")
        ledger.take(cur, "gone", hold_s=0, despite_pause=True)
    history.feed(platform, TENANT)
    with history.open_store(platform, "gone") as store:
        store.ensure()
    platform.keys.destroy_tenant("gone")
    tick()
    names = platform.mongo[world.settings.mongo_database].list_collection_names()
    assert {name.partition(".")[0] for name in names} == {TENANT}
    with platform.db.transaction() as cur:
        assert ledger.tenants(cur) == [TENANT]


def test_the_command_shows_feeds_and_finds(opened, mongo_url):
    opened(mongo_url)
    (north,) = (row for row in json_lines(spv("status", "--json")) if row["tenant"] == TENANT)
    assert (north["fed"], north["newest"], north["behind"], north["refused"]) == (0, 1, 1, 0)
    built = json_lines(spv("rebuild", "--tenant", TENANT, "--json"))
    assert built[0]["documents"] == 2
    (found,) = json_lines(spv("find", f"{MRN}|M-1", "--tenant", TENANT, "--json"))
    assert found["person"]["name"].startswith("Zyxcanary")
    shown = spv("find", f"{MRN}|M-1", "--tenant", TENANT).output
    assert "Zyxcanary" in shown
    assert "publication 1" in shown
    assert "nobody" in spv("find", f"{MRN}|M-2", "--tenant", TENANT).output
    assert "person 1" in spv("status").output


def test_the_command_lists_what_was_refused(opened, mongo_url):
    world = opened(mongo_url)
    assert "refused no document" in spv("status", "--refused").output
    with world.platform.db.transaction() as cur:
        ledger.note_refused(cur, TENANT, [("person", "p-1", "document_too_large")])
    (row,) = json_lines(spv("status", "--refused", "--json"))
    assert (row["document_id"], row["reason"]) == ("p-1", "document_too_large")


def json_lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]
