"""Dagster's own storage (runs, events, schedules) on the platform's PostgreSQL, over pooled connections.

`dagster-postgres` opens a connection for every query, which takes longer than most of its queries. It does so since
each of the many short-lived instances in a process would keep a pool; here all of them share one.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy
from dagster import StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine

from spv_platform.settings import load_settings

_POOL_SIZE = 4
_MAX_OVERFLOW = 20
_RECYCLE_S = 1800


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` with one connection pool per process.

    Configured by the home folder alone, whose settings hold the address of the database. So no password is in
    `dagster.yaml`, nor in the command lines into which Dagster copies it. The tables must exist.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data)
        engine = _engine(postgres_url)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The home folder."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresStorage":
        """Make the storage of a home."""
        return cls(load_settings(Path(config_value["home"])).postgres_url, inst_data)


@cache
def _engine(postgres_url: str) -> sqlalchemy.engine.Engine:
    return create_pg_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=_POOL_SIZE,
        max_overflow=_MAX_OVERFLOW,
        pool_recycle=_RECYCLE_S,
        # The server may have been restarted since the connection was used last.
        pool_pre_ping=True,
    )
