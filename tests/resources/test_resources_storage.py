"""Dagster's storage over pooled connections."""

from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import yaml
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage

from spv_platform.settings import Settings, update_settings


@dg.op
def nothing() -> None:
    pass


@dg.job(executor_def=dg.in_process_executor)
def work() -> None:
    nothing()


@pytest.fixture
def dagster_home(settings: Settings) -> Path:
    """A folder with a `dagster.yaml` that names the storage; Dagster's tables are there."""
    DagsterPostgresStorage(settings.postgres_url)
    values = ("postgres_url", "mongo_url", "s3_access_key_id", "s3_secret_access_key")
    update_settings(settings.home, {name: getattr(settings, name) for name in values})
    storage = {"module": "spv_platform.resources.storage", "class": "PooledPostgresStorage"}
    config = {
        "storage": {"custom": {**storage, "config": {"home": str(settings.home)}}},
        "telemetry": {"enabled": False},
    }
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return folder


def clients(settings: Settings) -> int:
    connection = psycopg2.connect(settings.postgres_url)
    with connection, connection.cursor() as cur:
        cur.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        row = cur.fetchone()
    connection.close()
    return row[0] if row else -1


def test_runs_and_events_are_kept(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
        result = work.execute_in_process(instance=instance)
    with dg.DagsterInstance.from_config(str(dagster_home)) as again:
        run = again.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert len(again.all_logs(result.run_id)) > 5


def test_instances_of_a_process_share_few_connections(dagster_home: Path, settings: Settings) -> None:
    for _ in range(10):
        with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
            instance.get_runs()
            instance.get_asset_keys()
            instance.all_instigator_state()
    assert 1 <= clients(settings) <= 2


def test_connections_that_the_server_dropped_are_replaced(dagster_home: Path, settings: Settings) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert instance.get_runs() == []
        admin = psycopg2.connect(settings.postgres_url)
        with admin, admin.cursor() as cur:
            cur.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        admin.close()
        assert instance.get_runs() == []


def test_the_password_is_not_in_what_dagster_passes_on(dagster_home: Path, settings: Settings) -> None:
    password = settings.postgres_url.split(":")[2].split("@")[0]
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert password not in dg.serialize_value(instance.get_ref())
