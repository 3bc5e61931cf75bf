"""The job that holds the landing bucket against the ledger."""

from dataclasses import asdict

import dagster as dg

from spv_platform.assets.common import shown_failures
from spv_platform.resources.platform import PlatformResource


class SweepConfig(dg.Config):
    """What to sweep.

    Attributes:
        tenant: only this tenant's part of the bucket, if not empty.
        dry_run: only report; enter nothing into the ledger.
    """

    tenant: str = ""
    dry_run: bool = True


@dg.op
def sweep_landing(context: dg.OpExecutionContext, config: SweepConfig, platform: PlatformResource) -> None:
    """Lists the whole bucket, enters what the ledger lacks, and reports what is gone and what waits."""
    from spv_platform.pipeline.landing.sweep import sweep as sweep_

    with shown_failures():
        report = asdict(sweep_(platform.open(), tenant=config.tenant or None, dry_run=config.dry_run))
    ages = {name: value for name, value in report.pop("ages").items() if value is not None}
    context.add_output_metadata({**report, **ages, "dry_run": config.dry_run})


@dg.job(executor_def=dg.in_process_executor)
def sweep() -> None:
    """Holds the landing bucket against the ledger and enters what was missed; the hourly schedule asks for it."""
    sweep_landing()
