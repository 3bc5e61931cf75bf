"""Fixtures for every test: real servers, one stack per pytest session (per worker under xdist), and the corpus."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installations import fresh_settings, s3_client

from spv_platform.local import postgres, stack
from spv_platform.settings import Settings

_REPO = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own installation takes no part in any test."""
    for name in list(os.environ):
        if name.startswith("SPV_") and name != "SPV_CORPUS":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The S3 store and PostgreSQL, running; nothing is in them."""
    home = tmp_path_factory.mktemp("servers")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SPV_"):
                patch.delenv(name)
        # No test cuts the power, and flushing to disk for its sake takes a tenth of the time.
        patch.setitem(postgres._OPTIONS, "fsync", "off")
        settings = stack.start_servers(home, ["s3", "postgres"])
    yield settings
    stack.stop(home)


@pytest.fixture(scope="session")
def mongo_url(servers: Settings) -> str:
    """The MongoDB-compatible store, started when the first test asks for it."""
    return stack.start_servers(servers.home, ["mongo"]).mongo_url


@pytest.fixture
def settings(servers: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a fresh installation: a home, an empty database and empty buckets of its own."""
    with fresh_settings(servers, tmp_path / "home") as made:
        client = s3_client(made)
        for bucket in (made.landing_bucket, made.feeds_bucket, made.lake_bucket, made.logs_bucket):
            client.create_bucket(Bucket=bucket)
        for bucket in (made.landing_bucket, made.feeds_bucket):
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield made


@pytest.fixture
def s3(settings: Settings) -> Any:
    """A boto3 client for the buckets of `settings`."""
    return s3_client(settings)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus of real files: `$SPV_CORPUS`, else beside the repository."""
    place = Path(os.environ.get("SPV_CORPUS", _REPO.parent / "shared" / "corpus"))
    if not place.is_dir():
        pytest.skip(f"no corpus in {place}: set SPV_CORPUS")
    return place
