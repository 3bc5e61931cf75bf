"""Somebody is told of each incident once, and of nothing that is in the data."""

import dataclasses
import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import dagster as dg
import pytest

from spv_platform.definitions import build_defs
from spv_platform.ledger import batches
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.notify.signing import new_secret
from spv_platform.pipeline import deciding
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.pipeline.telling import alerting
from spv_platform.resources.platform import PlatformResource
from spv_platform.settings import Settings

CANARY = "Zyxcanary"
SECRET = new_secret()

_opened: list[Platform] = []


class Opened(PlatformResource):
    """The resource over connections that the test has opened."""

    def open(self) -> Platform:
        """The test's platform."""
        return _opened[0]


class Failing(Receiver):
    """A receiver that has its bad moments, and keeps what it got in them too."""

    status = HTTPStatus.NO_CONTENT
    headers: dict[str, str] = {}  # noqa: RUF012  (never changed in place)
    bodies: list[bytes]

    def answer(self, practice: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        self.bodies.append(body)
        status, further = super().answer(practice, headers, body)
        return (status, further) if self.status == HTTPStatus.NO_CONTENT else (self.status, self.headers)


class World:
    """An installation with a Dagster instance, and a receiver of its alerts."""

    def __init__(self, instance: dg.DagsterInstance, receiver: Failing) -> None:
        self.instance, self.receiver = instance, receiver
        self.cursor: str | None = None
        self.defs = build_defs({"platform": Opened()})
        self.look()

    @property
    def platform(self) -> Platform:
        return _opened[0]

    def run(self, job: str, batch: str | None = None, partition: str | None = None, /, **config: object) -> bool:
        definition = self.defs.resolve_job_def(job)
        ops = {node.name: {"config": config} for node in definition.nodes} if config else {}
        result = definition.execute_in_process(
            instance=self.instance,
            partition_key=partition,
            tags={"spv/batch": batch} if batch else None,
            run_config={"ops": ops},
            raise_on_error=False,
        )
        return result.success

    def look(self) -> None:
        """Ticks of the sensor, until it has seen every failed run."""
        sensor = self.defs.get_repository_def().get_sensor_def("run_failures")
        while True:
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor,
                repository_def=self.defs.get_repository_def(),
                resources={"platform": Opened()},
                sensor_name="run_failures",
            )
            cursor = sensor.evaluate_tick(context).cursor
            if cursor == self.cursor:
                return
            self.cursor = cursor

    def tell(self) -> tuple[int, int]:
        self.look()
        with self.platform.db.transaction() as cur:
            cur.execute("UPDATE ops.alert SET next_attempt_at = '-infinity'")
        return alerting.tell(self.platform, for_s=60)

    def told(self) -> list[dict[str, Any]]:
        return [message["data"] for message in self.receiver.inbox("alerts").messages.values()]


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    receiver = Failing()
    receiver.bodies = []
    receiver.trust("alerts", SECRET)
    settings = dataclasses.replace(
        settings,
        alert_url=receiver.url("alerts"),
        alert_secret=SECRET,
        ui_url="https://ui.example.org/",
        webhook_max_attempts=3,
        max_attempts=3,
    )
    prepare_home(settings)
    _opened.append(Platform(settings))
    with receiving(receiver), dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", ["north", "south"])
        yield World(instance, receiver)
    _opened.clear()


def landed_batch(platform: Platform, **changes: object) -> str:
    patient = {"resourceType": "Patient", "id": CANARY, "name": [{"family": CANARY}], "gender": "female", **changes}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant="north", feed="emr")
    discover(platform)
    (due,) = form_batches(platform)
    return due.batch_id


def fail(*_: object, **__: object) -> None:
    raise ValueError(f"cannot read {CANARY}")


def test_a_batch_that_fails_at_every_attempt_is_one_alert_and_one_more_when_it_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spv_platform.fhir.parse.parse_object", fail)
    batch = landed_batch(world.platform)
    for _ in range(2):
        assert not world.run("process_batch", batch, "north")
        world.tell()
    (told,) = world.told()
    assert (told["tenant"], told["batch"], told["reason"], told["job"]) == (
        "north",
        batch,
        "internal_error",
        "process_batch",
    )
    assert told["link"] == f"https://ui.example.org/runs/{told['run']}"
    assert told["run"] in {run.run_id for run in world.instance.get_runs()}
    assert all(told[name] for name in ("meaning", "next_step", "at"))
    assert not world.run("process_batch", batch, "north")
    world.tell()
    world.tell()
    assert [each["reason"] for each in world.told()] == ["internal_error", "attempts_exhausted"]
    assert set(world.receiver.inbox("alerts").requests.values()) == {1}
    assert CANARY.encode() not in b"".join(world.receiver.bodies)
    with world.platform.db.transaction() as cur:
        cur.execute("SELECT string_agg(alert::text, ' ') FROM ops.alert")
        assert CANARY not in str(cur.fetchone())


