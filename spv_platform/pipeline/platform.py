"""The opened connections of one process: settings, ledger, keys, lake, object store."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spv_platform.envelope.keys import FileKeyStore, TenantKeys
from spv_platform.ledger import objects
from spv_platform.ledger.db import Database
from spv_platform.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pymongo import MongoClient

    from spv_platform.lake.store import Lake


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
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.settings.s3_endpoint or None,
            region_name=self.settings.s3_region,
            aws_access_key_id=self.settings.s3_access_key_id,
            aws_secret_access_key=self.settings.s3_secret_access_key,
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=30),
        )

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
    def known_objects(self) -> set[tuple[str, str]]:
        """(key, version) of landed objects that are surely in the ledger: read once, then kept by `discover`.

        An object that is missing here costs one insert that changes nothing.
        """
        with self.db.transaction() as cur:
            return objects.known(cur, self.settings.landing_bucket)

    def tenant_keys(self, tenant: str) -> TenantKeys:
        """The keys of a tenant.

        Raises:
            PermanentError: `unknown_tenant`.
        """
        return self.keys.tenant(tenant)
