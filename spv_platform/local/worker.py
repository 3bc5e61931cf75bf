"""One warm worker: a process that has everything imported and connected, and carries one run at a time.

It listens to the queue in PostgreSQL, and executes what it takes in its own main thread, the way `dagster api
execute_run` does in a process that is started for each run. It ends by itself, between two runs, when it has carried
many or has grown; and when its standard input closes, which is how `local.workers` stops it, and what it sees when
that process dies. Loads the code that each run names, as the code server did when it was started.
"""

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import psycopg2
from psycopg2 import extensions

from spv_platform.errors import TransientError
from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Database
from spv_platform.settings import Settings, load_settings

log = logging.getLogger(__name__)

#: A worker ends after this many runs, or when it holds this much memory between two runs; another takes its place.
MAX_RUNS = 500
MAX_RSS_BYTES = 2**30
#: How long a run may go on after the worker was told to stop; less than what `spv down` allows it.
FINISH_S = 4.0
#: How long a run that was interrupted may take to end before the process does.
END_S = 20.0
#: How often a running worker renews its lease and looks whether its run is to be cancelled.
BEAT_S = 1.0
#: How often an idle worker looks without having been notified.
LOOK_S = 5.0
#: First and longest pause while PostgreSQL is away.
_PAUSES_S = (0.2, 5.0)


class Worker:
    """Takes runs and executes them until it is stopped or worn out.

    Args:
        settings: of the installation.
        name: by which the queue knows this process; no other one has it.
        execute: carries the run of an id.
        max_runs: after so many it ends.
        max_rss_bytes: once it holds so much it ends.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        execute: Callable[[str], None],
        *,
        max_runs: int = MAX_RUNS,
        max_rss_bytes: int = MAX_RSS_BYTES,
    ) -> None:
        self._settings, self._name, self._execute = settings, name, execute
        self._max_runs, self._max_rss_bytes = max_runs, max_rss_bytes
        self._db = Database(settings, max_connections=2)
        self._stopping = threading.Event()
        self._wake_in, self._wake_out = os.pipe()

    def stop(self) -> None:
        """Take no more runs; one that is under way may finish if it is quick. Any thread may call this."""
        self._stopping.set()
        os.write(self._wake_out, b"x")

    def run(self) -> None:
        """Work until stopped or worn out. PostgreSQL may go away and come back meanwhile."""
        runs, pause_s = 0, _PAUSES_S[0]
        connection: extensions.connection | None = None
        while not self._stopping.is_set() and runs < self._max_runs and _rss_bytes() < self._max_rss_bytes:
            try:
                if connection is None:
                    connection = self._listen()
                # Notifications of before are of runs that this look sees.
                connection.poll()
                connection.notifies.clear()
                with self._db.transaction() as cur:
                    run_id = run_queue.take(cur, self._name, self._settings.lease_s)
                if run_id is None:
                    self._wait(connection)
                pause_s = _PAUSES_S[0]
            except (TransientError, psycopg2.Error):
                if connection is not None:
                    connection.close()
                connection = None
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _PAUSES_S[1])
                continue
            if run_id is not None:
                self._carry(run_id)
                runs += 1
        if connection is not None:
            connection.close()
        self._db.close()

    def _listen(self) -> extensions.connection:
        connection = psycopg2.connect(
            self._settings.postgres_url, connect_timeout=10, application_name=run_queue.session_name(self._name)
        )
        connection.autocommit = True
        with connection.cursor() as cur:
            cur.execute(f"LISTEN {run_queue.CHANNEL}")
        return connection

    def _wait(self, connection: extensions.connection) -> None:
        sources: list[Any] = [connection, self._wake_in]
        select.select(sources, [], [], LOOK_S)

    def _carry(self, run_id: str) -> None:
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(run_id, done), name=f"keeper-{run_id}", daemon=True)
        keeper.start()
        try:
            self._execute(run_id)
        except Exception as error:  # of Dagster or its storage; the run is seen to have no worker, and fails of it
            log.error("run %s was left: %s", run_id, type(error).__name__)
        finally:
            done.set()
            keeper.join()
            # A row that stays because PostgreSQL is away tells of a dead worker once its lease runs out.
            for _ in range(2):
                with suppress(TransientError), self._db.transaction() as cur:
                    run_queue.finish(cur, run_id, self._name)
                    break

    def _keep(self, run_id: str, done: threading.Event) -> None:
        """Renew the run's lease; interrupt the run when it is cancelled, or when the worker is to stop."""
        stopping_since: float | None = None
        while not done.wait(BEAT_S):
            if self._stopping.is_set():
                stopping_since = stopping_since or time.monotonic()
                if time.monotonic() - stopping_since >= FINISH_S:
                    break
            # While PostgreSQL is away nobody can take the run, and the run itself will fail of it.
            with suppress(TransientError), self._db.transaction() as cur:
                if not run_queue.renew(cur, run_id, self._name, self._settings.lease_s):
                    break
        if done.is_set():
            return
        # Dagster's own handler of this signal ends the run in good order.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        deadline = time.monotonic() + (END_S - FINISH_S if self._stopping.is_set() else END_S)
        while not done.wait(BEAT_S):
            if time.monotonic() > deadline:
                os._exit(1)
            with suppress(TransientError), self._db.transaction() as cur:
                run_queue.renew(cur, run_id, self._name, self._settings.lease_s)


def main() -> None:
    """Be a worker; the arguments are its name and the module of the code server."""
    name, module = sys.argv[1:]
    settings = load_settings()
    from dagster import DagsterInstance

    from spv_platform.local.warming import execute_run, warm_up

    with DagsterInstance.get() as instance:
        warm_up(settings, module)
        worker = Worker(settings, name, lambda run_id: execute_run(instance, run_id))
        threading.Thread(target=_stop_at_end_of_input, args=(worker,), name="stop", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: _stop(worker, number, frame))
        worker.run()


def _stop(worker: Worker, number: int, frame: FrameType | None) -> None:
    worker.stop()


def _stop_at_end_of_input(worker: Worker) -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1):
            pass
    worker.stop()


def _rss_bytes() -> int:
    import psutil

    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    main()
