"""The jobs: few, each with one purpose."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from spv_platform.assets import TENANT_ASSETS, trial_criteria
from spv_platform.assets.common import BATCH_TAG, TENANT, shown_failures
from spv_platform.pipeline.claims import hold
from spv_platform.resources.platform import PlatformResource

process_batch = dg.define_asset_job(
    "process_batch",
    selection=dg.AssetSelection.assets(*TENANT_ASSETS),
    partitions_def=TENANT,
    description="Carries one batch of one tenant from sealed objects to approved patients.",
)

refresh_trials = dg.define_asset_job(
    "refresh_trials",
    selection=dg.AssetSelection.assets(trial_criteria),
    description="Reads trial criteria and registry studies; a new version re-matches every tenant.",
)


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


JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [process_batch, refresh_trials, compact]
