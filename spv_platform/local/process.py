"""One process of the embedded stack: starting it, knowing it again, and ending it with all it has started.

A process is known by its id together with its start time, so that a process which got the id of a dead one is never
taken for it. Everything that a service starts is found by its session, or by the mark in its environment.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from spv_platform.errors import UsageError
from spv_platform.local.account import Account
from spv_platform.settings import write_private

#: Environment variable that marks the processes of a home.
MARK = "SPV_STACK"

#: Seconds that a process gets after SIGTERM before SIGKILL, where its service does not say otherwise.
GRACE_S = 5.0

#: Seconds between the signals for what a service leaves behind.
_STRAY_GRACE_S = 2.0

_KILLS = 5

_POLL_S = 0.02

# Kept so that the children of this process can be reaped; a Popen that is forgotten while its process runs complains.
_children: list[subprocess.Popen[bytes]] = []


class NotReadyError(Exception):
    """A server does not answer yet."""


@dataclass(frozen=True)
class Service:
    """How one server is run.

    Attributes:
        address: where it is reached, without credentials.
        ready: raises `NotReadyError` until the server does its work.
        env: the whole environment of the process, secrets included; nothing secret goes into `command`.
        account: whom it runs as, where that is not the caller.
        stop_signal: asks it to end in good order.
        whole_group: whether the signal goes to all processes of its group, not to the first one alone.
        grace_s: how long it may take to end before it is killed.
        deadline_s: how long it may take to become ready.
    """

    name: str
    command: Sequence[str]
    address: str
    ready: Callable[[], None]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: int = signal.SIGTERM
    whole_group: bool = False
    grace_s: float = GRACE_S
    deadline_s: float = 60.0


@dataclass(frozen=True)
class Record:
    """What the home remembers of a started process."""

    name: str
    pid: int
    started: float
    address: str
    stop_signal: int
    whole_group: bool
    grace_s: float

    def process(self) -> psutil.Process | None:
        """The process if it still runs, else None; never another one with the same id."""
        process = self._same()
        return process if process and _is_alive(process) else None

    def session(self) -> int | None:
        """The id of the session that the process leads or led; None if the id is another process's by now."""
        # An id is not given out again while a session of that id has members: so if nobody has it, what is left in
        # the session is ours, and if somebody else has it, nothing is left.
        return self.pid if self._same() or not psutil.pid_exists(self.pid) else None

    def _same(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            # Not equal: the system derives it from its clock, which may be corrected meanwhile.
            return process if abs(process.create_time() - self.started) < 1 else None
        except psutil.NoSuchProcess:
            return None


def marked(home: Path, name: str) -> dict[str, str]:
    """The part of a process's environment by which it is found again as one of the service."""
    return {MARK: _mark(home, name)}


def log_file(home: Path, name: str) -> Path:
    """Where a service's output goes."""
    return home / "logs" / f"{name}.log"


def read_record(home: Path, name: str) -> Record | None:
    """What the home remembers of a service; None if nothing, or nothing legible."""
    try:
        return Record(**json.loads(_record_file(home, name).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def launch(home: Path, service: Service) -> Record:
    """Start a service in a session of its own and remember it. Does not wait until it is ready."""
    log = os.open(log_file(home, service.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    account = service.account
    try:
        child = subprocess.Popen(  # noqa: S603 - commands are built here, from fixed parts
            service.command,
            cwd=service.cwd,
            env={**service.env, **marked(home, service.name)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        os.close(log)
    _children.append(child)
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    record = Record(
        service.name,
        child.pid,
        started,
        service.address,
        service.stop_signal,
        service.whole_group,
        service.grace_s,
    )
    write_private(_record_file(home, service.name), json.dumps(asdict(record)))
    return record


def wait_until_ready(home: Path, service: Service) -> None:
    """Wait until a launched service does its work.

    Raises:
        UsageError: it ended, or was not ready by its deadline; names the log file.
    """
    deadline = time.monotonic() + service.deadline_s
    while True:
        record = read_record(home, service.name)
        if record is None or record.process() is None:
            raise UsageError(f"{service.name} ended while starting: see {log_file(home, service.name)}")
        try:
            return service.ready()
        except NotReadyError as error:
            if time.monotonic() > deadline:
                raise UsageError(
                    f"{service.name} at {service.address} was not ready within {service.deadline_s:.0f} s ({error}):"
                    f" see {log_file(home, service.name)}"
                ) from None
        time.sleep(_POLL_S)


def end(home: Path, names: Sequence[str]) -> list[str]:
    """End services together with everything they started; none of their processes is left afterwards.

    Returns:
        Names of the services that ran.
    """
    records = [record for name in names if (record := read_record(home, name))]
    running = [(record, process) for record in records if (process := record.process())]
    begun = time.monotonic()
    for record, process in running:
        if record.whole_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.pid, record.stop_signal)
        else:
            _signal(process, record.stop_signal)
    for record, process in running:
        _wait([process], max(0.0, begun + record.grace_s - time.monotonic()))
    _end_members(home, names, records)
    for name in names:
        _record_file(home, name).unlink(missing_ok=True)
    return [record.name for record, _ in running]


def members(home: Path, names: Sequence[str], records: Iterable[Record]) -> list[psutil.Process]:
    """All live processes of these services: by the mark in their environment, their session or their data folder.

    PostgreSQL's server processes overwrite their environment and begin sessions of their own; they stand in its data.
    """
    marks = {_mark(home, name) for name in names}
    sessions = {record.session() for record in records} - {None}
    folders = tuple(f"{home / 'data' / name}/" for name in names)
    return [process for process in psutil.process_iter() if _belongs(process, marks, sessions, folders)]


def _belongs(process: psutil.Process, marks: set[str], sessions: set[int | None], folders: tuple[str, ...]) -> bool:
    if process.pid == os.getpid() or not _is_alive(process):
        return False
    try:
        if os.getsid(process.pid) in sessions or f"{process.cwd()}/".startswith(folders):
            return True
        return process.environ().get(MARK) in marks
    except (psutil.Error, OSError):
        # Gone meanwhile, or of another user and so none of ours.
        return False


def _end_members(home: Path, names: Sequence[str], records: list[Record]) -> None:
    left = members(home, names, records)
    for process in left:
        _signal(process, signal.SIGTERM)
    _wait(left, _STRAY_GRACE_S)
    # More than once, since a process may start another one between the look and the kill.
    for _ in range(_KILLS):
        left = members(home, names, records)
        if not left:
            return
        for process in left:
            _signal(process, signal.SIGKILL)
        _wait(left, _STRAY_GRACE_S)
    raise UsageError(
        f"processes {', '.join(str(process.pid) for process in left)} of {home} cannot be ended: look at them"
    )


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _wait(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(_is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _is_alive(process: psutil.Process) -> bool:
    # A zombie has ended. One of our own is buried here; others may stay for good where process 1 buries none.
    for child in _children:
        if child.pid == process.pid:
            child.poll()
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mark(home: Path, name: str) -> str:
    return f"{home}:{name}"


def _record_file(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"
