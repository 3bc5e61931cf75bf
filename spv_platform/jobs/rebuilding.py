"""The job that has a tenant's view made anew from its tables."""

from dataclasses import asdict

import dagster as dg

from spv_platform.assets.common import shown_failures
from spv_platform.resources.platform import PlatformResource


class RebuildConfig(dg.Config):
    """Whose view, and who says so.

    Attributes:
        dry_run: only say what a rebuild would read.
    """

    tenant: str
    who: str
    dry_run: bool = True


@dg.op
def ask_for_rebuild(context: dg.OpExecutionContext, config: RebuildConfig, platform: PlatformResource) -> None:
    """Forms the batch that makes the tenant's persons anew; the landing sensor requests its run."""
    from spv_platform.pipeline.upkeep.rebuild import ask

    with shown_failures():
        asked = ask(platform.open(), config.tenant, dry_run=config.dry_run, who=config.who)
    known = {name: value for name, value in asdict(asked).items() if value is not None}
    context.add_output_metadata({**known, "dry_run": config.dry_run})


@dg.job(executor_def=dg.in_process_executor)
def rebuild_view() -> None:
    """Makes a tenant's view and approvals anew from all published versions; says only what it would, unless told."""
    ask_for_rebuild()
