"""Sees runs fail and batches set aside, and has somebody told: one alert per incident."""

import time

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from spv_platform.assets.common import BATCH_TAG, REASON
from spv_platform.errors import TransientError
from spv_platform.pipeline.telling import alerting
from spv_platform.reasons import REASONS
from spv_platform.resources.platform import PlatformResource

#: Dagster shows a failed run to the sensor once only, so a ledger that is away for a moment must not lose it.
_TRIES, _PAUSE_S = 5, 1.0
#: Well under the 60 s after which a tick is killed, with one receiver that hangs.
_TELL_FOR_S = 20.0


@dg.run_failure_sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notes each failed run as an incident: of its batch, or else of its job until a run of it succeeds.",
)
def run_failures(context: dg.RunFailureSensorContext, platform: PlatformResource) -> None:
    """One failed run."""
    run = context.dagster_run
    tenant = run.tags.get(PARTITION_NAME_TAG)
    failed = alerting.FailedRun(
        run.run_id, run.job_name, tenant, run.tags.get(BATCH_TAG), _reason(context), _last_success(context)
    )
    for left in reversed(range(_TRIES)):
        try:
            new = alerting.note_failed_run(platform.open(), failed)
            break
        except TransientError:
            if not left:
                raise
            time.sleep(_PAUSE_S)
    context.log.info(f"{failed.reason}: {'a new incident' if new else 'an incident that is known'}")


@dg.sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells each incident once: failed runs, and batches that are set aside; tries again if nobody answers.",
)
def alerts_sensor(platform: PlatformResource) -> dg.SkipReason:
    """One tick."""
    told, failed = alerting.tell(platform.open(), for_s=_TELL_FOR_S)
    return dg.SkipReason(f"{told} incidents were told, {failed} are tried again" if told or failed else "no incident")


def _reason(context: dg.RunFailureSensorContext) -> str:
    """The code that our own failures carry. The texts of others may hold data, so only their classes count."""
    events = context.get_step_failure_events()
    for event in events:
        told = event.step_failure_data.user_failure_data
        if told and REASON in told.metadata:
            code = str(told.metadata[REASON].value)
            return code if code in REASONS else "internal_error"
    classes = {event.step_failure_data.error.cls_name for event in events if event.step_failure_data.error}
    if "DagsterAssetCheckFailedError" in classes:
        return "gate_failed"
    return "internal_error" if classes - {"DagsterExecutionInterruptedError"} else "run_died"


def _last_success(context: dg.RunFailureSensorContext) -> str:
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    tenant = run.tags.get(PARTITION_NAME_TAG)
    found = context.instance.get_runs(
        dg.RunsFilter(
            job_name=run.job_name,
            statuses=[dg.DagsterRunStatus.SUCCESS],
            tags={PARTITION_NAME_TAG: tenant} if tenant else {},
            updated_before=record.update_timestamp if record else None,
        ),
        limit=1,
    )
    return found[0].run_id if found else ""
