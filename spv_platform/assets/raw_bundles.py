"""Claiming a batch: from here on the run works with tickets, the payload stays sealed in object storage."""

import dagster as dg

from spv_platform.assets.common import FRESHNESS, NOTHING_TO_DO, OWNERS, TENANT, batch_of
from spv_platform.ledger import objects
from spv_platform.resources.platform import PlatformResource


@dg.asset(partitions_def=TENANT, group_name="landing", kinds={"s3"}, owners=OWNERS, freshness_policy=FRESHNESS)
def raw_bundles(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Sealed objects of one batch, claimed in the ledger: tickets (bucket, key, version), never payloads."""
    with batch_of(context, platform.open()) as holding:
        if holding is None:
            return dg.MaterializeResult(metadata=NOTHING_TO_DO)
        with platform.open().db.transaction() as cur:
            items = objects.of_batch(cur, holding.claim.batch_id)
        return dg.MaterializeResult(
            metadata={
                "batch": holding.claim.batch_id,
                "kind": holding.claim.kind,
                "attempt": holding.claim.attempt,
                "objects": len(items),
                "sealed_bytes": sum(item.size_bytes for item in items),
            }
        )
