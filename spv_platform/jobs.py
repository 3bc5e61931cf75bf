"""The jobs: few, each with one purpose."""

from enum import Enum

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from spv_platform.assets import TENANT_ASSETS, analyst_tables, patient_history, practice_notifications, trial_criteria
from spv_platform.assets.common import BATCH_TAG, TENANT, shown_failures
from spv_platform.checks.set_aside import no_batch_is_set_aside
from spv_platform.pipeline.claims import hold
from spv_platform.resources.platform import PlatformResource

process_batch = dg.define_asset_job(
    "process_batch",
    # The standing check would say what was before this run; its sensor reports what is.
    selection=dg.AssetSelection.assets(*TENANT_ASSETS) - dg.AssetSelection.checks(no_batch_is_set_aside),
    partitions_def=TENANT,
    description="Carries one batch of one tenant from sealed objects to approved patients.",
)

refresh_trials = dg.define_asset_job(
    "refresh_trials",
    selection=dg.AssetSelection.assets(trial_criteria),
    description="Reads trial criteria and registry studies; a new version re-matches every tenant.",
)

feed_history = dg.define_asset_job(
    "feed_history",
    selection=dg.AssetSelection.assets(patient_history),
    partitions_def=TENANT,
    description="Brings a tenant's history in MongoDB up to its newest publication; the history sensor asks for it.",
)

relay_notifications = dg.define_asset_job(
    "relay_notifications",
    selection=dg.AssetSelection.assets(practice_notifications),
    partitions_def=TENANT,
    description="Sends a tenant's notifications that are due, or due again; the notifications sensor asks for it.",
)

build_analytics = dg.define_asset_job(
    "build_analytics",
    selection=dg.AssetSelection.assets(analyst_tables),
    partitions_def=TENANT,
    description="Makes the analyst tables of a tenant anew; the nightly schedule asks for it.",
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


class Decision(Enum):
    """What becomes of a batch that is set aside."""

    release = "release"
    reject = "reject"


class DecideConfig(dg.Config):
    """Which batch, what becomes of it, and who says so.

    Attributes:
        waive_gate: with a release: the gate that refused the batch lets it pass this time.
    """

    batch: str
    decision: Decision
    who: str
    waive_gate: bool = False


@dg.op
def decide(context: dg.OpExecutionContext, config: DecideConfig, platform: PlatformResource) -> None:
    """Releases or rejects one batch, and writes who did so into the audit trail."""
    from spv_platform.pipeline import deciding

    act = deciding.reject if config.decision is Decision.reject else deciding.release
    with shown_failures():
        act(platform.open(), config.batch, waive=config.waive_gate, who=config.who)
    context.log.info(f"batch {config.batch}: {config.decision.value}")


@dg.job(executor_def=dg.in_process_executor)
def decide_batch() -> None:
    """Decides about a batch that is set aside: release tries it again, reject ends it for good."""
    decide()


JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    process_batch,
    refresh_trials,
    feed_history,
    relay_notifications,
    build_analytics,
    compact,
    decide_batch,
]
