"""Starting, stopping and watching the embedded stack of a home.

Each server can be an outside one instead: if the environment names its address (`SPV_S3_ENDPOINT`,
`SPV_POSTGRES_URL`, `SPV_MONGO_URL`), then the embedded one is not started, and nothing of the environment is written
to the home.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spv_platform.errors import UsageError
from spv_platform.local import mongo, orchestrator, postgres, seaweed
from spv_platform.local.home import (
    GRPC_OFFSET,
    State,
    choose_ports,
    is_free,
    load_state,
    locked,
    make_folders,
    save_state,
)
from spv_platform.local.process import Service, end, launch, log_file, read_record, wait_until_ready
from spv_platform.settings import Settings, env_name, load_settings, update_settings

Progress = Callable[[str], None]

#: Server -> the setting that, given by the environment, says that an outside one is used.
_OUTSIDE = {seaweed.NAME: "s3_endpoint", postgres.NAME: "postgres_url", mongo.NAME: "mongo_url"}

SERVERS = tuple(_OUTSIDE)

_PORTS = {seaweed.NAME: seaweed.PORTS, postgres.NAME: ("postgres",), mongo.NAME: ("mongo",)}


@dataclass(frozen=True)
class ServiceStatus:
    """What is known of one service.

    Attributes:
        state: `running`, `stopped`, `failed` (it ended, but was not stopped) or `outside` (somebody else's server).
        pid: its process, if it runs.
        address: where it is reached, without credentials; empty if unknown.
        detail: what to look at, for a service that is not well.
    """

    name: str
    state: str
    pid: int | None
    address: str
    detail: str


def start(home: Path, *, dagster: bool = True, progress: Progress = lambda _: None) -> Settings:
    """Start what does not run yet of a home's stack, and wait until all of it works.

    If anything fails, or the caller is interrupted, what this call started is ended again.

    Args:
        home: the home folder; made if it is not there.
        dagster: whether to start the code server, the daemon and the web server too.
        progress: is told, in a few words, what happens.

    Raises:
        UsageError: a server is not installed, a port is taken, or something did not start; names its log file.
    """
    home = home.resolve()
    make_folders(home)
    with locked(home), _ended_on_failure(home) as started:
        settings = _start_servers(home, SERVERS, progress, started)
        from spv_platform.pipeline.setup import prepare_home

        prepare_home(settings)
        if dagster:
            settings = _start_dagster(home, progress, started)
    return settings


def start_servers(home: Path, names: Sequence[str] = SERVERS, *, progress: Progress = lambda _: None) -> Settings:
    """Start some of the stores only, with nothing in them; otherwise as `start`."""
    home = home.resolve()
    make_folders(home)
    with locked(home), _ended_on_failure(home) as started:
        return _start_servers(home, names, progress, started)


def stop(home: Path) -> list[str]:
    """Stop everything of a home. The data stays; no process does.

    Returns:
        Names of the services that ran.

    Raises:
        UsageError: another command is starting or stopping the home.
    """
    home = home.resolve()
    if not (home / "run").is_dir():
        return []
    with locked(home), _uninterrupted():
        return _end(home, [*SERVERS, mongo.FIRST_START, *orchestrator.NAMES])


def status(home: Path) -> list[ServiceStatus]:
    """What runs of a home, in the order of starting. Looks at processes only: asks no server anything."""
    home = home.resolve()
    return [_status(home, name) for name in (*SERVERS, *orchestrator.NAMES)]


def _start_servers(home: Path, names: Sequence[str], progress: Progress, started: list[str]) -> Settings:
    state = load_state(home)
    ours = [name for name in SERVERS if not _is_outside(name)]
    down = [name for name in ours if not _runs(home, name)]
    # A crash may have left processes that the home has forgotten; they hold its ports and data.
    end(home, [name for name in down if name in names])
    ports = [port for name in down for port in _PORTS[name]]
    choose_ports(state, dict.fromkeys(ports, 0), dict.fromkeys(seaweed.PORTS, (GRPC_OFFSET,)))
    for name in ours:
        state.secret(name)
    addresses = _addresses(state, ours)
    save_state(home, state)
    update_settings(home, addresses)
    makers: dict[str, Callable[[Path, State], Service]] = {
        seaweed.NAME: seaweed.service,
        postgres.NAME: postgres.service,
        mongo.NAME: mongo.service,
    }
    services = []
    for name in down:
        if name in names:
            progress(f"starting {name}")
            started.append(name)
            service = makers[name](home, state)
            launch(home, service)
            services.append(service)
    # All secrets of the services are made by now.
    save_state(home, state)
    for service in services:
        wait_until_ready(home, service)
    if postgres.NAME in (service.name for service in services):
        postgres.make_database(state)
    return load_settings(home)


def _start_dagster(home: Path, progress: Progress, started: list[str]) -> Settings:
    state = load_state(home)
    end(home, [name for name in orchestrator.NAMES if not _runs(home, name)])
    _choose_dagster_ports(home, state)
    save_state(home, state)
    update_settings(home, {f"{name}_port": port for name, port in state.ports.items() if name in orchestrator.PORTS})
    settings = load_settings(home)
    orchestrator.configure(settings)
    services = [service for service in orchestrator.services(settings) if not _runs(home, service.name)]
    if services:
        progress("preparing Dagster's tables")
        orchestrator.make_tables(settings)
    for service in services:
        progress(f"starting {service.name}")
        started.append(service.name)
        launch(home, service)
    for service in services:
        wait_until_ready(home, service)
    return settings


def _choose_dagster_ports(home: Path, state: State) -> None:
    for name, port_name in ((orchestrator.CODE_SERVER, "code_server"), (orchestrator.WEBSERVER, "webserver")):
        if _runs(home, name):
            continue
        variable = env_name(f"{port_name}_port")
        fixed = os.environ.get(variable)
        if fixed is None:
            choose_ports(state, {port_name: orchestrator.PORTS[port_name]})
            continue
        if not (fixed.isdecimal() and is_free(int(fixed))):
            raise UsageError(f"{variable}: port {fixed} is taken, or is none: free it, or name another port")


def _addresses(state: State, ours: Sequence[str]) -> dict[str, Any]:
    """The addresses of the embedded servers; None for those that are not ours, so that none is remembered."""
    s3 = seaweed.NAME in ours
    return {
        "s3_endpoint": seaweed.endpoint(state) if s3 else None,
        "s3_access_key_id": seaweed.ACCESS_KEY_ID if s3 else None,
        "s3_secret_access_key": state.secret(seaweed.NAME) if s3 else None,
        "analyst_access_key_id": seaweed.ANALYST_ACCESS_KEY_ID if s3 else None,
        "analyst_secret_access_key": state.secret(seaweed.ANALYST) if s3 else None,
        "postgres_url": postgres.url(state) if postgres.NAME in ours else None,
        "mongo_url": mongo.url(state) if mongo.NAME in ours else None,
    }


@contextmanager
def _ended_on_failure(home: Path) -> Iterator[list[str]]:
    started: list[str] = []
    try:
        yield started
    except BaseException:  # an interrupt as well: nothing may be left of a start that was broken off
        with _uninterrupted():
            _end(home, [*started, mongo.FIRST_START])
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no second Ctrl-C break off the ending of processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(home: Path, names: Sequence[str]) -> list[str]:
    # Dagster first: its runs need the stores to say that they were ended.
    ended = end(home, [name for name in names if name in orchestrator.NAMES])
    ended += end(home, [name for name in names if name not in orchestrator.NAMES])
    if postgres.NAME in names:
        postgres.remove_runtime(home)
    if seaweed.NAME in names:
        seaweed.remove_sockets(load_state(home))
    return ended


def _runs(home: Path, name: str) -> bool:
    record = read_record(home, name)
    return record is not None and record.process() is not None


def _is_outside(name: str) -> bool:
    return name in _OUTSIDE and env_name(_OUTSIDE[name]) in os.environ


def _status(home: Path, name: str) -> ServiceStatus:
    record = read_record(home, name)
    if record is None:
        return ServiceStatus(name, "outside" if _is_outside(name) else "stopped", None, "", "")
    if record.process() is None:
        return ServiceStatus(name, "failed", None, record.address, f"see {log_file(home, name)}")
    return ServiceStatus(name, "running", record.pid, record.address, "")
