"""The gate between staging and the fold, as Dagster shows it."""

import dagster as dg

from spv_platform.assets.common import BATCH_TAG, TENANT
from spv_platform.assets.decrypted_fhir import decrypted_fhir
from spv_platform.pipeline.claims import hold, set_aside
from spv_platform.resources.platform import PlatformResource


@dg.asset_check(asset=decrypted_fhir, blocking=True, partitions_def=TENANT)
def staged_rows_are_plausible(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Every staged row has a FHIR id, a type and a pointer to its source, and patients have a gender of the value set.

    A batch that fails is set aside in the ledger; the next one goes on.
    """
    from spv_platform.pipeline.gate import pass_gate

    opened, run = platform.open(), context.run
    with hold(opened, run.run_id, context.partition_key, run.tags.get(BATCH_TAG)) as holding:
        if holding is None:
            return dg.AssetCheckResult(passed=True, metadata={"rows": 0})
        report = pass_gate(opened, holding)
        if report.failed:
            set_aside(opened, run.run_id, "gate_failed")
        return dg.AssetCheckResult(
            passed=not report.failed,
            metadata={
                "batch": holding.claim.batch_id,
                "rows": report.rows,
                **{f"{item.column}: {item.expectation}": f"{item.unexpected} rows" for item in report.failed},
            },
        )
