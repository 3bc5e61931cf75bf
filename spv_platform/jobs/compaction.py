"""The job that makes new bases of tables."""

import dagster as dg

from spv_platform.assets.common import BATCH_TAG, shown_failures
from spv_platform.pipeline.claims import hold
from spv_platform.resources.platform import PlatformResource


class CompactConfig(dg.Config):
    """Whose tables."""

    tenant: str


@dg.op
def compact_tenant(context: dg.OpExecutionContext, config: CompactConfig, platform: PlatformResource) -> None:
    """Makes new bases of the tenant's tables whose tails have grown."""
    from spv_platform.pipeline.compact import compact_batch

    opened, run = platform.open(), context.run
    with shown_failures(), hold(opened, run.run_id, config.tenant, run.tags.get(BATCH_TAG)) as holding:
        if holding is None:
            context.log.info("nothing to do: the batch is published or set aside already")
            return
        for table, rows in compact_batch(opened, holding).items():
            context.log.info(f"{table}: {rows} rows in the new base")


@dg.job(executor_def=dg.in_process_executor)
def compact() -> None:
    """Makes the compacted tables of a tenant anew, so that reading stays fast; the landing sensor asks for it."""
    compact_tenant()
