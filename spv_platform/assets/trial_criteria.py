"""Reading trial criteria and registry studies from the feeds bucket."""

import dagster as dg

from spv_platform.assets.common import OWNERS, table_schema
from spv_platform.resources.platform import PlatformResource
from spv_platform.trials.tables import CRITERIA_COLUMNS


@dg.asset(
    group_name="trials",
    kinds={"yaml", "postgres"},
    owners=OWNERS,
    metadata={"dagster/column_schema": table_schema(CRITERIA_COLUMNS)},
)
def trial_criteria(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:
    """Criteria of every trial with its registry status, as one version; a new version re-matches every tenant."""
    from spv_platform.pipeline.criteria import refresh_criteria

    report = refresh_criteria(platform.open())
    for problem in report.problems:
        context.log.warning(problem)
    for remark in report.remarks:
        context.log.info(remark)
    return dg.MaterializeResult(
        metadata={
            "version": report.version,
            "changed": report.changed,
            "trials": report.trials,
            "cohorts": report.cohorts,
            "studies": report.studies,
            "refused_files": len(report.problems),
            "problems": _listed(report.problems),
            "remarks": _listed(report.remarks),
        }
    )


def _listed(lines: list[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "none")
