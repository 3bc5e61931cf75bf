"""Sees that a history is behind, that MongoDB is back, and that a history has to go."""

import dagster as dg

from spv_platform.errors import TransientError
from spv_platform.jobs import feed_history
from spv_platform.ledger import history
from spv_platform.ledger.db import now_s
from spv_platform.resources.platform import PlatformResource

#: Younger publications are fed by the runs that made them.
_BEHIND_FOR_S = 30.0
#: A run that dies is asked for again after so long.
_AGAIN_AFTER_S = 30


@dg.sensor(
    job=feed_history,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run for each tenant whose history is behind, as soon as MongoDB answers.",
)
def history_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick; removes the histories of tenants whose keys were destroyed, too."""
    from spv_platform.pipeline.history import forget_destroyed

    opened = platform.open()
    try:
        for tenant in forget_destroyed(opened):
            context.log.info(f"the history of {tenant} is removed: its keys were destroyed")
    except TransientError as error:
        return dg.SensorResult(skip_reason=f"a history could not be removed: {error}")
    with opened.db.transaction() as cur:
        late = history.behind(cur, for_s=_BEHIND_FOR_S)
        # By the one clock that is not set back: Dagster never runs a key again.
        period = now_s(cur) // _AGAIN_AFTER_S
    if not late:
        return dg.SensorResult(skip_reason="every history is up to date")
    from spv_platform.history.store import answers

    if not answers(opened.mongo):
        worst = max(item.newest - item.seq for item in late)
        return dg.SensorResult(
            skip_reason=f"MongoDB does not answer; {len(late)} tenants are behind, by up to {worst} publications"
        )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{item.tenant}:{item.seq}:{period}", partition_key=item.tenant) for item in late
        ]
    )
