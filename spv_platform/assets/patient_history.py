"""Feeding the history in MongoDB with what has been published."""

import dagster as dg

from spv_platform.assets.approved_patients import approved_patients
from spv_platform.assets.common import BATCH_TAG, FRESHNESS, OWNERS, TENANT, shown_failures
from spv_platform.errors import SpvError
from spv_platform.resources.platform import PlatformResource

#: A batch's run feeds the history for so long at most; the sensor sees to a larger backlog.
_WITHIN_A_BATCH_S = 5.0


@dg.asset(
    partitions_def=TENANT,
    group_name="history",
    deps=[approved_patients],
    kinds={"mongodb"},
    owners=OWNERS,
    freshness_policy=FRESHNESS,
)
def patient_history(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Documents per person, version of a person's view, and approval event; identifiers encrypted by the client.

    Always behind the publications and never in their way: while MongoDB is away this succeeds, and says by how many
    publications the history is behind.
    """
    from spv_platform.pipeline import history

    opened, tenant = platform.open(), context.partition_key
    in_batch = BATCH_TAG in context.run.tags
    for_s = _WITHIN_A_BATCH_S if in_batch else None
    with shown_failures():
        try:
            report = history.feed(opened, tenant, for_s=for_s, despite_pause=not in_batch)
        except SpvError as error:
            behind = history.behind(opened, tenant)
            context.log.warning(f"the history is behind by {behind} publications: {error}")
            return dg.MaterializeResult(metadata={"behind": behind, "outcome": str(error)})
    return dg.MaterializeResult(
        metadata={
            "publications": report.publications,
            "documents": report.documents,
            "refused": report.refused,
            "behind": report.behind,
            "outcome": "fed" if report.had_turn else "left to the run that feeds, or until MongoDB is back",
        }
    )
