"""Matching the touched persons against every cohort, and the publish."""

from dataclasses import asdict

import dagster as dg

from spv_platform.assets.common import NOTHING_TO_DO, OWNERS, TENANT, batch_of, table_schema
from spv_platform.assets.patient_view import patient_view
from spv_platform.assets.trial_criteria import trial_criteria
from spv_platform.resources.platform import PlatformResource
from spv_platform.trials.tables import APPROVED_PATIENTS


@dg.asset(
    partitions_def=TENANT,
    group_name="trials",
    deps=[patient_view, trial_criteria],
    kinds={"polars", "deltalake", "postgres"},
    owners=OWNERS,
    metadata={"dagster/column_schema": table_schema(APPROVED_PATIENTS.columns)},
)
def approved_patients(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Persons who are potentially eligible for a trial cohort, clinician to confirm; publishes the whole batch."""
    from spv_platform.pipeline.publish import publish_batch

    with batch_of(context, platform.open()) as holding:
        if holding is None:
            return dg.MaterializeResult(metadata=NOTHING_TO_DO)
        batch_id = holding.claim.batch_id
        report = publish_batch(platform.open(), holding)
        counts = {name: value for name, value in asdict(report).items() if value is not None}
        return dg.MaterializeResult(metadata={"batch": batch_id, **counts})
