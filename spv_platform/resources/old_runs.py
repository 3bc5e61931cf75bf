"""How long Dagster keeps runs and their events, and all else that is kept for a while only.

What belongs here: what needs a Dagster instance. What the platform itself keeps is in `pipeline.upkeep.retention`.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from spv_platform.errors import UsageError
from spv_platform.ledger import retention as kept
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.upkeep.retention import RetentionReport, retain

if TYPE_CHECKING:
    from dagster import DagsterInstance

_PAGE = 500
_PARTITION_TAG = "dagster/partition"


def retain_all(
    platform: Platform,
    instance: "DagsterInstance",
    *,
    dry_run: bool,
    whole: bool = False,
    progress: Callable[[str], None] = lambda part: None,
) -> dict[str, int | str]:
    """Delete what the settings do not keep, everywhere; what it came to, for display.

    Args:
        platform: the installation.
        instance: its Dagster.
        dry_run: only report.
        whole: see `pipeline.upkeep.retention.retain`.
        progress: called with the name of each part before it.

    Raises:
        TransientError: the ledger did not answer.
    """
    settings = platform.settings
    progress("runs")
    with platform.db.transaction() as cur:
        before, spare = kept.cutoff(cur, settings.keep_runs_days * 24), kept.runs_to_keep(cur)
    old = old_runs(instance, before=before, keep=settings.keep_runs, spare=spare)
    if not dry_run:
        delete_runs(instance, old)
    report: RetentionReport = retain(platform, dry_run=dry_run, whole=whole, progress=progress)
    return {"runs": len(old), **report.as_row(), "dry_run": dry_run}


def old_runs(instance: "DagsterInstance", *, before: datetime, keep: int, spare: Collection[str]) -> list[str]:
    """Finished runs that ended before a time, without the newest ones of each job and tenant.

    Successes and failures count apart, so the assets of every tenant keep their newest materializations.

    Args:
        instance: whose runs.
        before: with a time zone.
        keep: how many of each are kept.
        spare: runs that are kept in any case.
    """
    from dagster import DagsterRunStatus, RunsFilter
    from dagster._core.storage.dagster_run import FINISHED_STATUSES

    left: dict[tuple[str, str, DagsterRunStatus], int] = {}
    found: list[str] = []
    cursor: str | None = None
    finished = RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
    while True:
        runs = instance.get_runs(finished, cursor=cursor, limit=_PAGE)
        for run in runs:
            tenant = run.tags.get(_PARTITION_TAG, "")
            kind = (run.job_name, tenant, run.status)
            if kind not in left:
                younger = RunsFilter(
                    job_name=run.job_name,
                    statuses=[run.status],
                    tags={_PARTITION_TAG: tenant} if tenant else {},
                    updated_after=before,
                )
                left[kind] = keep - instance.get_runs_count(younger)
            left[kind] -= 1
            if left[kind] < 0 and run.run_id not in spare:
                found.append(run.run_id)
        if len(runs) < _PAGE:
            return found
        cursor = runs[-1].run_id


def delete_runs(instance: "DagsterInstance", run_ids: Sequence[str]) -> None:
    """Delete runs with their events, and the outcomes of their asset checks but the newest of each check."""
    for start in range(0, len(run_ids), _PAGE):
        some = run_ids[start : start + _PAGE]
        _delete_check_outcomes(instance, some)
        for run_id in some:
            instance.delete_run(run_id)


def _delete_check_outcomes(instance: "DagsterInstance", run_ids: Sequence[str]) -> None:
    # Dagster keeps them when a run is deleted, and has no call to delete the old ones only.
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise UsageError("Dagster's event log is in no SQL database: delete its old runs by other means")
    outcomes = AssetCheckExecutionsTable
    newer = outcomes.alias()
    has_newer = db.exists().where(
        newer.c.asset_key == outcomes.c.asset_key,
        newer.c.check_name == outcomes.c.check_name,
        newer.c.partition.is_not_distinct_from(outcomes.c.partition),
        newer.c.id > outcomes.c.id,
    )
    with storage.index_connection() as connection:
        connection.execute(outcomes.delete().where(outcomes.c.run_id.in_(run_ids), has_newer))
