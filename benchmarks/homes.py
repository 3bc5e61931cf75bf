"""Installations that a benchmark has for itself, and processes whose memory it knows."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import click
import psutil

from spv_platform.errors import UsageError
from spv_platform.local import stack
from spv_platform.local.process import read_record
from spv_platform.pipeline.platform import Platform
from spv_platform.sample import trial_files

ROOT = Path(__file__).parents[1]

#: The option of every benchmark that invents patients.
SEED = click.Option(["--seed"], type=int, default=0, show_default=True, help="Another seed is other patients.")

#: A child begins with the peak of the process that started it, so it is started by one that is small.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
_POLL_S = 0.02
_MEMORY_POLL_S = 0.25


@dataclass(frozen=True)
class Worked:
    """What a process took: wall-clock seconds from its start to its end, and its peak of resident memory."""

    seconds: float
    peak_mb: float


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A new home folder; at the end all its processes are ended and it is removed."""
    home = Path(tempfile.mkdtemp(prefix="spv-bench-"))
    try:
        yield home
    finally:
        stack.stop(home)
        shutil.rmtree(home, ignore_errors=True)


def put_trials(platform: Platform) -> None:
    """Put the sample's trials where the platform reads criteria."""
    for file in trial_files():
        platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)


def run_measured(arguments: Sequence[str], home: Path, watch: Callable[[], None] = lambda: None) -> Worked:
    """Run a Python module's command in a process of its own on a home.

    Args:
        arguments: of the Python interpreter.
        home: the installation.
        watch: called again and again while it runs.

    Raises:
        UsageError: the process failed; its last words are in the text.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, sys.executable, *arguments],
            env={**os.environ, "SPV_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            while process.poll() is None:
                watch()
                time.sleep(_POLL_S)
            seconds = time.perf_counter() - began
            peak, _ = process.communicate()
        finally:
            process.kill()
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
            raise UsageError(f"{' '.join(arguments)} failed: {last}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Worked(seconds, int(peak) * unit / 1e6)


class PeakMemory:
    """The most resident memory of any one process that a service of a home has started, seen four times a second.

    Attributes:
        mb: in 10^6 bytes.
    """

    def __init__(self, home: Path, service: str) -> None:
        record = read_record(home, service)
        process = record.process() if record else None
        if process is None:
            raise UsageError(f"{service} does not run")
        self.mb = 0.0
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_MEMORY_POLL_S):
            with contextlib.suppress(psutil.Error):
                for child in self._process.children(recursive=True):
                    # Runs end at any moment; one that is gone must not hide the others.
                    with contextlib.suppress(psutil.Error):
                        self.mb = max(self.mb, child.memory_info().rss / 1e6)
