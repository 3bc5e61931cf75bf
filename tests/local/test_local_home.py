"""The home: its folders, its lock, its ports and its secrets."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.errors import UsageError
from spv_platform.local.account import Account, can_reach
from spv_platform.local.home import (
    GRPC_OFFSET,
    State,
    choose_ports,
    load_state,
    locked,
    make_folders,
    save_state,
)


def test_the_folders_are_closed_to_others_also_if_they_were_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_folders(home)
    (home / "data").chmod(0o755)
    make_folders(home)
    for folder in (home, *home.iterdir()):
        assert folder.stat().st_mode & 0o077 == 0, folder.name


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folders(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_file_cannot_be_a_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another SPV_HOME"):
        make_folders(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to another user"):
        make_folders(tmp_path)


def test_two_commands_cannot_hold_the_lock(tmp_path: Path) -> None:
    make_folders(tmp_path)
    with locked(tmp_path), pytest.raises(UsageError, match="another command"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_killed_command_leaves_no_lock(tmp_path: Path) -> None:
    make_folders(tmp_path)
    code = f"""
import os, signal, pathlib
from spv_platform.local.home import locked
with locked(pathlib.Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with locked(tmp_path):
        pass


def test_secrets_stay_and_differ(tmp_path: Path) -> None:
    state = load_state(tmp_path)
    first, second = state.secret("a"), state.secret("b")
    save_state(tmp_path, state)
    again = load_state(tmp_path)
    assert (again.secret("a"), again.secret("b")) == (first, second)
    assert first != second
    assert (tmp_path / "servers.json").stat().st_mode & 0o077 == 0


def test_a_damaged_state_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        load_state(tmp_path)
    assert (tmp_path / "servers.json").read_text() == "{"


def test_a_port_is_kept_while_it_is_free() -> None:
    state = State({}, {})
    choose_ports(state, {"a": 0})
    port = state.ports["a"]
    choose_ports(state, {"a": 0})
    assert state.ports["a"] == port
    with socket.create_server(("127.0.0.1", port)):
        choose_ports(state, {"a": 0})
    assert state.ports["a"] != port


def test_the_preferred_port_is_left_when_its_offset_is_taken() -> None:
    state = State({}, {})
    choose_ports(state, {"a": 0}, {"a": (GRPC_OFFSET,)})
    wanted = state.ports.pop("a")
    with socket.create_server(("127.0.0.1", wanted + GRPC_OFFSET)):
        choose_ports(state, {"a": wanted}, {"a": (GRPC_OFFSET,)})
    assert state.ports["a"] != wanted


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_ports_never_collide_and_others_stay(first: list[str], second: list[str]) -> None:
    state = State({}, {})
    spans = dict.fromkeys("abcd", (GRPC_OFFSET,))
    choose_ports(state, dict.fromkeys(first, 15_000), spans)
    before = dict(state.ports)
    choose_ports(state, dict.fromkeys(second, 15_000), spans)
    numbers = [port + offset for name, port in state.ports.items() for offset in (0, *spans.get(name, ()))]
    assert len(numbers) == len(set(numbers))
    assert all(state.ports[name] == port for name, port in before.items())


def test_an_account_reaches_only_through_open_folders(tmp_path: Path) -> None:
    stranger = Account(54321, 54321)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert can_reach(stranger, Path("/"))
    (tmp_path / "a").chmod(0o700)
    assert not can_reach(stranger, inner)
    status = tmp_path.stat()
    assert can_reach(Account(status.st_uid, status.st_gid), tmp_path / "a") == can_reach(
        Account(status.st_uid, status.st_gid), inner
    )
