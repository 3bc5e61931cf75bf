"""The opened connections of one process: settings, ledger, keys, lake, object store."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spv_platform import aws
from spv_platform.envelope.keys import FileKeyStore, TenantKeys
from spv_platform.ledger.db import Database
from spv_platform.settings import Settings

if TYPE_CHECKING:
    import polars as pl
    from mypy_boto3_s3 import S3Client
    from pymongo import MongoClient

    from spv_platform.lake.store import Lake
    from spv_platform.pipeline.homes import Kept
    from spv_platform.pipeline.landing.listing import Listing


@dataclass(frozen=True)
class Platform:
    """What every step works with. Connections open on first use, so a command pays only for what it needs."""

    settings: Settings

    @cached_property
    def db(self) -> Database:
        """The ledger's database."""
        return Database(self.settings)

    @cached_property
    def keys(self) -> FileKeyStore:
        """The tenants' keys."""
        return FileKeyStore(self.settings.keys_dir)

    @cached_property
    def s3(self) -> "S3Client":
        """The object store."""
        return aws.client(self.settings, "s3", self.settings.s3_endpoint)

    @cached_property
    def sqs(self) -> Any:
        """The server of the landing bucket's events; its address is part of the queue's."""
        address = urlsplit(self.settings.landing_queue_url)
        endpoint = f"{address.scheme}://{address.netloc}"
        return aws.client(self.settings, "sqs", endpoint, read_timeout_s=10, attempts=2)

    @cached_property
    def looks(self) -> "Listing":
        """This process's looks at the landing bucket."""
        from spv_platform.pipeline.landing.listing import Listing

        # A look that fails must leave room in a tick, which has a minute.
        s3 = aws.client(self.settings, "s3", self.settings.s3_endpoint, read_timeout_s=12, attempts=2)
        return Listing(s3, self.db, self.settings.landing_bucket)

    @cached_property
    def lake(self) -> "Lake":
        """The Delta tables."""
        from spv_platform.lake.store import Lake
        from spv_platform.pipeline.catalog import ALL_TABLES

        return Lake(self.settings, lambda tenant: self.keys.tenant(tenant).lake, ALL_TABLES)

    @cached_property
    def mongo(self) -> "MongoClient[dict[str, Any]]":
        """The history's server."""
        from spv_platform.history.store import connect

        return connect(self.settings)

    @cached_property
    def homes(self) -> "dict[str, Kept]":
        """By tenant, which records hold which resources, as far as this process has read it: see `pipeline.homes`."""
        return {}

    @cached_property
    def feed_content(self) -> "dict[str, tuple[Any, pl.DataFrame]]":
        """By tenant, what its feeds are made of, as far as this process has read it: see `pipeline.drift`."""
        return {}

    def tenant_keys(self, tenant: str) -> TenantKeys:
        """The keys of a tenant.

        Raises:
            PermanentError: `unknown_tenant`.
        """
        return self.keys.tenant(tenant)
