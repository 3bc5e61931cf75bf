"""Installations on the running servers for tests: fresh settings, and how Dagster comes by a platform that is open."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psycopg2

from spv_platform.local import postgres
from spv_platform.local.home import load_state
from spv_platform.pipeline.platform import Platform
from spv_platform.resources.platform import PlatformResource
from spv_platform.settings import Settings

_opened: list[Platform] = []


@contextmanager
def fresh_settings(servers: Settings, home: Path, **changes: Any) -> Iterator[Settings]:
    """A home, an empty database and names of buckets of its own; database and buckets are gone afterwards.

    Args:
        servers: the running stores.
        home: a folder of its own, made here.
        changes: settings that differ.
    """
    tag = secrets.token_hex(4)
    _administer(servers, f"CREATE DATABASE test_{tag}")
    home.mkdir(mode=0o700, parents=True)
    buckets = {f"{name}_bucket": f"{name}-{tag}" for name in ("landing", "feeds", "lake", "logs")}
    url = postgres.url(load_state(servers.home), f"test_{tag}")
    own = {"home": home, "keys_dir": home / "keys", "postgres_url": url, **buckets, **changes}
    yield dataclasses.replace(servers, **own)
    for bucket in buckets.values():
        s3_client(servers).delete_bucket(Bucket=bucket)  # SeaweedFS deletes what is in it too
    _administer(servers, f"DROP DATABASE test_{tag} WITH (FORCE)")


def _administer(servers: Settings, statement: str) -> None:
    admin = psycopg2.connect(servers.postgres_url)  # each time anew: a test may restart the server
    admin.autocommit = True
    with admin.cursor() as cur:
        cur.execute(statement)
    admin.close()


def s3_client(settings: Settings) -> Any:
    """A boto3 client of the store."""
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key,
    )


class Opened(PlatformResource):
    """The resource over connections that the test has opened."""

    def open(self) -> Platform:
        """The test's platform."""
        return _opened[-1]


@contextmanager
def given_to_dagster(platform: Platform) -> Iterator[Platform]:
    """Let `Opened` give this platform."""
    _opened.append(platform)
    yield platform
    _opened.remove(platform)
