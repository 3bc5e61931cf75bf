"""Finding what has landed, and turning it into batches.

The ledger knows an object by (bucket, key, version), so two objects in one second, an overwritten key and a key that
sorts before the last one are each found once: nothing depends on the order of listing or on a cursor.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spv_platform.ledger import admission, batches, objects
from spv_platform.ledger.batches import DueBatch
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef

#: Open batches of one tenant beyond which what lands waits and makes the next batch larger: that is the back-pressure.
MAX_OPEN_BATCHES = 2


def discover(platform: Platform) -> int:
    """Write every object version of the landing bucket that the ledger does not know into it; how many were new."""
    bucket, known = platform.settings.landing_bucket, platform.known_objects
    found: list[FoundObject] = []
    for page in platform.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = page.get("Versions", [])
        found += found_objects(bucket, (each for each in versions if (each["Key"], each["VersionId"]) not in known))
    if not found:
        return 0
    with platform.db.transaction() as cur:
        new = objects.discover(cur, found)
    known.update((item.key, item.version) for item in found)
    return new


def found_objects(bucket: str, versions: Iterable["ObjectVersionTypeDef"]) -> list[FoundObject]:
    """Object versions of a listing's page."""
    return [
        FoundObject(
            bucket=bucket,
            key=version["Key"],
            version=version["VersionId"],
            size_bytes=version["Size"],
            etag=version["ETag"].strip('"'),
            landed_at=version["LastModified"],
        )
        for version in versions
    ]


def form_batches(platform: Platform) -> list[DueBatch]:
    """Form batches of what waits, and list every batch that is to be requested from Dagster now.

    A tenant's next batch is formed once few of its batches are open, so batches grow with the backlog; and no tenant
    has all places, so each has its turn. A batch is committed before anybody is asked to run it; one whose run never
    claimed it, or died, is listed again with a higher attempt.
    """
    settings = platform.settings
    with platform.db.transaction() as cur:
        admission.form_in_turn(
            cur,
            max_open=settings.max_open_batches,
            max_open_per_tenant=max(1, min(MAX_OPEN_BATCHES, settings.max_open_batches - 1)),
            max_objects=settings.batch_max_objects,
            max_bytes=settings.batch_max_bytes,
        )
        due = batches.due(cur, retry_after_s=settings.lease_s, max_attempts=settings.max_attempts)
        for batch in due:
            batches.mark_requested(cur, batch.batch_id)
    return due
