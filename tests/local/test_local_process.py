"""Processes: knowing them again, and ending them with all they have started."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from spv_platform.errors import UsageError
from spv_platform.local.home import make_folders
from spv_platform.local.process import (
    MARK,
    NotReadyError,
    Record,
    Service,
    end,
    launch,
    log_file,
    read_record,
    wait_until_ready,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    make_folders(tmp_path)
    yield tmp_path
    end(tmp_path, ["x"])


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else, the leader of a session as a server would be."""
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def service(home: Path, code: str, ready: object = None, **changes: object) -> Service:
    command = [sys.executable, "-c", code]
    return replace(Service("x", command, "nowhere", ready or (lambda: None), home), **changes)  # type: ignore[arg-type]


def marked(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mark = process.environ().get(MARK, "")
            if mark.startswith(f"{home}:") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def runs(process: psutil.Process) -> bool:
    # A zombie has ended; whether somebody buries it is not ours to say.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(file: Path) -> str:
    deadline = time.monotonic() + 20
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"{file.name} never came"
        time.sleep(0.01)
    return file.read_text()


def test_a_service_ends_with_everything_it_started(home: Path) -> None:
    # A child in the session, and one that has left it.
    code = f"""
import subprocess, sys, time, pathlib
a = subprocess.Popen({SLEEP!r})
b = subprocess.Popen({SLEEP!r}, start_new_session=True)
pathlib.Path({str(home / "pids")!r}).write_text(f"{{a.pid}} {{b.pid}}\\n")
time.sleep(600)
"""
    launch(home, service(home, code))
    children = [psutil.Process(int(pid)) for pid in wait_for(home / "pids").split()]
    assert end(home, ["x"]) == ["x"]
    assert not any(runs(child) for child in children)
    assert marked(home) == []
    assert read_record(home, "x") is None


def test_children_of_a_dead_service_are_ended_too(home: Path) -> None:
    code = f"""
import subprocess, pathlib, time
child = subprocess.Popen({SLEEP!r}, env={{}})
pathlib.Path({str(home / "pids")!r}).write_text(f"{{child.pid}}\\n")
time.sleep(600)
"""
    record = launch(home, service(home, code))
    child = psutil.Process(int(wait_for(home / "pids")))
    leader = record.process()
    assert leader is not None
    leader.kill()
    leader.wait()
    assert runs(child)
    assert end(home, ["x"]) == []
    assert not runs(child)


def test_a_service_that_ignores_the_signal_is_killed(home: Path) -> None:
    ready = home / "deaf"
    code = f"""
import signal, time, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(ready)!r}).write_text("yes\\n")
time.sleep(600)
"""
    record = launch(home, service(home, code, grace_s=0.1))
    wait_for(ready)
    assert end(home, ["x"]) == ["x"]
    assert record.process() is None


def test_a_foreign_process_with_a_recycled_id_is_left_alone(home: Path, foreign: subprocess.Popen[bytes]) -> None:
    started = psutil.Process(foreign.pid).create_time() - 60
    stale = Record("x", foreign.pid, started, "nowhere", 15, True, 1.0)
    (home / "run" / "x.json").write_text(json.dumps(asdict(stale)))
    assert end(home, ["x"]) == []
    assert foreign.poll() is None
    assert read_record(home, "x") is None


def test_a_process_of_another_home_is_left_alone(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    make_folders(other)
    record = launch(other, service(other, "import time; time.sleep(600)"))
    end(home, ["x"])
    assert record.process() is not None
    end(other, ["x"])
    assert record.process() is None


def test_ending_twice_is_no_error(home: Path) -> None:
    launch(home, service(home, "import time; time.sleep(600)"))
    assert end(home, ["x"]) == ["x"]
    assert end(home, ["x"]) == []


def test_a_service_that_ends_while_starting_is_named_with_its_log(home: Path) -> None:
    def never() -> None:
        raise NotReadyError("no")

    failing = service(home, "raise SystemExit('bad luck')", never)
    launch(home, failing)
    with pytest.raises(UsageError, match="x ended while starting") as error:
        wait_until_ready(home, failing)
    assert str(log_file(home, "x")) in str(error.value)
    assert "bad luck" in log_file(home, "x").read_text()


def test_a_service_that_is_never_ready_is_given_up_at_its_deadline(home: Path) -> None:
    def never() -> None:
        raise NotReadyError("no answer")

    slow = service(home, "import time; time.sleep(600)", never, deadline_s=0.0)
    launch(home, slow)
    with pytest.raises(UsageError, match=r"not ready within 0 s \(no answer\)"):
        wait_until_ready(home, slow)


def test_what_a_service_writes_is_for_its_owner_only(home: Path) -> None:
    made = home / "made"
    launch(home, service(home, f"open({str(made)!r}, 'w').write('x\\n')"))
    wait_for(made)
    for file in (made, log_file(home, "x"), home / "run" / "x.json"):
        assert file.stat().st_mode & 0o077 == 0, file.name


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]"])
def test_an_illegible_record_counts_as_none(home: Path, text: str) -> None:
    (home / "run" / "x.json").write_text(text)
    assert read_record(home, "x") is None
    assert end(home, ["x"]) == []


def test_the_caller_is_never_among_the_ended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, f"{home}:x")
    end(home, ["x"])
    assert os.getpid()
