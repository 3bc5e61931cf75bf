"""One database for all of the ledger's tests, emptied for each, with two tenants in it."""

import dataclasses
import secrets
from collections.abc import Iterator

import psycopg2
import pytest

from spv_platform.ledger import tenants
from spv_platform.ledger.db import Database, apply_schema
from spv_platform.local import postgres
from spv_platform.local.home import load_state
from spv_platform.settings import Settings


@pytest.fixture(scope="session")
def ledger_settings(servers: Settings) -> Iterator[Settings]:
    """Settings of a database with the schema; nothing else of an installation is there."""
    name = f"ledger_{secrets.token_hex(4)}"
    admin = psycopg2.connect(servers.postgres_url)
    admin.autocommit = True
    with admin.cursor() as cur:
        cur.execute(f"CREATE DATABASE {name}")
    settings = dataclasses.replace(servers, postgres_url=postgres.url(load_state(servers.home), name))
    database = Database(settings)
    apply_schema(database)
    database.close()
    yield settings
    with admin.cursor() as cur:
        cur.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture
def db(ledger_settings: Settings) -> Iterator[Database]:
    """The emptied ledger with tenants `north` and `south`, each with a feed `emr`."""
    database = Database(ledger_settings)
    with database.transaction() as cur:
        cur.execute(
            "SELECT string_agg(format('%I.%I', schemaname, tablename), ',') FROM pg_tables WHERE schemaname = 'ops'"
        )
        ((tables,),) = cur.fetchall()
        cur.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        for tenant in ("north", "south"):
            tenants.add_tenant(cur, tenant)
            tenants.add_feed(cur, tenant, "emr", "fhir")
    yield database
    database.close()
