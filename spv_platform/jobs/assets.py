"""Jobs that materialise assets: what sensors and schedules ask for."""

import dagster as dg

from spv_platform.assets import TENANT_ASSETS, analyst_tables, patient_history, practice_notifications, trial_criteria
from spv_platform.assets.common import TENANT
from spv_platform.checks import STANDING
from spv_platform.checks.ledger_balances import the_ledger_balances

process_batch = dg.define_asset_job(
    "process_batch",
    selection=dg.AssetSelection.assets(*TENANT_ASSETS) - dg.AssetSelection.checks(*STANDING),
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

check_ledger = dg.define_asset_job(
    "check_ledger",
    selection=dg.AssetSelection.checks(the_ledger_balances),
    description="Holds the ledger against the tables of every tenant; the nightly schedule asks for it.",
)
