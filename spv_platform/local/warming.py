"""What makes a worker warm, and how it carries one run.

What belongs here: the imports and connections that a run needs anyway, made before there is one, and the one place
that enters Dagster's execution.
"""

import importlib
import os
from typing import TYPE_CHECKING

from spv_platform.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

#: Imported inside functions by what a run calls, together several seconds.
_HEAVY = (
    "boto3",
    "deltalake",
    "great_expectations",
    "pandas",
    "polars",
    "pyarrow",
    "spv_platform.fhir.parse",
    "spv_platform.lake.stage",
    "spv_platform.pipeline.gate",
    "spv_platform.pipeline.prepare",
    "spv_platform.pipeline.publish",
    "spv_platform.pipeline.stage",
)


def warm_up(settings: Settings, module: str) -> None:
    """Import what runs need and open the platform's connections.

    Args:
        settings: of the installation.
        module: with the definitions, as the code server has it.
    """
    # Great Expectations would report its use on import.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    for name in (*_HEAVY, module):
        importlib.import_module(name)
    import polars as pl

    from spv_platform.fhir.contract import derive, second_opinion
    from spv_platform.lake.tables import TABLES
    from spv_platform.quality.expectations import Suite, judge, key_expectations
    from spv_platform.resources.platform import PlatformResource

    # The first evaluation of a process makes what all later ones use.
    judge(Suite("warm_up", lambda: key_expectations(["a"], unique=True)), pl.DataFrame({"a": ["b"]}))
    for resource_type in (name for table in TABLES for name in table.resource_types):
        derive(resource_type)
        second_opinion(resource_type, b"{}")
    platform = PlatformResource().open()
    with platform.db.transaction():
        pass
    platform.s3.head_bucket(Bucket=settings.landing_bucket)


def execute_run(instance: "DagsterInstance", run_id: str) -> None:
    """Carry one run in this process's main thread, as `dagster api execute_run` and dagster-celery's workers do.

    Whatever fails is in the run's event log.
    """
    from dagster._cli.api import _execute_run_command_body
    from dagster._utils.interrupts import capture_interrupts

    from spv_platform.pipeline.claims import let_go
    from spv_platform.resources.platform import PlatformResource

    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    try:
        with capture_interrupts():
            _execute_run_command_body(run_id, instance, lambda event: None, set_exit_code_on_failure=False)
    finally:
        # A run that was broken off may still hold a batch, whose heartbeat would keep it for as long as we live.
        let_go(PlatformResource().open(), run_id)
