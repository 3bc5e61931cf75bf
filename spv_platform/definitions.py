"""The one Definitions object, made by a factory so that tests can pass resources of their own."""

import dagster as dg

from spv_platform.assets import ASSETS
from spv_platform.checks import CHECKS
from spv_platform.jobs import JOBS
from spv_platform.resources.platform import PlatformResource
from spv_platform.schedules import SCHEDULES
from spv_platform.sensors import SENSORS


def build_defs(resources: dict[str, object] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources of the platform.

    Args:
        resources: replace resources by name.
    """
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"platform": PlatformResource(), **(resources or {})},
        # One process per run: steps share the batch's claim, its heartbeat and the candidates it has folded.
        executor=dg.in_process_executor,
    )


defs = build_defs()
