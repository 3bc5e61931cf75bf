"""Keeps the standing check true: batches are set aside after the runs' checks, and decided about at the shell."""

import hashlib
import json

import dagster as dg

from spv_platform.checks.set_aside import no_batch_is_set_aside, outcome
from spv_platform.ledger import decisions
from spv_platform.resources.platform import PlatformResource


@dg.sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the check no_batch_is_set_aside true after batches were set aside, decided about or carried.",
)
def set_aside_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick; the cursor tells what was reported last."""
    with platform.open().db.transaction() as cur:
        found = decisions.set_aside_by_tenant(cur)
    waiting = {tenant: reasons for tenant, reasons in found.items() if reasons}
    (key,) = no_batch_is_set_aside.check_keys
    # Dagster takes an outcome from before the asset's newest materialization for none at all.
    newest = context.instance.get_latest_materialization_event(key.asset_key)
    told = json.dumps([waiting, newest.timestamp if newest else None], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()
    if digest == context.cursor:
        count = sum(map(len, waiting.values()))
        return dg.SensorResult(skip_reason=f"{count} batches are set aside, as reported")
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key, check_name=key.name, blocking=False, **outcome(waiting)
    )
    return dg.SensorResult(asset_events=[evaluation], cursor=digest)
