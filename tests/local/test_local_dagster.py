"""Dagster on the embedded stack: real daemon, code server, web server and runs."""

import dataclasses
import json
import sys
import time
import types
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster
import psutil
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from installations import s3_client
from local_processes import left_of

from spv_platform.ledger.db import Database, apply_schema
from spv_platform.local import daemon, orchestrator, stack
from spv_platform.local.home import load_state
from spv_platform.settings import Settings


def run_states(settings: Settings) -> dict[str, str]:
    query = "{runsOrError{... on Runs{results{status assetSelection{path}}}}}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{settings.webserver_port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - a fixed http URL
        runs = json.load(answer)["data"]["runsOrError"]["results"]
    return {run["assetSelection"][0]["path"][0]: run["status"] for run in runs}


def wait_for_runs(settings: Settings, wanted: dict[str, str]) -> None:
    deadline = time.monotonic() + 120
    while (seen := run_states(settings)) != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def prepare(settings: Settings) -> None:
        for bucket in (settings.logs_bucket, settings.landing_bucket):
            s3_client(settings).create_bucket(Bucket=bucket)
        apply_schema(Database(settings))

    # The stack alone: what the pipeline makes in a home is tested with the pipeline.
    setup = types.ModuleType("setup")
    setup.prepare_home = prepare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spv_platform.pipeline.setup", setup)
    monkeypatch.setattr(orchestrator, "MODULE", "stack_definitions")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    yield tmp_path
    stack.stop(tmp_path)


def test_runs_are_launched_logged_and_ended_with_the_stack(home: Path) -> None:
    said: list[str] = []
    settings = stack.start(home, progress=said.append)
    starts = [text for text in said if text.startswith("starting ")]
    assert starts == [f"starting {name}" for name in (*stack.SERVERS, *orchestrator.NAMES)]
    assert {service.state for service in stack.status(home)} == {"running"}

    wait_for_runs(settings, {"quick": "SUCCESS", "endless": "STARTED"})
    s3 = s3_client(settings)
    logs = [item["Key"] for item in s3.list_objects_v2(Bucket=settings.logs_bucket)["Contents"]]
    texts = [s3.get_object(Bucket=settings.logs_bucket, Key=key)["Body"].read() for key in logs if key.endswith(".out")]
    assert any(b"said by quick" in text for text in texts)

    commands = "\n".join(" ".join(psutil.Process(pid).cmdline()) for pid in left_of(home))
    files = "\n".join(file.read_text() for file in (home / "dagster").glob("*.yaml"))
    assert not any(secret in commands + files for secret in load_state(home).secrets.values())

    # The endless run is still at work, in a worker.
    assert set(stack.stop(home)) == {*stack.SERVERS, *orchestrator.NAMES}
    assert left_of(home) == []


def test_without_workers_runs_are_processes_of_the_code_server(servers: Settings, tmp_path: Path) -> None:
    with_workers, without = (
        dataclasses.replace(servers, home=tmp_path / name, workers=count) for name, count in (("two", 2), ("none", 0))
    )
    for settings in (with_workers, without):
        (settings.home / "dagster").mkdir(parents=True)
        orchestrator.configure(settings)
    files = [(settings.home / "dagster" / "dagster.yaml").read_text() for settings in (with_workers, without)]
    assert ["QueueRunLauncher" in file for file in files] == [True, False]
    names = [[service.name for service in orchestrator.services(settings)] for settings in (with_workers, without)]
    assert names == [list(orchestrator.NAMES), [name for name in orchestrator.NAMES if name != orchestrator.WORKERS]]


def test_the_daemon_looks_at_the_sensors_more_often_than_dagster_would(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._daemon import sensor

    monkeypatch.setattr(sensor, "MIN_INTERVAL_LOOP_TIME", sensor.MIN_INTERVAL_LOOP_TIME)
    daemon.shorten()
    assert sensor.MIN_INTERVAL_LOOP_TIME == daemon.PAUSE_S
    monkeypatch.delattr(sensor, "MIN_INTERVAL_LOOP_TIME")
    with pytest.raises(AttributeError):
        daemon.shorten()


def test_dagster_drops_ticks_that_are_old(settings: Settings) -> None:
    with dagster.DagsterInstance.ephemeral(settings=orchestrator._instance(settings)) as instance:
        for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
            kept_days = instance.get_tick_retention_settings(kind)
            ended = (TickStatus.SKIPPED, TickStatus.SUCCESS, TickStatus.FAILURE)
            assert all(0 < kept_days[status] <= 30 for status in ended)
