"""The gate between the candidate views and the matching, as Dagster shows it."""

import dagster as dg

from spv_platform.assets.common import TENANT, gate_check
from spv_platform.assets.patient_view import patient_view
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.platform import Platform
from spv_platform.resources.platform import PlatformResource


@dg.asset_check(asset=patient_view, blocking=True, partitions_def=TENANT)
def every_person_has_one_view_with_a_source(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Each person whom the batch concerns has one row in the view, and that row has a source and a record.

    Judged on candidates, before anything is published. A batch that fails is set aside; the next one goes on.
    """
    from spv_platform.pipeline.gate import GateReport, pass_view_gate
    from spv_platform.pipeline.prepare import prepare
    from spv_platform.quality.candidate_view import GATE

    def work(opened: Platform, holding: Holding) -> GateReport:
        return pass_view_gate(opened, holding, holding.prepared or prepare(opened, holding))

    return gate_check(context, platform.open(), "every_person_has_one_view_with_a_source", GATE, work)
