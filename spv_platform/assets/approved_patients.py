"""Matching the touched persons against every cohort, and the publish."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from spv_platform.assets.common import (
    FRESHNESS,
    NOTHING_TO_DO,
    OWNERS,
    TENANT,
    column_lineage,
    gate_check,
    table_schema,
)
from spv_platform.assets.patient_view import patient_view
from spv_platform.assets.trial_criteria import trial_criteria
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform
from spv_platform.resources.platform import PlatformResource
from spv_platform.trials.tables import APPROVED_PATIENTS

if TYPE_CHECKING:
    from spv_platform.pipeline.publish import PublishReport

#: A check of this asset's own step: Dagster evaluates others when the asset is there, which is after the commit.
APPROVALS_CHECK = dg.AssetCheckSpec(
    "approvals_keep_the_rules",
    asset="approved_patients",
    description="Every candidate approval has its criteria met, an open cohort, and a person alive who has not opted"
    " out. Judged before the publish: a batch that fails is set aside with nothing of it visible.",
    blocking=True,
    partitions_def=TENANT,
)


@dg.asset(
    partitions_def=TENANT,
    group_name="trials",
    deps=[patient_view, trial_criteria],
    kinds={"polars", "deltalake", "postgres"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
    metadata={
        "dagster/column_schema": table_schema(APPROVED_PATIENTS.columns),
        "dagster/column_lineage": column_lineage(APPROVED_PATIENTS.columns),
    },
    check_specs=[APPROVALS_CHECK],
)
def approved_patients(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Persons who are potentially eligible for a trial cohort, clinician to confirm; publishes the whole batch."""
    from spv_platform.pipeline.gate import GateReport
    from spv_platform.pipeline.publish import publish_batch
    from spv_platform.quality.candidate_approvals import GATE

    reports: list[PublishReport] = []

    def publish(opened: Platform, holding: Holding) -> GateReport:
        reports.append(publish_batch(opened, holding))
        return GateReport(GATE, reports[0].approved)

    check = gate_check(context, platform.open(), APPROVALS_CHECK.name, GATE, publish)
    yield check
    if not check.passed:
        raise dg.Failure(
            "the approvals break a rule: the batch is set aside, see `spv batch list`", allow_retries=False
        )
    if not reports:
        yield dg.MaterializeResult(metadata=NOTHING_TO_DO)
        return
    counts = {name: value for name, value in asdict(reports[0]).items() if value is not None}
    yield dg.MaterializeResult(metadata={"batch": check.metadata["batch"], **counts})
