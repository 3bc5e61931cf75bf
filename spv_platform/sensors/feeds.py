"""Sees trial criteria and registry studies change."""

import time

import dagster as dg

from spv_platform.jobs import refresh_trials
from spv_platform.pipeline.criteria import feeds_digest, is_behind
from spv_platform.resources.platform import PlatformResource
from spv_platform.sensors.landing import look_until

_AGAIN_S = 60


@dg.sensor(
    job=refresh_trials,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a new criteria version when a file of the feeds bucket came, went or changed.",
)
def feeds_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick: looks for a change, for as long as a tick may look.

    What was asked for is asked for again each minute until it is in force: the run may have been lost.
    """
    opened = platform.open()
    asked, _, period = (context.cursor or "").partition(" ")
    now = f"{time.time() // _AGAIN_S:.0f}"

    def look() -> str:
        digest = feeds_digest(opened)
        return digest if digest != asked else ""

    lost = asked and period != now and look() == "" and is_behind(opened, asked)
    digest = asked if lost else look_until(look)
    if not digest:
        return dg.SensorResult(skip_reason="the feeds bucket has not changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(tags={"spv/feeds": digest[:16]})], cursor=f"{digest} {now}")
