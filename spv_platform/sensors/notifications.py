"""Sees that notifications are due, or that a tenant's first load is worked off."""

import dagster as dg

from spv_platform.jobs import relay_notifications
from spv_platform.ledger.db import now_s
from spv_platform.pipeline.telling import notifying
from spv_platform.resources.platform import PlatformResource

#: A tenant for which something stays due is relayed again after so long.
_AGAIN_AFTER_S = 30


@dg.sensor(
    job=relay_notifications,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run for each tenant that has notifications to send: new ones, and those to try again.",
)
def notifications_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick."""
    opened = platform.open()
    due = notifying.tenants_due(opened)
    if not due:
        return dg.SensorResult(skip_reason="nothing is due")
    with opened.db.transaction() as cur:
        # By the one clock that is not set back: Dagster never runs a key again.
        period = now_s(cur) // _AGAIN_AFTER_S
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"notify:{tenant}:{period}", partition_key=tenant) for tenant in due]
    )
