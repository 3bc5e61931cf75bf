import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spv_platform.errors import PermanentError, TransientError
from spv_platform.ledger import tenants
from spv_platform.ledger.db import Database, apply_schema
from spv_platform.settings import Settings


def test_the_schema_can_be_applied_by_many_at_once_and_again(settings: Settings) -> None:
    databases = [Database(settings) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(apply_schema, databases))
    apply_schema(databases[0])
    with databases[0].transaction() as cur:
        assert tenants.tenants(cur) == []
    for database in databases:
        database.close()


def test_an_exception_leaves_nothing_behind(db: Database) -> None:
    with pytest.raises(RuntimeError), db.transaction() as cur:  # noqa: PT012
        tenants.add_tenant(cur, "west")
        raise RuntimeError
    with db.transaction() as cur:
        assert tenants.tenants(cur) == ["north", "south"]


def test_broken_connections_are_a_passing_failure_once(db: Database, ledger_settings: Settings) -> None:
    other = Database(ledger_settings)
    with other.transaction() as one, other.transaction() as two:
        one.execute("SELECT 1")
        two.execute("SELECT 1")
    with db.transaction() as cur:
        cur.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(TransientError) as caught, other.transaction() as cur:
        cur.execute("SELECT 1")
    assert caught.value.reason == "store_unavailable"
    with other.transaction() as cur:
        assert tenants.tenants(cur) == ["north", "south"]
    other.close()


def test_no_server_is_a_passing_failure(ledger_settings: Settings) -> None:
    nowhere = dataclasses.replace(ledger_settings, postgres_url="postgresql://u:canary@127.0.0.1:1/none")
    with pytest.raises(TransientError) as caught, Database(nowhere).transaction():
        pass
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_statement_says_no_value(db: Database) -> None:
    with pytest.raises(PermanentError) as caught, db.transaction() as cur:
        cur.execute("INSERT INTO ops.audit (at, who, action, what) VALUES (%s, 'w', 'a', 'x')", ("canary",))
    assert str(caught.value) == "internal_error at postgresql 22007"
    assert caught.value.__suppress_context__


def test_a_worker_that_hangs_inside_a_transaction_loses_its_locks(db: Database, ledger_settings: Settings) -> None:
    hanging = Database(dataclasses.replace(ledger_settings, lease_s=0.2))
    with pytest.raises(TransientError), hanging.transaction() as stuck:  # noqa: PT012
        stuck.execute("UPDATE ops.tenant SET removed_at = now() WHERE tenant = 'north'")
        with db.transaction() as cur:
            # Waits for the row until the server ends the hanging session.
            cur.execute("SELECT removed_at FROM ops.tenant WHERE tenant = 'north' FOR UPDATE")
            assert cur.fetchall() == [(None,)]
        stuck.execute("SELECT 1")
    hanging.close()


def test_no_more_connections_than_allowed(ledger_settings: Settings) -> None:
    database = Database(ledger_settings, max_connections=2)
    lock, inside, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        with database.transaction() as cur:
            with lock:
                inside += 1
                most = max(most, inside)
            cur.execute("SELECT 1")
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most <= 2
    database.close()


def test_bytes_come_back_as_bytes(db: Database) -> None:
    with db.transaction() as cur:
        cur.execute("SELECT %s, ARRAY[%s, NULL]::bytea[], NULL::bytea", (b"\x00\xff", b""))
        assert cur.fetchone() == (b"\x00\xff", [b"", None], None)
