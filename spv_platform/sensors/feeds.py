"""Sees trial criteria and registry studies change."""

import dagster as dg

from spv_platform.jobs import refresh_trials
from spv_platform.pipeline.criteria import feeds_digest
from spv_platform.resources.platform import PlatformResource
from spv_platform.sensors.landing import look_until


@dg.sensor(
    job=refresh_trials,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a new criteria version when a file of the feeds bucket came, went or changed.",
)
def feeds_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick: looks for a change, for as long as a tick may look."""
    opened = platform.open()

    def look() -> str:
        digest = feeds_digest(opened)
        return digest if digest != context.cursor else ""

    digest = look_until(look)
    if not digest:
        return dg.SensorResult(skip_reason="the feeds bucket has not changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(tags={"spv/feeds": digest[:16]})], cursor=digest)
