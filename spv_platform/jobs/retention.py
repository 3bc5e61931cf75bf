"""The job that deletes what nothing will ask for again."""

import dagster as dg

from spv_platform.assets.common import REASON, shown_failures
from spv_platform.resources.platform import PlatformResource


class RetainConfig(dg.Config):
    """How to go about it.

    Attributes:
        whole: list the whole lake for files of abandoned attempts, not only where the ledger says there can be some.
        dry_run: only report; delete nothing.
    """

    whole: bool = False
    dry_run: bool = True


@dg.op
def retain_everywhere(context: dg.OpExecutionContext, config: RetainConfig, platform: PlatformResource) -> None:
    """Deletes old runs and their output, files of abandoned attempts and replaced bases, and rows that are over."""
    from spv_platform.resources.old_runs import retain_all

    with shown_failures():
        report = retain_all(
            platform.open(),
            context.instance,
            dry_run=config.dry_run,
            whole=config.whole,
            progress=lambda part: context.log.info(f"looking at {part}"),
        )
    context.add_output_metadata(report)
    if report["failed_tenants"]:
        raise dg.Failure(
            f"some tenants were left out: {report['failed_tenants']}",
            metadata={REASON: "store_unavailable"},
            allow_retries=False,
        )


@dg.job(executor_def=dg.in_process_executor)
def retain() -> None:
    """Deletes what the settings do not keep; says only what it would do, unless told. The nightly schedule asks."""
    retain_everywhere()
