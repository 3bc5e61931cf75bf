"""The jobs: few, each with one purpose; a module per concern, without domain logic."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from spv_platform.jobs.assets import (
    build_analytics,
    check_ledger,
    feed_history,
    process_batch,
    refresh_trials,
    relay_notifications,
)
from spv_platform.jobs.compaction import compact
from spv_platform.jobs.decisions import decide_batch
from spv_platform.jobs.rebuilding import rebuild_view
from spv_platform.jobs.reprocessing import replay_quarantined, reprocess
from spv_platform.jobs.retention import retain
from spv_platform.jobs.sweeping import sweep

JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    process_batch,
    refresh_trials,
    feed_history,
    relay_notifications,
    build_analytics,
    check_ledger,
    compact,
    decide_batch,
    reprocess,
    replay_quarantined,
    rebuild_view,
    sweep,
    retain,
]
