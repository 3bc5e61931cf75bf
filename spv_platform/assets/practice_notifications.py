"""Telling the practices about their newly approved patients."""

import dagster as dg

from spv_platform.assets.approved_patients import approved_patients
from spv_platform.assets.common import BATCH_TAG, FRESHNESS, OWNERS, TENANT, shown_failures
from spv_platform.errors import SpvError
from spv_platform.resources.platform import PlatformResource

#: A batch's run sends for so long at most; the sensor sees to the rest.
_WITHIN_A_BATCH_S = 5.0


@dg.asset(
    partitions_def=TENANT,
    group_name="trials",
    deps=[approved_patients],
    kinds={"webhook", "postgres"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
)
def practice_notifications(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Signed webhooks to the practices, one per newly approved person and trial, without personal data.

    After the publish and never in its way: a receiver that is away or refuses does not fail this; what it did not take
    is tried again by `relay_notifications`.
    """
    from spv_platform.pipeline.telling import notifying

    in_batch = BATCH_TAG in context.run.tags
    with shown_failures():
        try:
            report = notifying.relay(
                platform.open(), context.partition_key, for_s=_WITHIN_A_BATCH_S if in_batch else None
            )
        except SpvError as error:
            context.log.warning(f"notifications wait: {error}")
            return dg.MaterializeResult(metadata={"outcome": str(error)})
    return dg.MaterializeResult(metadata={"sent": report.sent, "failed": report.failed, **report.states})
