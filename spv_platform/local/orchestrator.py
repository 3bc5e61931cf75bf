"""The processes of Dagster on one host: code server, workers, daemon and web server, and what the home tells them.

`DAGSTER_HOME` is the folder `dagster` of the home. No secret is in its files or in a command: the storage reads the
database's address from the home's settings, and the compute logs take the S3 credentials from the environment.
"""

import os
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from spv_platform.ledger import run_queue
from spv_platform.ledger.db import Database
from spv_platform.local.process import NotReadyError, Service
from spv_platform.settings import Settings, write_private

CODE_SERVER = "code-server"
WORKERS = "workers"
DAEMON = "daemon"
WEBSERVER = "webserver"
NAMES = (CODE_SERVER, WORKERS, DAEMON, WEBSERVER)

#: The module with the definitions, and the name that people see it under.
MODULE = "spv_platform.definitions"
LOCATION = "spv_platform"

#: Name of the port -> the port to prefer.
PORTS = {"code_server": 4000, "webserver": 3000}

_DAY_S = 24 * 60 * 60
_TICK_DAYS = {"skipped": 1, "failure": 30, "success": 30}


def configure(settings: Settings) -> None:
    """Write `dagster.yaml` and `workspace.yaml` of the home."""
    folder = _folder(settings)
    write_private(folder / "dagster.yaml", yaml.safe_dump(_instance(settings), sort_keys=False))
    server = {"host": "127.0.0.1", "port": settings.code_server_port, "location_name": LOCATION}
    write_private(_workspace(settings), yaml.safe_dump({"load_from": [{"grpc_server": server}]}))


def make_tables(settings: Settings) -> None:
    """Make Dagster's tables if they are not there; in one place, since its processes would do it side by side."""
    import psycopg2

    connection = psycopg2.connect(settings.postgres_url)
    try:
        with connection.cursor() as cur:
            cur.execute("SELECT to_regclass('public.alembic_version'), to_regclass('public.job_ticks')")
            if None not in (cur.fetchone() or (None,)):
                return
    finally:
        connection.close()
    from dagster_postgres import DagsterPostgresStorage

    DagsterPostgresStorage(settings.postgres_url)


def services(settings: Settings) -> list[Service]:
    """How the processes are run, in the order of starting. Without workers each run is a process of its own."""
    code_server = ["-m", "dagster", "api", "grpc", "--module-name", MODULE, "--location-name", LOCATION]
    code_server += ["--host", "127.0.0.1", "--port", str(settings.code_server_port), "--log-level", "warning"]
    workspace = ["--workspace", str(_workspace(settings))]
    workers = ["-m", "spv_platform.local.workers", MODULE, str(settings.workers)]
    daemon = ["-m", "spv_platform.local.daemon", "run", *workspace]
    webserver = ["-m", "dagster_webserver", *workspace, "--host", "127.0.0.1", "--port", str(settings.webserver_port)]
    home = str(settings.home)
    begun = time.time()
    services = [
        _service(
            settings,
            CODE_SERVER,
            code_server,
            f"127.0.0.1:{settings.code_server_port}",
            partial(_code_server_ready, settings.code_server_port),
        ),
        _service(
            settings,
            WORKERS,
            workers,
            f"{settings.workers} processes",
            partial(_workers_ready, settings),
            # The workers end when the first process does, in good order.
            whole_group=False,
        ),
        _service(settings, DAEMON, daemon, home, partial(_daemon_ready, settings.postgres_url, begun)),
        _service(settings, WEBSERVER, webserver, address(settings), partial(_webserver_ready, settings)),
    ]
    return [service for service in services if settings.workers or service.name != WORKERS]


def address(settings: Settings) -> str:
    """URL of the web UI."""
    return f"http://127.0.0.1:{settings.webserver_port}"