def test_a_refused_batch_is_told_with_the_gates_reason_and_again_after_a_person_released_it(world: World) -> None:
    batch = landed_batch(world.platform, gender="M")
    assert not world.run("process_batch", batch, "north")
    world.tell()
    world.tell()
    assert [(each["batch"], each["reason"]) for each in world.told()] == [(batch, "gate_failed")]
    deciding.release(world.platform, batch, who="test")
    world.tell()
    assert len(world.told()) == 1
    assert not world.run("process_batch", batch, "north")
    world.tell()
    assert len(world.told()) == 2
    assert CANARY.encode() not in b"".join(world.receiver.bodies)


def test_a_batch_that_was_given_up_without_a_run_is_told(world: World) -> None:
    batch = landed_batch(world.platform)
    for _ in range(3):
        with world.platform.db.transaction() as cur:
            cur.execute(
                "UPDATE ops.batch SET created_at = now() - interval '2 days', requested_at = now() - interval '1 day'"
            )
            due = batches.due(cur, retry_after_s=30, max_attempts=3)
            for each in due:
                batches.mark_requested(cur, each.batch_id)
    assert world.tell() == (1, 0)
    (told,) = world.told()
    assert (told["batch"], told["reason"], told["run"]) == (batch, "attempts_exhausted", None)
    assert world.tell() == (0, 0)


def test_a_run_whose_process_died_is_told(world: World) -> None:
    batch = landed_batch(world.platform)
    run = world.instance.create_run_for_job(
        world.defs.resolve_job_def("process_batch"), tags={"spv/batch": batch, "dagster/partition": "north"}
    )
    world.instance.report_run_failed(run, "its worker has died")
    world.tell()
    assert [(each["batch"], each["reason"], each["run"]) for each in world.told()] == [(batch, "run_died", run.run_id)]


def test_a_job_without_a_batch_is_told_once_until_it_succeeds_again(world: World) -> None:
    wrong = {"batch": CANARY, "decision": "release", "who": "test"}
    for _ in range(2):
        assert not world.run("decide_batch", **wrong)
    world.tell()
    (told,) = world.told()
    assert (told["job"], told["reason"], told["batch"], told["tenant"]) == ("decide_batch", "not_possible", None, None)
    batch = landed_batch(world.platform, gender="M")
    assert not world.run("process_batch", batch, "north")
    assert world.run("decide_batch", batch=batch, decision="reject", who="test")
    assert not world.run("decide_batch", **wrong)
    world.tell()
    assert [each["job"] for each in world.told()] == ["decide_batch", "process_batch", "decide_batch"]
    assert CANARY.encode() not in b"".join(world.receiver.bodies)


@pytest.mark.parametrize("status", [HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.FOUND])
def test_a_receiver_that_fails_or_redirects_gets_the_same_alert_again(world: World, status: HTTPStatus) -> None:
    world.receiver.status, world.receiver.headers = status, {"location": world.receiver.url("elsewhere")}
    assert not world.run("decide_batch", batch="x", decision="release", who="test")
    assert world.tell() == (0, 1)
    world.receiver.status = HTTPStatus.NO_CONTENT
    assert world.tell() == (1, 0)
    (requests,) = world.receiver.inbox("alerts").requests.values()
    assert requests == 2
    assert not world.receiver.inbox("elsewhere").refused


def test_an_alert_is_not_tried_for_ever(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.receiver.status = HTTPStatus.SERVICE_UNAVAILABLE
    assert not world.run("decide_batch", batch="x", decision="release", who="test")
    assert [world.tell() for _ in range(4)] == [(0, 1), (0, 1), (0, 1), (0, 0)]
    assert "reached nobody (503)" in caplog.text


def test_a_failed_attempt_is_not_made_again_at_once(world: World) -> None:
    world.receiver.status = HTTPStatus.SERVICE_UNAVAILABLE
    assert not world.run("decide_batch", batch="x", decision="release", who="test")
    assert world.tell() == (0, 1)
    assert alerting.tell(world.platform, for_s=60) == (0, 0)


def test_without_an_address_an_incident_is_one_line_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    _opened[0] = Platform(dataclasses.replace(world.platform.settings, alert_url=""))
    assert not world.run("decide_batch", batch="x", decision="release", who="test")
    caplog.set_level(logging.WARNING, alerting.__name__)
    caplog.clear()
    assert (world.tell(), world.tell()) == ((1, 0), (0, 0))
    lines = [record.message for record in caplog.records if record.name == alerting.__name__]
    assert len(lines) == 1
    assert "not_possible: job decide_batch" in lines[0]


def test_an_address_that_alerts_must_not_go_to_is_refused(world: World) -> None:
    _opened[0] = Platform(dataclasses.replace(world.platform.settings, alert_url="http://example.org/alerts"))
    assert not world.run("decide_batch", batch="x", decision="release", who="test")
    assert world.tell() == (0, 1)
    with world.platform.db.transaction() as cur:
        cur.execute("SELECT last_status FROM ops.alert")
        assert cur.fetchall() == [("bad_settings",)]
