"""Launching runs through the queue in PostgreSQL that warm workers take them from.

What belongs here: what Dagster asks of a run launcher. The queue's statements are in `ledger.run_queue`, the workers in
`local.worker`. For workers on many hosts use `CeleryRunLauncher` of dagster-celery.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from dagster import DagsterRun, StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from spv_platform.errors import TransientError
from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Cursor, Database
from spv_platform.settings import load_settings

T = TypeVar("T")

#: After PostgreSQL was restarted the first transaction finds a dead connection, the next one gets a new one.
_TRIES = 3


class QueueRunLauncher(RunLauncher, ConfigurableClass):
    """Puts runs into the queue; knows of each whether its worker lives, and can have it cancelled.

    Configured by the home folder alone, as the storage is: no password is in `dagster.yaml`.
    """

    def __init__(self, home: Path, inst_data: ConfigurableClassData | None = None) -> None:
        self._home, self._inst_data = home, inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What the launcher was made from."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The home folder."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Make the launcher of a home."""
        return cls(Path(config_value["home"]), inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Let the run wait for a worker."""
        self._in_ledger(lambda cur: run_queue.put(cur, context.dagster_run.run_id))

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: at once if it waits, otherwise its worker is asked to.

        Returns:
            Whether there was anything to cancel.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        place = self._in_ledger(lambda cur: run_queue.cancel(cur, run_id))
        if place is None:
            return False
        if place.worker is None:
            self._instance.report_run_canceled(run, "The run was cancelled while it waited for a worker.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The leases of the queue tell whether a worker lives."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's worker lives. That of a run that has just ended is not found."""
        place = self._in_ledger(lambda cur: run_queue.find(cur, run.run_id))
        if place is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "no worker has the run")
        if not place.live:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"worker {place.worker} has died", run_worker_id=place.worker
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=place.worker)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Where the run is in the queue, and how many workers there are."""
        place = self._in_ledger(lambda cur: run_queue.find(cur, run.run_id))
        workers = f"{self._in_ledger(run_queue.listening)} workers are up, see `spv status`"
        if place is None:
            return f"The run is not in the queue; {workers}."
        if place.worker is None:
            return f"The run waits for a worker behind {place.ahead} others; {workers}."
        return f"Worker {place.worker} has the run and {'lives' if place.live else 'has died'}; {workers}."

    @cached_property
    def _db(self) -> Database:
        return Database(load_settings(self._home))

    def _in_ledger(self, work: Callable[[Cursor], T]) -> T:
        for left in reversed(range(_TRIES)):
            try:
                with self._db.transaction() as cur:
                    return work(cur)
            except TransientError:
                if not left:
                    raise
        raise AssertionError("unreachable")
