"""The coat check: sees sealed objects land, and asks for runs that carry tickets."""

import time
from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from spv_platform.assets.common import BATCH_TAG, TENANT
from spv_platform.jobs import compact, process_batch
from spv_platform.ledger import batches, tenants
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.platform import Platform
from spv_platform.resources.platform import PlatformResource

T = TypeVar("T")

#: One tick looks for this long, so that a drop is seen at once: the daemon itself starts ticks every few seconds.
#: Well under the 60 s after which a tick is killed.
LOOK_FOR_S = 20.0
LOOK_EVERY_S = 0.2


@dg.sensor(
    jobs=[process_batch, compact],
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes new sealed objects into the ledger, forms batches, and requests a run for each that needs one.",
)
def landing_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """One tick: tenants that came or went first, then what has landed, for as long as a tick may look."""
    opened = platform.open()
    new, gone = _partitions_to_add(context, opened), _partitions_to_delete(context, opened)
    if new or gone:
        return dg.SensorResult(dynamic_partitions_requests=[*new, *gone])
    found = 0

    def look() -> list[batches.DueBatch]:
        nonlocal found
        found += discover(opened)
        return form_batches(opened)

    due = look_until(look)
    if not due:
        return dg.SensorResult(skip_reason=f"{found} new objects; nothing waits for a run")
    # Again: a tenant may have been added, and its first batch formed, while the tick looked.
    return dg.SensorResult(
        run_requests=[_request(batch) for batch in due],
        dynamic_partitions_requests=_partitions_to_add(context, opened),
    )


def _request(batch: batches.DueBatch) -> dg.RunRequest:
    # The attempt is part of the key: Dagster runs a key once for ever, failed or not.
    key, tags = f"{batch.batch_id}:{batch.attempt}", {BATCH_TAG: batch.batch_id}
    if batch.kind == "compact":
        config = dg.RunConfig(ops={"compact_tenant": {"config": {"tenant": batch.tenant, "dry_run": False}}})
        return dg.RunRequest(job_name=compact.name, run_key=key, run_config=config, tags=tags)
    return dg.RunRequest(job_name=process_batch.name, run_key=key, partition_key=batch.tenant, tags=tags)


def look_until(look: Callable[[], T]) -> T:
    """Call `look` until it finds something or the tick has looked long enough; its last answer."""
    deadline = time.monotonic() + LOOK_FOR_S
    while True:
        answer = look()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(LOOK_EVERY_S)


def _partitions_to_add(context: dg.SensorEvaluationContext, platform: Platform) -> list[dg.AddDynamicPartitionsRequest]:
    with platform.db.transaction() as cur:
        wanted = tenants.tenants(cur)
    new = sorted(set(wanted) - _partitions(context))
    return [TENANT.build_add_request(new)] if new else []


def _partitions_to_delete(
    context: dg.SensorEvaluationContext, platform: Platform
) -> list[dg.DeleteDynamicPartitionsRequest]:
    """Partitions of removed tenants; one that the ledger does not know at all is not ours to delete."""
    with platform.db.transaction() as cur:
        removed = tenants.removed(cur)
    gone = sorted(set(removed) & _partitions(context))
    return [TENANT.build_delete_request(gone)] if gone else []


def _partitions(context: dg.SensorEvaluationContext) -> set[str]:
    return set(context.instance.get_dynamic_partitions(str(TENANT.name)))
