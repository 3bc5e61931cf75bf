"""The gate between staging and the fold, as Dagster shows it."""

import dagster as dg

from spv_platform.assets.common import TENANT, gate_check
from spv_platform.assets.decrypted_fhir import decrypted_fhir
from spv_platform.resources.platform import PlatformResource


@dg.asset_check(asset=decrypted_fhir, blocking=True, partitions_def=TENANT)
def staged_rows_are_plausible(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Keys are there, gender and dates are plausible, references resolve or are queued, codes hold no identifiers.

    Of each feed no larger share was quarantined than its contract allows. A batch that fails is set aside in the
    ledger; the next one goes on.
    """
    from spv_platform.pipeline.gate import pass_staged_gate
    from spv_platform.quality.staged_batch import GATE

    return gate_check(context, platform.open(), "staged_rows_are_plausible", GATE, pass_staged_gate)
