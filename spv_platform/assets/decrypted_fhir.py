"""Opening, checking, projecting and staging a batch."""

import dataclasses

import dagster as dg

from spv_platform.assets.common import FRESHNESS, NOTHING_TO_DO, OWNERS, TENANT, batch_of, phi_tag
from spv_platform.assets.raw_bundles import raw_bundles
from spv_platform.lake.tables import TABLES
from spv_platform.resources.platform import PlatformResource

DRIFT = "feeds_bring_nothing_new"


@dg.asset(
    partitions_def=TENANT,
    group_name="fhir",
    deps=[raw_bundles],
    kinds={"fhir", "parquet"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
    check_specs=[
        dg.AssetCheckSpec(
            DRIFT,
            asset="decrypted_fhir",
            description="The feeds bring no element, extension, profile, code system or unit that they never had.",
            partitions_def=TENANT,
        )
    ],
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(
                    f"{table.name}.{column.name}",
                    type=column.type,
                    description=column.description,
                    tags=phi_tag(column.phi),
                )
                for table in TABLES
                for column in table.columns
            ]
        )
    },
)
def decrypted_fhir(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Resource rows of one batch, opened in memory, checked as FHIR R4 and staged: no table refers to them yet."""
    from spv_platform.pipeline.stage import stage_batch

    with batch_of(context, platform.open()) as holding:
        if holding is None:
            unknown = dg.AssetCheckResult(passed=True, check_name=DRIFT, metadata=NOTHING_TO_DO)
            return dg.MaterializeResult(metadata=NOTHING_TO_DO, check_results=[unknown])
        report = dataclasses.asdict(stage_batch(platform.open(), holding))
        new = report.pop("new_content")
        rows = {f"rows/{table}": count for table, count in report.pop("rows").items()}
        return dg.MaterializeResult(
            metadata={"batch": holding.claim.batch_id, **report, **rows},
            check_results=[_drift(holding.claim.batch_id, new)],
        )


def _drift(batch_id: str, found: dict[str, dict[str, int]]) -> dg.AssetCheckResult:
    new = {f"{feed}: new {kind}": count for feed, kinds in found.items() for kind, count in kinds.items()}
    return dg.AssetCheckResult(
        passed=not new,
        check_name=DRIFT,
        severity=dg.AssetCheckSeverity.WARN,
        description="What they are says the table feed_content: `spv tables`. The batch goes on." if new else None,
        metadata={"batch": batch_id, **new},
    )
