"""Keeping a number of warm workers: starts them, replaces those that end, and stops them.

Stays small itself: it imports nothing of what a run needs.
"""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from spv_platform.errors import TransientError
from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Database
from spv_platform.settings import Settings, load_settings

#: A worker that ends with a failure is replaced after this long; after twice as long each further time, up to the last.
_PAUSES_S = (1.0, 60.0)
#: A worker is killed that was overdue at so many looks in turn, so far apart. One whose database was away is not at
#: the second look.
_LOOKS, _LOOK_EVERY_S = 3, 5.0
#: How long the workers may take to stop before they are killed.
_GRACE_S = 9.0
#: Memory that a run has freed goes back to the system: Polars' jemalloc would keep it, glibc spread it over arenas.
_ALLOCATORS = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:200,muzzy_decay_ms:0", "MALLOC_ARENA_MAX": "2"}


def keep_workers(settings: Settings, count: int, module: str, stop: threading.Event) -> None:
    """Keep `count` workers until told to stop; then they finish or give up what they do, and end.

    Args:
        settings: of the installation.
        count: how many.
        module: with the definitions, as the code server has it.
        stop: set it to end.
    """
    keepers = [
        threading.Thread(target=_Keeper(settings, module, stop).run, name=f"worker-{number}") for number in range(count)
    ]
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join()


class _Keeper:
    """Keeps one worker."""

    def __init__(self, settings: Settings, module: str, stop: threading.Event) -> None:
        self._settings, self._module, self._stop = settings, module, stop
        self._db = Database(settings, max_connections=1)

    def run(self) -> None:
        pause_s = _PAUSES_S[0]
        while not self._stop.is_set():
            name = secrets.token_hex(4)
            code = self._watch(name)
            # Its run must not look alive until the lease runs out; if this fails, it does.
            for _ in range(2):
                with suppress(TransientError), self._db.transaction() as cur:
                    run_queue.lose(cur, name)
                    break
            if code == 0:
                pause_s = _PAUSES_S[0]
                continue
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSES_S[1])
        self._db.close()

    def _watch(self, name: str) -> int:
        """Start a worker and wait for its end; its exit code. One that hangs is killed."""
        process = subprocess.Popen(  # noqa: S603 - fixed parts
            [sys.executable, "-m", "spv_platform.local.worker", name, self._module],
            env={**_ALLOCATORS, **os.environ, "SPV_HOME": str(self._settings.home)},
            stdin=subprocess.PIPE,
            # Not of our group: an interrupt at the terminal is for us alone, who tell the workers.
            process_group=0,
        )
        overdue, next_look = 0, time.monotonic() + _LOOK_EVERY_S
        while process.poll() is None and not self._stop.wait(0.2):
            if time.monotonic() < next_look:
                continue
            next_look = time.monotonic() + _LOOK_EVERY_S
            overdue = overdue + 1 if self._is_overdue(name) else 0
            if overdue == _LOOKS:
                # Stopped, or stuck where not even its keeper thread runs: it would hold its place for ever.
                process.kill()
        if process.stdin:
            process.stdin.close()
        try:
            return process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _is_overdue(self, name: str) -> bool:
        try:
            with self._db.transaction() as cur:
                return run_queue.is_overdue(cur, name)
        except TransientError:
            return False


def main() -> None:
    """Keep the workers of the home until a signal."""
    if len(sys.argv) != 3 or not sys.argv[2].isdecimal():
        sys.exit("workers: give the module of the code server and the number of workers")
    module, count = sys.argv[1:]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())
    settings = load_settings()
    if "DAGSTER_HOME" not in os.environ:
        sys.exit("workers: DAGSTER_HOME is not set: it names the folder of dagster.yaml")
    keep_workers(settings, int(count), module, stop)


if __name__ == "__main__":
    main()
