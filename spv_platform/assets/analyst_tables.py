"""The analyst tables of a tenant."""

import dagster as dg

from spv_platform.analytics.tables import TABLES
from spv_platform.assets.approved_patients import approved_patients
from spv_platform.assets.common import FRESHNESS, OWNERS, TENANT, shown_failures
from spv_platform.resources.platform import PlatformResource


@dg.asset(
    partitions_def=TENANT,
    group_name="analytics",
    deps=[approved_patients],
    kinds={"deltalake", "polars"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
    metadata={"tables": dg.MetadataValue.json({table.name: table.description for table in TABLES})},
)
def analyst_tables(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Pseudonymous tables for analysts, under a key of their own.

    Dates are shifted, ages over 89 one group, ZIP codes cut to three digits, written text and small cells left out;
    persons who opted out are not in them.
    """
    from spv_platform.pipeline.analytics import build_analytics

    with shown_failures():
        report = build_analytics(platform.open(), context.partition_key)
    if not report.publication:
        return dg.MaterializeResult(metadata={"outcome": "nothing is published yet"})
    rows = {f"{table} rows": count for table, count in report.rows.items()}
    unmapped = {f"unmapped facts, {kind}": count for kind, count in report.unmapped.items()}
    return dg.MaterializeResult(
        metadata={"publication": report.publication, "persons left out": report.left_out, **rows, **unmapped}
    )
