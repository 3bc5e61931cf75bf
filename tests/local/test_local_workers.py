"""Runs that are launched into the queue and carried by warm workers: real processes, PostgreSQL and Dagster."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Database
from spv_platform.local import orchestrator, process, stack
from spv_platform.local import workers as keeping
from spv_platform.local.warming import execute_run
from spv_platform.local.worker import Worker
from spv_platform.local.workers import keep_workers
from spv_platform.pipeline import claims
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.resources.platform import PlatformResource
from spv_platform.settings import Settings

MODULE = "worker_definitions"
PATIENCE_S = 120.0


def until(reached: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@dataclass(frozen=True)
class Place:
    """An installation with Dagster's storage and the platform's ledger, but none of Dagster's services."""

    settings: Settings
    instance: dg.DagsterInstance
    db: Database

    def launch(self, job: str) -> str:
        repository = ReconstructableRepository.for_module(MODULE, "defs", str(Path(__file__).parent))
        reconstructable = repository.get_reconstructable_job(job)
        run = self.instance.create_run_for_job(
            reconstructable.get_definition(), job_code_origin=reconstructable.get_python_origin()
        )
        self.instance.report_engine_event("launching", run)
        self.instance.run_launcher.launch_run(LaunchRunContext(run, None))
        return run.run_id

    def status(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run.status.value

    def comes_to(self, run_id: str, status: str) -> None:
        until(lambda: self.status(run_id) == status, f"{self.status(run_id)}, not {status}")

    def queued(self, run_id: str) -> run_queue.Place | None:
        with self.db.transaction() as cur:
            return run_queue.find(cur, run_id)

    def said(self, run_id: str) -> str:
        entries = self.instance.all_logs(run_id)
        return "\n".join(
            str(entry.dagster_event.message if entry.dagster_event else entry.user_message) for entry in entries
        )

    def records(self, *runs: str) -> list[dg.RunRecord]:
        found = [self.instance.get_run_record_by_id(run_id) for run_id in runs]
        return [record for record in found if record]

    def clear(self) -> None:
        with self.db.transaction() as cur:
            cur.execute("TRUNCATE ops.run_queue")

    def up(self) -> int:
        with self.db.transaction() as cur:
            return run_queue.listening(cur)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("workers")
    settings = stack.start_servers(home, ["s3", "postgres"])
    try:
        prepare_home(settings)
        orchestrator.configure(settings)
        orchestrator.make_tables(settings)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in orchestrator.environment(settings).items():
                patch.setenv(name, value)
            patch.setenv("PYTHONPATH", str(Path(__file__).parent))
            with dg.DagsterInstance.get() as instance:
                yield Place(settings, instance, Database(settings))
    finally:
        stack.stop(home)


@pytest.fixture(scope="module")
def workers(place: Place) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Two workers; yields what lists their processes."""
    stop = threading.Event()
    before = set(psutil.Process().children())
    keeper = threading.Thread(target=keep_workers, args=(place.settings, 2, MODULE, stop))
    keeper.start()
    until(lambda: place.up() == 2, "no workers")
    try:
        yield lambda: [child for child in psutil.Process().children() if child not in before]
    finally:
        stop.set()
        keeper.join()


@pytest.fixture
def _empty_queue(place: Place) -> None:
    place.clear()


def in_threads(workers: list[Worker]) -> list[threading.Thread]:
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.usefixtures("_empty_queue")
def test_a_run_that_waits_is_cancelled_at_once(place: Place) -> None:
    run_id = place.launch("quick")
    assert place.instance.run_launcher.terminate(run_id)
    assert place.status(run_id) == "CANCELED"
    assert place.queued(run_id) is None
    assert not place.instance.run_launcher.terminate(run_id)


@pytest.mark.usefixtures("_empty_queue")
def test_a_run_that_nobody_takes_says_where_it_is(place: Place) -> None:
    first, second = place.launch("quick"), place.launch("quick")
    launcher = place.instance.run_launcher
    told = [launcher.get_run_worker_debug_info(record.dagster_run) for record in place.records(first, second)]
    assert told == [
        f"The run waits for a worker behind {ahead} others; 0 workers are up, see `spv status`." for ahead in (0, 1)
    ]
    health = [launcher.check_run_worker_health(record.dagster_run).status for record in place.records(first)]
    assert health == [WorkerStatus.RUNNING]
    place.clear()
    health = [launcher.check_run_worker_health(record.dagster_run).status for record in place.records(first)]
    assert health == [WorkerStatus.NOT_FOUND]
    assert not launcher.terminate(second)


@pytest.mark.usefixtures("_empty_queue")
def test_two_workers_never_take_the_same_run_and_leave_none(place: Place) -> None:
    taken: list[str] = []
    workers = [Worker(place.settings, name, taken.append) for name in ("one", "two")]
    threads = in_threads(workers)
    wanted = [f"run-{number:02}" for number in range(40)]
    for run_id in wanted:
        with place.db.transaction() as cur:
            run_queue.put(cur, run_id)
    until(lambda: len(taken) >= len(wanted), "runs are left")
    for worker in workers:
        worker.stop()
    for thread in threads:
        thread.join()
    assert sorted(taken) == wanted
    assert [place.queued(run_id) for run_id in wanted] == [None] * len(wanted)


@pytest.mark.usefixtures("_empty_queue")
def test_a_worker_ends_after_its_last_run_and_leaves_the_others_waiting(place: Place) -> None:
    taken: list[str] = []
    for run_id in ("a", "b", "c"):
        with place.db.transaction() as cur:
            run_queue.put(cur, run_id)
    Worker(place.settings, "worn", taken.append, max_runs=2).run()
    assert taken == ["a", "b"]
    assert place.queued("c") == run_queue.Place(None, True, 0)


@pytest.mark.usefixtures("_empty_queue")
def test_a_worker_that_has_grown_takes_no_run(place: Place) -> None:
    taken: list[str] = []
    with place.db.transaction() as cur:
        run_queue.put(cur, "a")
    Worker(place.settings, "large", taken.append, max_rss_bytes=1).run()
    assert taken == []
    assert place.queued("a") == run_queue.Place(None, True, 0)


@pytest.mark.usefixtures("_empty_queue")
def test_workers_and_the_launcher_go_on_after_postgres_was_restarted(place: Place) -> None:
    taken: list[str] = []
    worker = Worker(place.settings, "steady", taken.append)
    (thread,) = in_threads([worker])
    first = place.launch("quick")
    until(lambda: taken == [first], "not taken")
    process.end(place.settings.home, ["postgres"])
    assert stack.start_servers(place.settings.home, ["postgres"]).postgres_url == place.settings.postgres_url
    place.db.close()
    second = place.launch("quick")
    until(lambda: taken == [first, second], "not taken after the restart")
    worker.stop()
    thread.join()


@pytest.mark.usefixtures("_empty_queue")
def test_a_run_that_cannot_be_carried_leaves_the_queue_and_the_worker_alive(place: Place) -> None:
    taken: list[str] = []

    def execute(run_id: str) -> None:
        taken.append(run_id)
        raise OSError(run_id)

    for run_id in ("a", "b"):
        with place.db.transaction() as cur:
            run_queue.put(cur, run_id)
    Worker(place.settings, "unlucky", execute, max_runs=2).run()
    assert taken == ["a", "b"]
    assert [place.queued(run_id) for run_id in taken] == [None, None]


def test_a_batch_that_a_run_leaves_behind_is_not_kept_alive(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = place.launch("failing")
    place.clear()
    heartbeat = Mock()
    monkeypatch.setitem(claims._holdings, run_id, claims.Holding(Mock(), heartbeat))
    monkeypatch.setattr(PlatformResource, "open", lambda resource: Platform(place.settings))
    execute_run(place.instance, run_id)
    assert place.status(run_id) == "FAILURE"
    heartbeat.stop.assert_called_once()
    assert run_id not in claims._holdings


def test_a_run_that_was_ended_while_it_waited_is_not_begun(place: Place) -> None:
    run_id = place.launch("quick")
    place.instance.run_launcher.terminate(run_id)
    execute_run(place.instance, run_id)
    assert place.status(run_id) == "CANCELED"


def test_a_run_is_carried_in_a_warm_process_and_leaves_the_queue(place: Place, workers: Callable[[], list]) -> None:
    run_id = place.launch("quick")
    place.comes_to(run_id, "SUCCESS")
    until(lambda: place.queued(run_id) is None, "still in the queue")
    assert any(f"process {worker.pid}" in place.said(run_id) for worker in workers())


def test_a_run_that_fails_does_not_end_its_worker(place: Place, workers: Callable[[], list]) -> None:
    before = workers()
    failed, good = place.launch("failing"), place.launch("quick")
    place.comes_to(failed, "FAILURE")
    place.comes_to(good, "SUCCESS")
    assert workers() == before


def test_a_run_at_work_is_cancelled_by_its_worker_which_goes_on(place: Place, workers: Callable[[], list]) -> None:
    before = workers()
    run_id = place.launch("endless")
    place.comes_to(run_id, "STARTED")
    assert place.instance.run_launcher.terminate(run_id)
    place.comes_to(run_id, "CANCELED")
    until(lambda: place.queued(run_id) is None, "still in the queue")
    assert workers() == before


def test_the_run_of_a_killed_worker_fails_and_the_worker_is_replaced(place: Place, workers: Callable[[], list]) -> None:
    run_id = place.launch("endless")
    place.comes_to(run_id, "STARTED")
    (record,) = place.records(run_id)
    launcher = place.instance.run_launcher
    assert launcher.check_run_worker_health(record.dagster_run).status == WorkerStatus.RUNNING

    (pid,) = [worker.pid for worker in workers() if f"pid: {worker.pid}" in place.said(run_id)]
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: launcher.check_run_worker_health(record.dagster_run).status == WorkerStatus.FAILED,
        "the worker still counts as alive",
    )
    monitor_started_run(place.instance, None, record, logging.getLogger())  # type: ignore[arg-type]
    assert place.status(run_id) == "FAILURE"
    assert "has died" in place.said(run_id)

    until(lambda: place.up() == 2, "not replaced")
    place.comes_to(place.launch("quick"), "SUCCESS")


def test_a_worker_that_hangs_past_its_lease_is_killed_and_replaced(
    place: Place, workers: Callable[[], list], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LOOK_EVERY_S", 0.2)
    run_id = place.launch("endless")
    place.comes_to(run_id, "STARTED")
    (hung,) = [worker for worker in workers() if f"pid: {worker.pid}" in place.said(run_id)]
    hung.suspend()
    with place.db.transaction() as cur:  # its lease runs out
        cur.execute("UPDATE ops.run_queue SET lease_until = '-infinity' WHERE run_id = %s", (run_id,))
    until(lambda: not hung.is_running(), "it still hangs")
    until(lambda: place.up() == 2, "not replaced")
    (record,) = place.records(run_id)
    monitor_started_run(place.instance, None, record, logging.getLogger())  # type: ignore[arg-type]
    assert place.status(run_id) == "FAILURE"
    place.comes_to(place.launch("quick"), "SUCCESS")


def test_stopping_ends_a_run_in_good_order_and_leaves_no_process(place: Place, workers: Callable[[], list]) -> None:
    stop = threading.Event()
    before = place.up()
    keeper = threading.Thread(target=keep_workers, args=(place.settings, 1, MODULE, stop))
    mine = set(psutil.Process().children())
    keeper.start()
    until(lambda: place.up() == before + 1, "no worker")
    (worker,) = set(psutil.Process().children()) - mine
    runs = [place.launch("endless") for _ in range(3)]
    for run_id in runs:
        place.comes_to(run_id, "STARTED")
    (run_id,) = [run_id for run_id in runs if f"pid: {worker.pid}" in place.said(run_id)]
    stop.set()
    keeper.join()
    assert not worker.is_running()
    assert place.status(run_id) == "FAILURE"
    assert "interrupt" in place.said(run_id)
    for other in runs:
        place.instance.run_launcher.terminate(other)
