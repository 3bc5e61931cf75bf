"""The embedded stores as a whole: start, stop, again, and everything that goes wrong in between."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from local_processes import left_of

from spv_platform.errors import UsageError
from spv_platform.local import account, postgres, stack
from spv_platform.local.home import load_state
from spv_platform.local.process import read_record
from spv_platform.settings import Settings, load_settings

STORES = ["s3", "postgres"]


@pytest.fixture(scope="module")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was started once, and stopped."""
    place = tmp_path_factory.mktemp("used") / "home"
    stack.start_servers(place, ["postgres"])
    stack.stop(place)
    return place


@pytest.fixture
def home(tmp_path: Path, used_home: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    subprocess.run(["cp", "-a", used_home, place], check=True)  # much quicker than a first start
    yield place
    stack.stop(place)
    assert left_of(place) == []


def query(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(settings.postgres_url)
    try:
        connection.autocommit = True
        with connection.cursor() as cur:
            cur.execute(statement)
            return cur.fetchall() if cur.description else []
    finally:
        connection.close()


def states(home: Path) -> dict[str, str]:
    return {service.name: service.state for service in stack.status(home)}


def test_data_and_addresses_survive_down_and_up(home: Path) -> None:
    before = stack.start_servers(home, ["postgres"])
    query(before, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert stack.stop(home) == ["postgres"]
    assert left_of(home) == []
    after = stack.start_servers(home, ["postgres"])
    assert after == before == load_settings(home)
    assert query(after, "SELECT answer FROM kept") == [(42,)]


def test_a_second_start_starts_nothing(home: Path) -> None:
    said: list[str] = []
    stack.start_servers(home, STORES, progress=said.append)
    records = [read_record(home, name) for name in STORES]
    assert said == ["starting s3", "starting postgres"]
    stack.start_servers(home, STORES, progress=said.append)
    assert len(said) == 2
    assert [read_record(home, name) for name in STORES] == records
    assert all(record and record.process() for record in records)


def test_a_killed_server_is_seen_and_started_again(home: Path) -> None:
    settings = stack.start_servers(home, ["postgres"])
    query(settings, "CREATE TABLE kept AS SELECT 1 AS one")
    record = read_record(home, "postgres")
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(record.pid)] if psutil.pid_exists(record.pid) else [], timeout=5)
    assert states(home) == {
        "s3": "stopped",
        "postgres": "failed",
        "mongo": "stopped",
        "code-server": "stopped",
        "workers": "stopped",
        "daemon": "stopped",
        "webserver": "stopped",
    }
    said: list[str] = []
    assert stack.start_servers(home, ["postgres"], progress=said.append) == settings
    assert said == ["starting postgres"]
    assert query(settings, "SELECT one FROM kept") == [(1,)]


def test_a_taken_port_is_given_up_for_another(home: Path) -> None:
    before = stack.start_servers(home, ["postgres"])
    stack.stop(home)
    with socket.create_server(("127.0.0.1", load_state(home).ports["postgres"])):
        after = stack.start_servers(home, ["postgres"])
        assert after.postgres_url != before.postgres_url
        assert query(after, "SELECT 1") == [(1,)]


def test_a_lock_file_with_the_id_of_a_foreign_process_does_not_stop_postgres(home: Path) -> None:
    stack.start_servers(home, ["postgres"])
    lock = home / "data" / "postgres" / "cluster" / "postmaster.pid"
    text = lock.read_text()
    stack.stop(home)
    lock.write_text(text.replace(text.split("\n", 1)[0], str(os.getppid()), 1))
    if os.geteuid() == 0:
        os.chown(lock, lock.parent.stat().st_uid, lock.parent.stat().st_gid)
    settings = stack.start_servers(home, ["postgres"])
    assert query(settings, "SELECT 1") == [(1,)]


def test_only_the_owner_can_read_anything(home: Path) -> None:
    home.chmod(0o755)
    stack.start_servers(home, ["postgres"])
    places = list(home.iterdir())
    assert {"data", "keys", "logs", "run", "settings.json", "servers.json"} <= {place.name for place in places}
    assert [place.name for place in places if place.stat().st_mode & 0o077] == []
    stores = list((home / "data").iterdir())
    assert [store.name for store in stores if store.stat().st_mode & 0o077] == []


def test_no_secret_is_in_a_command_line(home: Path) -> None:
    stack.start_servers(home, STORES)
    secrets = set(load_state(home).secrets.values())
    assert len(secrets) >= 3
    commands = "\n".join(" ".join(psutil.Process(pid).cmdline()) for pid in left_of(home))
    assert str(home) in commands
    assert not any(secret in commands for secret in secrets)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_root_does_not_run_postgres_and_its_account_owns_the_data_only(home: Path) -> None:
    stack.start_servers(home, ["postgres"])
    record = read_record(home, "postgres")
    assert record is not None
    uid = psutil.Process(record.pid).uids().real
    assert uid != 0
    owned = {place.relative_to(home).parts[:2] for place in home.rglob("*") if place.stat().st_uid == uid}
    assert owned == {("data", "postgres")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_the_data_stays_with_its_account_when_a_better_one_appears(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "CANDIDATES", ("daemon", "nobody"))
    assert query(stack.start_servers(home, ["postgres"]), "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_programs_out_of_the_accounts_reach_are_copied_and_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "can_reach", lambda account, folder: False)
    settings = stack.start_servers(home, ["postgres"])
    assert query(settings, "SELECT 1") == [(1,)]
    copy = Path((home / "run" / "postgres-runtime").read_text())
    assert copy.is_dir()
    stack.stop(home)
    assert not copy.exists()


def test_postgres_wants_the_password_and_keeps_statements_out_of_its_log(home: Path) -> None:
    settings = stack.start_servers(home, ["postgres"])
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(settings.postgres_url.replace(load_state(home).secrets["postgres"], "wrong"))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        query(settings, "CREATE TABLE t (a text PRIMARY KEY); INSERT INTO t VALUES ('CANARY'), ('CANARY')")
    log = (home / "logs" / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "CANARY" not in log


def test_an_outside_server_is_used_and_not_remembered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = "postgresql://someone:hidden-word@db.invalid/spv"  # pragma: allowlist secret
    monkeypatch.setenv("SPV_POSTGRES_URL", outside)
    settings = stack.start_servers(home, ["postgres"])
    assert settings.postgres_url == outside
    assert states(home)["postgres"] == "outside"
    assert "hidden-word" not in (home / "settings.json").read_text() + (home / "servers.json").read_text()
    monkeypatch.delenv("SPV_POSTGRES_URL")
    with pytest.raises(UsageError, match="SPV_POSTGRES_URL"):
        load_settings(home)


def test_a_start_that_fails_ends_what_it_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres._OPTIONS, "max_connections", "many")
    with pytest.raises(UsageError, match=r"postgres ended while starting: see .*postgres\.log"):
        stack.start_servers(home, STORES)
    assert left_of(home) == []
    assert set(states(home).values()) == {"stopped"}


def test_an_interrupted_start_leaves_no_process_and_can_be_repeated(home: Path) -> None:
    code = f"""
import signal
from pathlib import Path
from spv_platform.local import stack
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its background jobs to ignore it
stack.start_servers(Path({str(home)!r}), {STORES!r}, progress=lambda text: print(text, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"postgres" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert left_of(home) == []
    assert query(stack.start_servers(home, ["postgres"]), "SELECT 1") == [(1,)]


def test_a_first_start_that_was_broken_off_is_made_anew(home: Path) -> None:
    store = home / "data" / "postgres"
    (store / "cluster").rename(store / "draft")
    (store / "draft" / "pg_wal").rename(store / "draft" / "half")
    assert query(stack.start_servers(home, ["postgres"]), "SELECT 1") == [(1,)]
    assert not (store / "draft").exists()
    assert not (store / "password").exists()


def test_a_start_that_was_killed_is_cleaned_up_by_the_next(home: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from spv_platform.local import stack
stack.start_servers(Path({str(home)!r}), ["s3"])
for name in ("s3.json",):
    (Path({str(home)!r}) / "run" / name).unlink()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    forgotten = left_of(home)
    assert len(forgotten) == 1
    stack.start_servers(home, ["s3"])
    assert not set(forgotten) & set(left_of(home))


def test_stopping_a_home_that_is_none_does_nothing(tmp_path: Path) -> None:
    assert stack.stop(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_settings_by_hand_survive_a_start(home: Path) -> None:
    stack.start_servers(home, ["postgres"])
    values = json.loads((home / "settings.json").read_text())
    (home / "settings.json").write_text(json.dumps({**values, "batch_max_objects": 7}))
    assert stack.start_servers(home, ["postgres"]).batch_max_objects == 7
