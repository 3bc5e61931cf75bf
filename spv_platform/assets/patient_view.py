"""Folding a batch into the records it touches, and the views of the persons they belong to."""

import dagster as dg

from spv_platform.assets.common import FRESHNESS, NOTHING_TO_DO, OWNERS, TENANT, batch_of, column_lineage, table_schema
from spv_platform.assets.decrypted_fhir import decrypted_fhir
from spv_platform.resources.platform import PlatformResource
from spv_platform.view.tables import COLUMNS


@dg.asset(
    partitions_def=TENANT,
    group_name="patients",
    deps=[decrypted_fhir],
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
    metadata={
        "dagster/column_schema": table_schema(COLUMNS),
        "dagster/column_lineage": column_lineage(COLUMNS),
    },
)
def patient_view(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """One current view per person across sources: candidates, published with the approvals in one commit."""
    from spv_platform.pipeline.prepare import prepare

    with batch_of(context, platform.open()) as holding:
        if holding is None:
            return dg.MaterializeResult(metadata=NOTHING_TO_DO)
        prepared = prepare(platform.open(), holding)
        return dg.MaterializeResult(
            metadata={
                "batch": holding.claim.batch_id,
                "records": prepared.records,
                "persons": prepared.persons,
                "retired_persons": prepared.retired,
                "facts": prepared.facts,
            }
        )