def environment(settings: Settings) -> dict[str, str]:
    """The environment of every Dagster process; runs inherit it."""
    return {
        **os.environ,
        "SPV_HOME": str(settings.home),
        "DAGSTER_HOME": str(_folder(settings)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "GX_ANALYTICS_ENABLED": "false",
        "AWS_ACCESS_KEY_ID": settings.s3_access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_access_key,
        "AWS_DEFAULT_REGION": settings.s3_region,
        # No look-ups of an instance's role where there is none.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _service(
    settings: Settings, name: str, arguments: list[str], where: str, ready: Any, *, whole_group: bool = True
) -> Service:
    return Service(
        name,
        [sys.executable, *arguments],
        where,
        ready,
        _folder(settings),
        environment(settings),
        # Without workers runs are processes of the code server, and it would wait for them.
        whole_group=whole_group,
        grace_s=10.0,
        deadline_s=120.0,
    )


def _instance(settings: Settings) -> dict[str, Any]:
    logs: dict[str, Any] = {
        "bucket": settings.logs_bucket,
        "prefix": "dagster",
        "region": settings.s3_region,
        "local_dir": str(_folder(settings) / "compute_logs"),
        "upload_interval": 10,
        "skip_empty_files": True,
    }
    if settings.s3_endpoint:
        logs["endpoint_url"] = settings.s3_endpoint
    instance = {
        "storage": {
            "custom": {
                "module": "spv_platform.resources.storage",
                "class": "PooledPostgresStorage",
                "config": {"home": str(settings.home)},
            }
        },
        "compute_logs": {"module": "dagster_aws.s3", "class": "S3ComputeLogManager", "config": logs},
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        # Dagster's own launcher cannot see that a run's process has died: what was started and never ended ends here.
        "run_monitoring": {
            "enabled": True,
            # Runs wait in the queue while all workers are busy.
            "start_timeout_seconds": 600,
            "cancel_timeout_seconds": 60,
            "max_runtime_seconds": _DAY_S // 4,
            "poll_interval_seconds": 10,
        },
        "sensors": {"use_threads": True, "num_workers": 8},
        "schedules": {"use_threads": True, "num_workers": 2},
        "retention": {kind: {"purge_after_days": dict(_TICK_DAYS)} for kind in ("sensor", "schedule")},
        "code_servers": {"local_startup_timeout": 120},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }
    if settings.workers:
        instance["run_launcher"] = {
            "module": "spv_platform.resources.launcher",
            "class": "QueueRunLauncher",
            "config": {"home": str(settings.home)},
        }
    return instance


def _folder(settings: Settings) -> Path:
    return settings.home / "dagster"


def _workspace(settings: Settings) -> Path:
    return _folder(settings) / "workspace.yaml"


def _code_server_ready(port: int) -> None:
    import grpc  # type: ignore[import-untyped]
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=2
            )
        except grpc.RpcError as error:
            raise NotReadyError(type(error).__name__) from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotReadyError("not serving")


def _workers_ready(settings: Settings) -> None:
    database = Database(settings, max_connections=1)
    try:
        with database.transaction() as cur:
            up = run_queue.listening(cur)
    finally:
        database.close()
    if up < settings.workers:
        raise NotReadyError(f"{up} of {settings.workers} workers are up")


def _daemon_ready(postgres_url: str, begun: float) -> None:
    import psycopg2

    connection = psycopg2.connect(postgres_url)
    try:
        with connection.cursor() as cur:
            cur.execute(
                "SELECT count(*) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
                " AND timestamp >= to_timestamp(%s) AT TIME ZONE 'UTC'",
                (begun,),
            )
            if cur.fetchone() == (0,):
                raise NotReadyError("the sensor daemon has not reported yet")
    finally:
        connection.close()


def _webserver_ready(settings: Settings) -> None:
    try:
        with urllib.request.urlopen(f"{address(settings)}/server_info", timeout=5):  # noqa: S310 - a fixed http URL
            return
    except OSError as error:
        raise NotReadyError(type(error).__name__) from None
