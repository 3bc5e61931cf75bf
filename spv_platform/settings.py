"""Addresses, credentials and limits of one installation, read once and checked at the start.

The home folder (`$SPV_HOME`, default `.spv`) holds `settings.json`, written by `spv up`. Every field can be overridden
by an environment variable `SPV_<FIELD>`, which is how production points at its own S3, PostgreSQL and MongoDB.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spv_platform.errors import UsageError

FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """One installation.

    Attributes:
        s3_endpoint: URL of an S3-compatible store; empty for AWS itself.
        postgres_url: `postgresql://…`, with user, password and database.
        mongo_url: `mongodb://…`.
        mongo_database: where the history is.
        keys_dir: folder of the key files; outside every data folder.
        landing_queue_url: a queue that speaks the SQS API, to which the landing bucket's events go; empty: none.
        workers: how many runs are carried at one time by warm workers; 0 starts a process for each run instead.
        lease_s: how long a claim or the publish lease holds without a heartbeat.
        batch_max_objects: most objects in one batch.
        batch_max_bytes: most sealed bytes in one batch, which opened are ten to twenty times as many.
        max_open_batches: load batches of all tenants that wait for a run or are at work at one time.
        max_attempts: tries of a batch before it is set aside.
        object_max_bytes: most bytes of one opened object.
        max_ratio: most opened bytes per sealed byte.
        max_entries: most entries of one object.
        analyst_access_key_id: an S3 credential that reads the analyst tables only; `spv analytics key` hands it out.
        analyst_secret_access_key: its secret; both empty where analysts get their credentials elsewhere.
        notification_link: what a notification's link begins with; the id of the event follows.
        webhook_connect_s: how long a receiver may take to accept a connection.
        webhook_total_s: how long one delivery may take.
        webhook_max_attempts: tries of a notification before it is dead.
        alert_url: where an alert for each incident is posted; empty: incidents are only logged.
        alert_secret: signs the alerts, `whsec_…`; empty: they are not signed.
        ui_url: where people find the web UI, for links; empty: on this host.
        keep_runs_days: how long Dagster keeps runs, their events and their output.
        keep_runs: the newest runs of each job and tenant that are kept whatever their age.
        keep_publications_days: how long the compacted tables of a publication stay after another took its place.
        keep_publications: the newest publications of each tenant whose compacted tables stay whatever their age.
        collect_after_hours: how old a file must be that nothing refers to before it is deleted.
        first_load_quiet_s: how long nothing may have landed before a tenant's first load counts as worked off.
    """

    home: Path
    keys_dir: Path
    postgres_url: str
    mongo_url: str
    s3_access_key_id: str
    s3_secret_access_key: str
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    landing_bucket: str = "landing"
    feeds_bucket: str = "feeds"
    lake_bucket: str = "lake"
    logs_bucket: str = "logs"
    mongo_database: str = "spv"
    landing_queue_url: str = ""
    webserver_port: int = 3000
    code_server_port: int = 4000
    workers: int = 2
    lease_s: float = 30.0
    batch_max_objects: int = 64
    batch_max_bytes: int = 3 * 2**20
    max_open_batches: int = 4
    max_attempts: int = 5
    object_max_bytes: int = 2**30
    max_ratio: int = 1000
    max_entries: int = 1_000_000
    analyst_access_key_id: str = ""
    analyst_secret_access_key: str = ""
    notification_link: str = "urn:uuid:"
    webhook_connect_s: float = 3.0
    webhook_total_s: float = 10.0
    webhook_max_attempts: int = 10
    first_load_quiet_s: float = 60.0
    alert_url: str = ""
    alert_secret: str = ""
    ui_url: str = ""
    keep_runs_days: float = 30.0
    keep_runs: int = 20
    keep_publications_days: float = 7.0
    keep_publications: int = 10
    collect_after_hours: float = 24.0

    def lake_url(self, tenant: str, *parts: str) -> str:
        """URL of a place in the tenant's part of the lake."""
        return "/".join((f"s3://{self.lake_bucket}/{tenant}", *parts))


#: The fields that `settings.json` and the environment can set.
_FIELDS = tuple(field for field in dataclasses.fields(Settings) if field.name != "home")


def home_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The home folder that the environment names, absolute."""
    return Path(env.get("SPV_HOME", ".spv")).resolve()


def load_settings(home: Path | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of a home, with the environment's overrides.

    Raises:
        UsageError: nothing is set up there, or a value is missing or of the wrong type.
    """
    home = (home or home_folder(env)).resolve()
    values: dict[str, Any] = {"home": home, "keys_dir": home / "keys", **_read(home)}
    for field in _FIELDS:
        name = env_name(field.name)
        if name in env:
            values[field.name] = env[name]
    missing = [field.name for field in _FIELDS if field.default is dataclasses.MISSING and field.name not in values]
    if missing:
        names = ", ".join(env_name(name) for name in missing)
        raise UsageError(f"no platform is set up in {home}: run `spv up`, or set {names}")
    for field in _FIELDS:
        if field.name in values:
            values[field.name] = _typed(field.name, field.type, values[field.name])
    unknown = set(values) - {field.name for field in dataclasses.fields(Settings)}
    if unknown:
        raise UsageError(f"{home / FILE}: unknown settings {', '.join(sorted(unknown))}: remove them")
    return Settings(**values)


def update_settings(home: Path, values: Mapping[str, Any]) -> None:
    """Change some values of the home's `settings.json`, which only its owner can read. None removes a value."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    merged = {name: value for name, value in (_read(home) | dict(values)).items() if value is not None}
    write_private(home / FILE, json.dumps(merged, indent=1) + "\n")


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it at any moment."""
    draft = file.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)


def env_name(field: str) -> str:
    """The environment variable that overrides a field."""
    return f"SPV_{field.upper()}"


def _read(home: Path) -> dict[str, Any]:
    file = home / FILE
    if not file.exists():
        return {}
    try:
        values = json.loads(file.read_text())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: not a JSON object: correct it, or remove it and run `spv up`")
    return values


def _typed(name: str, kind: Any, value: Any) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise UsageError(f"setting {name}: expected {kind.__name__}, got {value!r}: correct it") from None
