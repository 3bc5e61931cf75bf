"""Jobs that have objects processed again: what was set aside, or stretches of what landed."""

from dataclasses import asdict
from datetime import datetime

import dagster as dg

from spv_platform.assets.common import shown_failures
from spv_platform.errors import UsageError
from spv_platform.resources.platform import PlatformResource


class ReprocessConfig(dg.Config):
    """Which objects; times as 2026-11-25T08:00:00+00:00.

    Attributes:
        feed: only this feed's, if not empty.
        since: only what landed from then on, if not empty.
        until: only what landed before, if not empty.
        dry_run: only say what would be done.
    """

    tenant: str
    who: str
    feed: str = ""
    since: str = ""
    until: str = ""
    dry_run: bool = True


class ReplayConfig(dg.Config):
    """What of the quarantine; all that is open and matches what is not empty.

    Attributes:
        item: one item, `object-N` or `entry-N`.
        since: only what was set aside from then on, as 2026-11-25T08:00:00+00:00.
        contract: the version of the contract to try it under; an installation has one.
        dry_run: only say what would be done.
    """

    who: str
    item: str = ""
    tenant: str = ""
    feed: str = ""
    reason: str = ""
    since: str = ""
    contract: str = "current"
    dry_run: bool = True


@dg.op
def reprocess_objects(context: dg.OpExecutionContext, config: ReprocessConfig, platform: PlatformResource) -> None:
    """Lets a tenant's objects wait again, with their places in the order of landing."""
    from spv_platform.ledger.replays import Stretch
    from spv_platform.pipeline.upkeep.reprocess import reprocess

    with shown_failures():
        stretch = Stretch(config.tenant, config.feed or None, _time(config.since), _time(config.until))
        report = reprocess(platform.open(), stretch, dry_run=config.dry_run, who=config.who)
    context.add_output_metadata({**asdict(report), "dry_run": config.dry_run})


@dg.op
def replay_items(context: dg.OpExecutionContext, config: ReplayConfig, platform: PlatformResource) -> None:
    """Lets what was set aside wait again."""
    from spv_platform.pipeline.upkeep.reprocess import replay

    with shown_failures():
        report = replay(
            platform.open(),
            item=config.item or None,
            tenant=config.tenant or None,
            feed=config.feed or None,
            reason=config.reason or None,
            since=_time(config.since),
            contract=config.contract,
            dry_run=config.dry_run,
            who=config.who,
        )
    context.add_output_metadata({**asdict(report), "dry_run": config.dry_run})


@dg.job(executor_def=dg.in_process_executor)
def reprocess() -> None:
    """Has a tenant's processed objects opened, checked and staged again; says only what it would do, unless told."""
    reprocess_objects()


@dg.job(executor_def=dg.in_process_executor)
def replay_quarantined() -> None:
    """Tries again what was set aside, under the contract in force; says only what it would do, unless told."""
    replay_items()


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write it as 2026-11-25T08:00:00+00:00") from None
