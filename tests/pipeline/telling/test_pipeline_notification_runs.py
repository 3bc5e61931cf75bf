"""Notifications as Dagster and the command line show them."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from installations import Opened, given_to_dagster
from pipeline_practices import Scripted, add, go_live, land_person, put_trials, relay
from pipeline_world import TENANT, World

from spv_platform import cli
from spv_platform.assets.common import BATCH_TAG
from spv_platform.assets.practice_notifications import practice_notifications
from spv_platform.cli import notifications as notification_commands
from spv_platform.cli import practice as practice_commands
from spv_platform.errors import TransientError, UsageError
from spv_platform.notify.receiver import receiving
from spv_platform.pipeline.telling import notifying
from spv_platform.sensors.notifications import notifications_sensor


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with receiving(Scripted()) as made:
        yield made


@pytest.fixture
def live(world: World, receiver: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A live tenant with a practice and a woman of whom it has not been told, for the asset, sensor and commands."""
    put_trials(world)
    go_live(world)
    add(world, receiver)
    land_person(world, "zqxann")
    for module in (notification_commands, practice_commands):
        monkeypatch.setattr(module, "open_platform", lambda: world.platform)
    with given_to_dagster(world.platform):
        yield world


def materialize(**tags: str) -> dict[str, Any]:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", [TENANT])
        done = dg.materialize(
            [practice_notifications],
            partition_key=TENANT,
            instance=instance,
            resources={"platform": Opened()},
            tags=tags,
        )
        assert done.success
        events = "".join(dg.serialize_value(event) for event in instance.all_logs(done.run_id))
        assert "zqx" not in events.lower()
        assert "whsec_" not in events
        (event,) = done.asset_materializations_for_node("practice_notifications")
        return {name: value.value for name, value in event.metadata.items()}


def tick() -> dg.SensorResult:
    with dg.instance_for_test() as instance:
        found = notifications_sensor(dg.build_sensor_context(instance=instance, resources={"platform": Opened()}))
    assert isinstance(found, dg.SensorResult)
    return found


def spv(*arguments: str) -> Result:
    return CliRunner().invoke(cli.spv, list(arguments))


def json_lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_the_asset_sends_what_is_due_and_counts_it(live, receiver):
    assert materialize(**{BATCH_TAG: "any"}) == {"sent": 1, "failed": 0, "delivered": 1}
    assert receiver.notified() == 1
    assert materialize() == {"sent": 0, "failed": 0, "delivered": 1}


def test_the_asset_succeeds_whatever_the_receiver_does(live, receiver):
    receiver.script = [500]
    assert materialize(**{BATCH_TAG: "any"}) == {"sent": 0, "failed": 1, "waiting": 1}


def test_the_asset_succeeds_while_the_ledger_is_away(live, monkeypatch):
    def away(*_args: object, **_kwargs: object) -> None:
        raise TransientError("store_unavailable", "postgresql")

    monkeypatch.setattr(notifying, "relay", away)
    assert materialize() == {"outcome": "store_unavailable at postgresql"}


def test_the_sensor_asks_for_tenants_for_which_something_is_due(live):
    (request,) = tick().run_requests or []
    assert request.partition_key == TENANT
    relay(live)
    assert tick().skip_reason is not None


def test_practices_are_added_listed_tried_and_removed_at_the_shell(live, receiver):
    url = receiver.url("hillside")
    arguments = ("practice", "add", "hillside", "--tenant", TENANT, "--url", url, "--organization", "Organization/hill")
    (added,) = json_lines(spv(*arguments, "--json"))
    assert added["secret"].startswith("whsec_")
    assert "whsec_" not in spv(*arguments).output
    assert spv(*arguments, "--new-secret").output.count("whsec_") == 1
    refused = spv("practice", "test", "hillside", "--tenant", TENANT)
    assert isinstance(refused.exception, UsageError)
    assert "did not take it: 401" in str(refused.exception)
    (again,) = json_lines(spv(*arguments, "--new-secret", "--json"))
    receiver.trust("hillside", again["secret"])
    assert json_lines(spv("practice", "test", "hillside", "--tenant", TENANT, "--json"))[0]["delivered"] is True
    assert "took it: 204" in spv("practice", "test", "hillside", "--tenant", TENANT).output
    relay(live)
    rows = {row["practice"]: row for row in json_lines(spv("practice", "list", "--json"))}
    assert (rows["lakeside"]["delivered"], rows["lakeside"]["waiting"], rows["lakeside"]["state"]) == (1, 0, "active")
    assert "whsec_" not in json.dumps(list(rows.values()))
    assert "Organization/hill" in spv("practice", "list", "--tenant", TENANT).output
    assert spv("practice", "remove", "hillside", "--tenant", TENANT).exit_code == 0
    for command in ("remove", "test"):
        assert isinstance(spv("practice", command, "hillside", "--tenant", TENANT).exception, UsageError)


def test_notifications_are_listed_shown_sent_and_tried_again_at_the_shell(live, receiver):
    (row,) = json_lines(spv("notifications", "list", "--json"))
    assert (row["state"], row["practice"], row["trial"]) == ("waiting", "lakeside", "NCT00000001")
    assert "person" not in row
    assert "1 waiting" in spv("notifications", "list", "--tenant", TENANT).output
    assert "no such notification" in spv("notifications", "list", "--state", "dead").output
    (sent,) = json_lines(spv("notifications", "send", "--tenant", TENANT, "--json"))
    assert sent == {"tenant": TENANT, "sent": 1, "failed": 0, "states": {"delivered": 1}}
    assert "0 messages sent" in spv("notifications", "send", "--tenant", TENANT).output
    (shown,) = json_lines(spv("notifications", "show", row["event"], "--tenant", TENANT, "--json"))
    assert shown["treated_by"] == ["emr/Organization/lake"]
    assert "Organization/lake" in spv("notifications", "show", row["event"], "--tenant", TENANT).output
    assert "0 messages" in spv("notifications", "retry", "--tenant", TENANT).output
    assert "live already" in spv("notifications", "live", "--tenant", TENANT).output
    assert "south is live" in spv("notifications", "live", "--tenant", "south").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "no-uuid", "--tenant", TENANT), "is a UUID"),
        (("show", "00000000-0000-0000-0000-000000000000", "--tenant", TENANT), "no event"),
        (("live", "--tenant", "nobody"), "does not exist"),
    ],
)
def test_commands_say_what_cannot_be_done(live, arguments, message):
    error = spv("notifications", *arguments).exception
    assert isinstance(error, UsageError)
    assert message in str(error)
