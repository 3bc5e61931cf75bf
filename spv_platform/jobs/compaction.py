"""The job that makes new bases of tables."""

import dagster as dg

from spv_platform.assets.common import BATCH_TAG, shown_failures
from spv_platform.pipeline.claims import hold
from spv_platform.resources.platform import PlatformResource


class CompactConfig(dg.Config):
    """Whose tables.

    Attributes:
        dry_run: only say which tables would get a new base.
    """

    tenant: str
    dry_run: bool = True


@dg.op
def compact_tenant(context: dg.OpExecutionContext, config: CompactConfig, platform: PlatformResource) -> None:
    """Makes new bases of the tenant's tables whose tails have grown."""
    from spv_platform.pipeline.reading import reader
    from spv_platform.pipeline.upkeep.compact import compact_batch, form_at_once, tables_to_compact

    opened, run = platform.open(), context.run
    with shown_failures():
        if config.dry_run:
            due = tables_to_compact(reader(opened, config.tenant))
            context.add_output_metadata({"tables": len(due), "names": ", ".join(due), "dry_run": True})
            return
        batch_id = run.tags.get(BATCH_TAG) or form_at_once(opened, config.tenant)
        if batch_id is None:
            context.log.info("nothing to do: a compaction of the tenant waits or is at work already")
            return
        with hold(opened, run.run_id, config.tenant, batch_id) as holding:
            if holding is None:
                context.log.info("nothing to do: the batch is published or set aside already")
                return
            rows = compact_batch(opened, holding)
    context.add_output_metadata({"tables": len(rows), **rows, "dry_run": False})


@dg.job(executor_def=dg.in_process_executor)
def compact() -> None:
    """Makes the compacted tables of a tenant anew, so that reading stays fast; says only which, unless told."""
    compact_tenant()
