"""Dagster schedules: what is done by the clock. What is done when something happens is asked for by sensors."""

from collections.abc import Callable

import dagster as dg

from spv_platform.assets.common import TENANT
from spv_platform.jobs import build_analytics, check_ledger, compact, retain, sweep
from spv_platform.pipeline.criteria import form_rematches
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.upkeep.compact import form_compactions
from spv_platform.resources.platform import PlatformResource


@dg.schedule(
    job=build_analytics,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds the analyst tables of every tenant each night.",
)
def analytics_nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """One run per tenant."""
    tenants = context.instance.get_dynamic_partitions(TENANT.name or "")
    if not tenants:
        return dg.SkipReason("there is no tenant yet")
    day = context.scheduled_execution_time.date().isoformat()
    return [dg.RunRequest(run_key=f"{tenant}:{day}", partition_key=tenant) for tenant in sorted(tenants)]


check_ledger_nightly = dg.ScheduleDefinition(
    name="check_ledger_nightly",
    job=check_ledger,
    cron_schedule="30 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Holds the ledger against the tables each night.",
)

sweep_hourly = dg.ScheduleDefinition(
    name="sweep_hourly",
    job=sweep,
    cron_schedule="17 * * * *",
    run_config=dg.RunConfig(ops={"sweep_landing": {"config": {"dry_run": False}}}),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Holds the landing bucket against the ledger every hour, and enters what was missed.",
)

retain_nightly = dg.ScheduleDefinition(
    name="retain_nightly",
    job=retain,
    cron_schedule="30 2 * * *",
    run_config=dg.RunConfig(ops={"retain_everywhere": {"config": {"dry_run": False}}}),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes each night what the settings do not keep.",
)


def _forming(name: str, cron: str, description: str, form: Callable[[Platform], int]) -> dg.ScheduleDefinition:
    """A schedule that forms batches; the landing sensor requests their runs, as of all batches."""

    @dg.schedule(
        job=compact,  # never run from here, but a schedule needs one
        name=name,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def tick(platform: PlatformResource) -> dg.SkipReason:
        return dg.SkipReason(f"{form(platform.open())} batches were formed: the landing sensor asks for their runs")

    return tick


compaction_check = _forming(
    "compaction_check",
    "* * * * *",
    "Looks every minute whose tables have grown so much that new bases pay.",
    form_compactions,
)

rematch_daily = _forming(
    "rematch_daily",
    "5,20,35,50 * * * *",  # all zones are whole quarters of an hour apart
    "Has every person of a tenant matched again when a day begins there: birthdays and windows go on.",
    form_rematches,
)

SCHEDULES: list[dg.ScheduleDefinition] = [
    analytics_nightly,
    check_ledger_nightly,
    sweep_hourly,
    retain_nightly,
    compaction_check,
    rematch_daily,
]
