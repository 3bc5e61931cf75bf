"""Preparing a home: root key, ledger schema, buckets, tenants. Everything here may be run again."""

from spv_platform.ledger import tenants
from spv_platform.ledger.db import apply_schema
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.tenancy import FIRST_FEED, add_tenant
from spv_platform.settings import Settings

#: What a fresh home starts with: two tenants, each with one feed of FHIR in the platform's own container.
FIRST_TENANTS = ("north", "south")


def prepare_home(settings: Settings) -> None:
    """Make a home ready for work; a home that is ready stays as it is."""
    platform = Platform(settings)
    platform.keys.create_root()
    apply_schema(platform.db)
    make_buckets(platform)
    with platform.db.transaction() as cur:
        fresh = not tenants.tenants(cur)
    if fresh:
        for tenant in FIRST_TENANTS:
            add_tenant(platform, tenant, [FIRST_FEED])


def make_buckets(platform: Platform) -> None:
    """Make the buckets that are not there, versioned where files of others land."""
    s3, settings = platform.s3, platform.settings
    present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    wanted = (settings.landing_bucket, settings.feeds_bucket, settings.lake_bucket, settings.logs_bucket)
    for bucket in wanted:
        if bucket not in present:
            s3.create_bucket(Bucket=bucket)
    for bucket in (settings.landing_bucket, settings.feeds_bucket):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
