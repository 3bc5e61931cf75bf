"""The home folder of an embedded stack: its folders, its lock, and what its servers keep between starts."""

import fcntl
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spv_platform.errors import UsageError
from spv_platform.settings import write_private

FOLDERS = ("run", "logs", "data", "keys", "dagster")

_STATE = "servers.json"

#: Ports are drawn below the ranges from which systems take the ports of outgoing connections. SeaweedFS puts its gRPC
#: servers 10,000 above its HTTP servers, and that must stay below the ranges too.
_PORTS = range(10_000, 22_000)
GRPC_OFFSET = 10_000
#: A server that has just ended may hold its port for a moment; whoever works with the stores knows them by their ports.
_PATIENCE_S = 3.0


def make_folders(home: Path) -> None:
    """Make the home and its folders, closed to other users.

    Raises:
        UsageError: the home belongs to somebody else, or is no folder.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{home} cannot be the platform's home ({error.strerror}): choose another SPV_HOME") from None
    if home.stat().st_uid != os.geteuid():
        raise UsageError(f"{home} belongs to another user: choose another SPV_HOME")
    for name in FOLDERS:
        private_folder(home / name)


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can enter."""
    folder.mkdir(exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the home's lock, which the system takes back when this process ends.

    Raises:
        UsageError: another command is starting or stopping this home.
    """
    file = os.open(home / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another command is starting or stopping {home}: wait until it is done") from None
        yield
    finally:
        os.close(file)


@dataclass
class State:
    """Ports and secrets of the embedded servers of a home; made at the first start, kept after."""

    ports: dict[str, int]
    secrets: dict[str, str]

    def secret(self, name: str) -> str:
        """A generated secret: the same one at every call."""
        return self.secrets.setdefault(name, secrets.token_hex(24))


def load_state(home: Path) -> State:
    """Read what the servers of a home keep."""
    try:
        values = json.loads((home / _STATE).read_text())
    except FileNotFoundError:
        return State({}, {})
    except ValueError:
        raise UsageError(f"{home / _STATE} is damaged: restore it; the passwords of the servers are in it") from None
    return State(values["ports"], values["secrets"])


def save_state(home: Path, state: State) -> None:
    """Write what the servers of a home keep."""
    write_private(home / _STATE, json.dumps({"ports": state.ports, "secrets": state.secrets}, indent=1) + "\n")


def choose_ports(state: State, wanted: Mapping[str, int], spans: Mapping[str, tuple[int, ...]] | None = None) -> None:
    """Give each name a free port: the one it had, else the wanted one, else any.

    Args:
        state: gets the ports.
        wanted: name of the port -> the port to prefer; 0 for any.
        spans: name -> offsets that must be free as well, such as `GRPC_OFFSET`.
    """
    offsets = {name: (0, *(spans or {}).get(name, ())) for name in {*state.ports, *wanted}}
    for name, preferred in wanted.items():
        taken = {port + add for other, port in state.ports.items() if other != name for add in offsets[other]}
        for port in _candidates(state.ports.get(name), preferred):
            numbers = {port + add for add in offsets[name]}
            patience_s = _PATIENCE_S if port == state.ports.get(name) else 0
            if not numbers & taken and _become_free(numbers, patience_s):
                break
        else:
            raise UsageError("no free port was found on 127.0.0.1: close some servers")
        state.ports[name] = port


def is_free(port: int) -> bool:
    """Whether a server can be bound to the port on the loopback address now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _become_free(ports: Iterable[int], patience_s: float) -> bool:
    """Whether all of the ports are free, now or soon."""
    until = time.monotonic() + patience_s
    while not all(is_free(port) for port in ports):
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)
    return True


def _candidates(kept: int | None, preferred: int) -> Iterator[int]:
    yield from (port for port in (kept, preferred) if port)
    yield from random.SystemRandom().sample(_PORTS, 200)
